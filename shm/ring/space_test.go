package ring

import (
	"testing"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

func TestMain(m *testing.M) {
	// The anchor's thread and its memory stay for good: they are no leak of a test.
	if s, err := shm.Anonymous(1, shm.Options{}); err == nil {
		s.Close()
	}
	testenv.Main(m)
}

// A harbour is memory of this process in which a ring lies, and who takes part in
// it, each with a Space of its own: what the race detector sees.
type harbour struct {
	*fleet.Fleet
	next int
}

func newHarbour(t testing.TB, size int) *harbour { return &harbour{fleet.New(t, 32, size), 0} }

// join is one more participant.
func (h *harbour) join() *shmsync.Space {
	h.next++
	return h.Join(h.next - 1)
}

func (h *harbour) kill(s *shmsync.Space) { h.Kill(s.Self().Slot()) }

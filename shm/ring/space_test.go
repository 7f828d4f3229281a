package ring

import (
	"errors"
	"sync"
	"testing"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm/shmsync"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// tableBytes is where the rings of a heap begin: behind the participants.
const (
	heapSlots  = 16
	tableBytes = heapSlots * shmsync.SlotBytes
)

// A heap is memory of this process that several participants share, each with a
// Space of its own: what the race detector can see, and no process can die of.
type heap struct {
	bytes []byte
	mu    sync.Mutex
	next  int
	dead  map[int]bool
}

func newHeap(n int) *heap {
	b := make([]byte, tableBytes+n+lineBytes)
	skip := int(-mem.AddrOf(b) % lineBytes)
	return &heap{bytes: b[skip : skip+tableBytes+n], dead: map[int]bool{}}
}

// join is one more participant.
func (h *heap) join(t testing.TB) *shmsync.Space {
	t.Helper()
	s, err := shmsync.NewSpace(shmsync.Memory{Bytes: h.bytes, Slots: heapSlots, Held: h.held})
	if err != nil {
		t.Fatal(err)
	}
	for {
		h.mu.Lock()
		slot := h.next
		h.next++
		h.mu.Unlock()
		switch err := s.Join(slot % heapSlots); {
		case err == nil:
			h.mu.Lock()
			delete(h.dead, slot%heapSlots)
			h.mu.Unlock()
			return s
		case !errors.Is(err, shmsync.ErrSlotUsedUp):
			t.Fatal(err)
		}
	}
}

func (h *heap) held(slot int) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.dead[slot], nil
}

// kill has the kernel's answer about s be that it is gone.
func (h *heap) kill(s *shmsync.Space) {
	h.mu.Lock()
	h.dead[s.Self().Slot()] = true
	h.mu.Unlock()
}

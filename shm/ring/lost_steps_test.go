//go:build steps

package ring

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
)

// A breakpoint is called at every step, of whatever goroutine.
type breakpoint func(what string)

func (b breakpoint) Step(what string) { b(what) }

func (b breakpoint) Sleep(time.Duration, []word.Wait) (done, timedOut bool) { return false, false }

func (b breakpoint) Wake(*word.U32, int) bool { return false }

// TestLostAtEveryStep truncates the file before each step of each call: nothing but an
// error comes of it.
func TestLostAtEveryStep(t *testing.T) {
	peer := testenv.NewVandal(t)
	defer word.Install(nil)
	steps := 0
	for _, a := range attempts {
		for _, left := range []int64{0, 12288 + 4096} {
			for n := int64(1); ; n++ {
				w := newWreck(t)
				call := a.begin(w)
				var at atomic.Int64
				word.Install(breakpoint(func(string) {
					if at.Add(1) == n {
						peer.Truncate(w.path, left)
					}
				}))
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
				call(ctx)
				cancel()
				word.Install(nil)
				w.close()
				if at.Load() < n {
					break
				}
				steps++
			}
		}
	}
	t.Logf("truncated before %d steps", steps)
}

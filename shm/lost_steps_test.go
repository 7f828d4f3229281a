//go:build steps

package shm_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm"
)

// TestLostAtEveryStep truncates the file before each step of each call, of attaching
// and of leaving.
func TestLostAtEveryStep(t *testing.T) {
	need(t)
	peer := testenv.NewVandal(t)
	defer word.Install(nil)
	calls := operations
	calls = append(calls[:len(calls):len(calls)],
		operation{"Open", func(f *fragile) func(context.Context) error {
			return func(context.Context) error {
				s, err := shm.Open(f.seg.Name(), shm.Options{})
				if err == nil {
					err = s.Close()
				}
				return err
			}
		}, false},
		operation{"Segment.Close", func(f *fragile) func(context.Context) error {
			return func(context.Context) error { return f.seg.Close() }
		}, false})
	for _, o := range calls {
		steps := 0
		for _, size := range []int64{0, 4096, 12288} {
			for n := int64(1); ; n++ {
				name := ours(t)
				f := newFragile(t, name)
				call := o.begin(f)
				var left atomic.Int64
				left.Store(n)
				word.Install(breakpoint(func(string) {
					if left.Add(-1) == 0 {
						peer.Truncate(filepath.Join(shm.Directory, name), size)
					}
				}))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				err := call(ctx)
				cancel()
				word.Install(nil)
				if o.name == "Segment.Close" && err != nil {
					t.Errorf("truncated to %d before step %d of %s: %v", size, n, o.name, err)
				}
				if err := f.seg.Close(); err != nil && o.name != "Segment.Close" {
					t.Errorf("Close after %s: %v", o.name, err)
				}
				closeAll(t, f.other)
				if left.Load() > 0 {
					steps += int(n) - 1
					break
				}
			}
		}
		t.Logf("%s: %d steps", o.name, steps)
	}
}

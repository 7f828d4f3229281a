//go:build steps

package shmsync_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/word"
)

// woken calls sleep in place of the first sleep, and counts the wakes after it.
type woken struct {
	sleep  func()
	sleeps atomic.Int32
	wakes  atomic.Int32
}

func (w *woken) Step(string) {}

func (w *woken) Sleep(time.Duration, []word.Wait) (done, timedOut bool) {
	if w.sleeps.Add(1) == 1 {
		w.sleep()
		w.wakes.Store(0)
	}
	return true, false
}

func (w *woken) Wake(*word.U32, int) bool {
	w.wakes.Add(1)
	return true
}

// TestModelGivesUpForItsOwn: the one whom an Unlock woke finds that another
// goroutine of its process was faster, and gives up while it waits for that. It was
// the only one woken, so it wakes another.
func TestModelGivesUpForItsOwn(t *testing.T) {
	f := fleet.New(t, 2, 64)
	one, two := f.Join(0), f.Join(1)
	mine, err := one.Mutex(fleet.Data)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := two.Mutex(fleet.Data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := theirs.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	w := &woken{sleep: func() {
		if err := errors.Join(theirs.Unlock(), mine.TryLock()); err != nil {
			t.Error(err)
		}
		time.AfterFunc(20*time.Millisecond, cancel) // it waits for the Unlock of its own process by then
	}}
	word.Install(w)
	defer word.Install(nil)
	if err := mine.Lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v", err)
	}
	if w.wakes.Load() == 0 {
		t.Error("nobody else was woken")
	}
}

package word

import (
	"sync"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

// A Wait is a word and the value that it must hold for a sleep to begin.
type Wait struct {
	Word  *U32
	Value uint32
}

// fallbackSlice is how long Sleep sleeps at most where the kernel has no
// futex_waitv(2) (before Linux 5.16, or behind a seccomp filter that hides it)
// and there is more than one word to wait on.
const fallbackSlice = 5 * time.Millisecond

var hasWaitv = sync.OnceValue(sys.HasFutexWaitv)

// Sleep sleeps until somebody wakes one of the words, or the timeout is over. It
// does not sleep if one of them holds another value already. It may return for no
// reason: look again at everything. The words must not lie on a stack, and a P is
// free for others meanwhile.
//
// timedOut reports that the whole timeout has passed. Where the kernel can't
// sleep on more than one word at once, Sleep sleeps on the first and looks at the
// others every 5 ms: that is how late it may be then.
func Sleep(timeout time.Duration, on ...Wait) (timedOut bool, err error) {
	if Stepped {
		if done, timedOut := sleep(timeout, on); done {
			return timedOut, nil
		}
	}
	switch {
	case len(on) == 1:
		return outcome(sys.FutexWait(&on[0].Word.v, on[0].Value, timeout))
	case !hasWaitv():
		return sleepInSlices(timeout, on)
	}
	var few [4]sys.FutexWord
	list := few[:0]
	for _, w := range on {
		list = append(list, sys.FutexWord{Addr: &w.Word.v, Value: w.Value})
	}
	_, err = sys.FutexWaitv(list, timeout)
	return outcome(err)
}

// sleepInSlices is Sleep without futex_waitv(2).
func sleepInSlices(timeout time.Duration, on []Wait) (timedOut bool, err error) {
	for ; timeout > 0; timeout -= fallbackSlice {
		for _, w := range on[1:] {
			if w.Word.Peek() != w.Value {
				return false, nil
			}
		}
		timedOut, err := outcome(sys.FutexWait(&on[0].Word.v, on[0].Value, min(timeout, fallbackSlice)))
		if !timedOut || err != nil {
			return false, err
		}
	}
	return true, nil
}

// outcome tells a time-out from the other reasons to look again.
func outcome(err error) (timedOut bool, _ error) {
	switch err {
	case nil, error(sys.EAGAIN), error(sys.EINTR):
		return false, nil
	case error(sys.ETIMEDOUT):
		return true, nil
	}
	return false, err
}

// Wake wakes up to n of those who sleep on w, in any process.
func Wake(w *U32, n int) error {
	if Stepped && wake(w, n) {
		return nil
	}
	_, err := sys.FutexWake(&w.v, n)
	return err
}

// All is the n that wakes all.
const All = 1<<31 - 1

//go:build steps

package word

import (
	"sync/atomic"
	"time"
)

// Stepped tells whether the seam is compiled in.
const Stepped = true

var stepper atomic.Pointer[Stepper]

// Install has s called at every step of every goroutine from now on; nil ends it.
func Install(s Stepper) {
	if s == nil {
		stepper.Store(nil)
		return
	}
	stepper.Store(&s)
}

func step(what string) {
	if s := stepper.Load(); s != nil {
		(*s).Step(what)
	}
}

func sleep(timeout time.Duration, on []Wait) (done, timedOut bool) {
	if s := stepper.Load(); s != nil {
		return (*s).Sleep(timeout, on)
	}
	return false, false
}

func wake(w *U32, n int) (done bool) {
	if s := stepper.Load(); s != nil {
		return (*s).Wake(w, n)
	}
	return false
}

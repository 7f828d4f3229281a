package word

import "time"

// A Stepper stands between code and the memory that it shares. Its calls come
// from any goroutine.
type Stepper interface {
	// Step is called before an access ("load", "store", "swap", "cas", "add")
	// and at a Place, whose name it is given. It need not return.
	Step(what string)
	// Sleep stands in for the kernel's sleep if it reports done.
	Sleep(timeout time.Duration, on []Wait) (done, timedOut bool)
	// Wake stands in for the kernel's wake if it reports done.
	Wake(w *U32, n int) (done bool)
}

// Place names a point between two steps where something other than shared memory
// changes, such as a call of the kernel, for tests to stop at.
func Place(name string) {
	if Stepped {
		step(name)
	}
}

package fault

import "runtime/debug"

// Call runs fn. If a load or store in [base, base+n) faults on this goroutine
// meanwhile, fn is abandoned and Call reports the address. Guards nest: a fault
// in an outer guard's range passes through an inner one.
func Call(base uintptr, n int, fn func() error) (addr uintptr, faulted bool, err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			addr, faulted = inside(r, base, n)
		}
	}()
	return 0, false, fn()
}

// Copy is copy(dst, src) with [base, base+n) guarded. After a fault nothing is
// known of how much was copied.
func Copy(dst, src []byte, base uintptr, n int) (addr uintptr, faulted bool) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			addr, faulted = inside(r, base, n)
		}
	}()
	for min(len(dst), len(src)) > pieceBytes {
		copyPiece(dst, src)
		dst, src = dst[pieceBytes:], src[pieceBytes:]
	}
	copy(dst, src)
	return 0, false
}

// pieceBytes bounds one call of memmove, for two reasons. Assembly can't be
// preempted, so a larger piece would hold up a stop of the world for more than
// about 100 us. And from 1 MiB on memmove goes past the caches, which halves the
// speed of a copy that is read afterwards (runtime/memmove_amd64.s).
const pieceBytes = 256 << 10

// copyPiece copies one piece. It is a call of its own, whose prologue is a point
// where the goroutine can be stopped.
//
//go:noinline
func copyPiece(dst, src []byte) { copy(dst[:pieceBytes], src[:pieceBytes]) }

// inside tells the address of a recovered fault in the range, and raises any
// other panic again.
func inside(r any, base uintptr, n int) (uintptr, bool) {
	// runtime.Error values of memory faults carry their address (Go 1.16).
	if f, ok := r.(interface{ Addr() uintptr }); ok {
		if a := f.Addr(); a-base < uintptr(n) { // one comparison: a below base wraps
			return a, true
		}
	}
	panic(r)
}

package fault

import (
	"runtime"
	"runtime/debug"
)

// Armed is what the setting was before Arm.
type Armed bool

// Arm makes faults of this goroutine panics, until Disarm:
//
//	done, armed := false, fault.Arm()
//	defer func() {
//		armed.Disarm()
//		if done {
//			return // recover costs a nanosecond even if there is nothing to recover
//		}
//		if addr, faulted := fault.Caught(recover(), base, n); faulted {
//			...
//		}
//	}()
//	...
//	done = true
//
// Guards nest: a fault in an outer guard's range passes through an inner one.
func Arm() Armed { return Armed(debug.SetPanicOnFault(true)) }

// Disarm puts the setting back.
func (a Armed) Disarm() { debug.SetPanicOnFault(bool(a)) }

// Caught tells from what was recovered whether it is a fault in [base, base+n),
// and its address. It raises any other panic again; nil is none.
func Caught(recovered any, base uintptr, n int) (addr uintptr, faulted bool) {
	if recovered == nil {
		return 0, false
	}
	// The runtime's own errors of memory faults carry their address (Go 1.16). So may
	// what somebody else panics with.
	if f, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		if a := f.Addr(); a-base < uintptr(n) { // one comparison: a below base wraps
			return a, true
		}
	}
	panic(recovered)
}

// Copy is copy(dst, src) with [base, base+n) guarded. After a fault nothing is
// known of how much was copied.
func Copy(dst, src []byte, base uintptr, n int) (addr uintptr, faulted bool) {
	done, armed := false, Arm()
	defer func() {
		armed.Disarm()
		if !done {
			addr, faulted = Caught(recover(), base, n)
		}
	}()
	for min(len(dst), len(src)) > pieceBytes {
		copyPiece(dst, src)
		dst, src = dst[pieceBytes:], src[pieceBytes:]
	}
	copy(dst, src)
	done = true
	return 0, false
}

// Clear is clear(p) with [base, base+n) guarded. After a fault nothing is known of
// how much was cleared.
func Clear(p []byte, base uintptr, n int) (addr uintptr, faulted bool) {
	done, armed := false, Arm()
	defer func() {
		armed.Disarm()
		if !done {
			addr, faulted = Caught(recover(), base, n)
		}
	}()
	clear(p)
	done = true
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

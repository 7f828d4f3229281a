//go:build !linux

package sys

import "time"

// FutexWaitvMax is 0: there is no such call here.
const FutexWaitvMax = 0

// FutexWait is missing here.
func FutexWait(addr *uint32, value uint32, timeout time.Duration) error { return Unsupported("futex") }

// FutexWake is missing here.
func FutexWake(addr *uint32, n int) (int, error) { return 0, Unsupported("futex") }

// FutexWaitv is missing here.
func FutexWaitv(on []FutexWord, timeout time.Duration) (int, error) {
	return 0, Unsupported("futex_waitv")
}

// HasFutexWaitv is false here.
func HasFutexWaitv() bool { return false }

// SetRobustList is missing here.
func SetRobustList(head uintptr, offset int) error { return Unsupported("set_robust_list") }

// RobustHeadBytes is 0: there is no such list here.
const RobustHeadBytes = 0

// Gettid is missing here.
func Gettid() int { return 0 }

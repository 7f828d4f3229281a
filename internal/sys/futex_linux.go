package sys

import (
	"structs"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FutexWaitvMax is the most words that one FutexWaitv may wait on.
const FutexWaitvMax = 128

// futexWaitv is struct futex_waitv of linux/futex.h.
type futexWaitv struct {
	_              structs.HostLayout
	value, address uint64
	flags, _       uint32
}

// robustListHead is struct robust_list_head of linux/futex.h.
type robustListHead struct {
	_       structs.HostLayout
	list    uintptr
	offset  int // from an entry of the list to its word
	pending uintptr
}

var (
	_ [24]byte                         = [unsafe.Sizeof(futexWaitv{})]byte{}
	_ [3 * unsafe.Sizeof(uint(0))]byte = [unsafe.Sizeof(robustListHead{})]byte{}
)

const (
	futexWait  = 0 // FUTEX_WAIT
	futexWake  = 1 // FUTEX_WAKE
	futexSize4 = 2 // FUTEX2_SIZE_U32
)

// FutexWait sleeps while *addr is value, for as long as timeout (futex(2),
// FUTEX_WAIT, shared between processes). It answers EAGAIN where *addr had
// another value, ETIMEDOUT, or EINTR. addr must not lie on a stack.
func FutexWait(addr *uint32, value uint32, timeout time.Duration) error {
	ts := unix.NsecToTimespec(max(0, timeout.Nanoseconds()))
	// A Syscall: it sleeps, and a RawSyscall would keep the collector waiting.
	_, _, e := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWait, uintptr(value),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// FutexWake wakes up to n of those who sleep on addr, in any process, and
// answers how many (futex(2), FUTEX_WAKE). It never sleeps.
func FutexWake(addr *uint32, n int) (int, error) {
	woken, _, e := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWake, uintptr(n), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(woken), nil
}

// FutexWaitv sleeps while each word has its value, for as long as timeout, and
// answers the index of a word that it was woken on (futex_waitv(2), since Linux
// 5.16, shared between processes). Its errors are FutexWait's. The words must
// not lie on a stack, and are FutexWaitvMax at most.
func FutexWaitv(on []FutexWord, timeout time.Duration) (int, error) {
	var few [4]futexWaitv
	list := few[:0]
	for _, w := range on {
		list = append(list, futexWaitv{value: uint64(w.Value), address: uint64(uintptr(unsafe.Pointer(w.Addr))), flags: futexSize4})
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, err
	}
	until := now.Nano() + max(0, timeout.Nanoseconds())
	ts := [2]int64{until / 1e9, until % 1e9} // struct __kernel_timespec, 64 bits everywhere
	i, _, e := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(len(list)), 0,
		uintptr(unsafe.Pointer(&ts)), unix.CLOCK_MONOTONIC, 0)
	if e != 0 {
		return 0, e
	}
	return int(i), nil
}

// HasFutexWaitv tells whether the kernel has futex_waitv(2) and lets this
// process call it: an empty list is EINVAL then.
func HasFutexWaitv() bool {
	_, _, e := unix.Syscall6(unix.SYS_FUTEX_WAITV, 0, 0, 0, 0, 0, 0)
	return e == EINVAL
}

// SetRobustList gives the calling thread the list of words that the kernel marks
// when the thread ends (set_robust_list(2)). head is RobustHeadBytes long, lies
// outside the Go heap and is filled by this call: an empty list, whose entries
// stand offset bytes before their words.
func SetRobustList(head uintptr, offset int) error {
	h := (*robustListHead)(pointer(head))
	h.list, h.offset, h.pending = head, offset, 0
	_, _, e := unix.RawSyscall(unix.SYS_SET_ROBUST_LIST, head, unsafe.Sizeof(*h), 0)
	if e != 0 {
		return e
	}
	return nil
}

// RobustHeadBytes is the size of what SetRobustList fills.
const RobustHeadBytes = int(unsafe.Sizeof(robustListHead{}))

// Gettid is the calling thread's number in its own process namespace.
func Gettid() int { return unix.Gettid() }

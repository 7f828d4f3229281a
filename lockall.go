package mmap

import (
	"errors"

	"github.com/memwright/mmap/internal/sys"
)

// LockAllFlags tells LockAll what to lock.
type LockAllFlags uint8

// The flags; they combine by |.
const (
	LockCurrent    LockAllFlags = 1 << iota // what is mapped now
	LockFuture                              // what will be mapped
	LockAllOnFault                          // with the others: each page once it is touched (Linux 4.4)
)

// LockAll locks the whole address space of the process in memory (mlockall(2)):
// code, Go heap, stacks and mappings.
//
// LockFuture is refused, with the reason, unless RLIMIT_MEMLOCK is unlimited or
// the process has CAP_IPC_LOCK: otherwise the Go heap's next growth over the
// limit would kill the process.
func LockAll(f LockAllFlags) error {
	if f == 0 || f > LockCurrent|LockFuture|LockAllOnFault || f == LockAllOnFault {
		return &Error{Op: "lock all", Path: "the process", Err: invalid("flags %#x", uint8(f))}
	}
	if f&LockFuture != 0 && !mayLockWithoutLimit() {
		soft, _, _ := sys.Getrlimit(sys.LockedMemory)
		return &Error{Op: "lock all", Path: "the process", Err: &LimitError{
			Limit: "RLIMIT_MEMLOCK", Have: procStatusBytes("VmLck"), Max: soft, Unit: "bytes", Fix: raiseMemlock,
			Err: errors.New("LockFuture would let the Go heap's next growth kill the process"),
		}}
	}
	flags := 0
	if f&LockCurrent != 0 {
		flags |= sys.MCL_CURRENT
	}
	if f&LockFuture != 0 {
		flags |= sys.MCL_FUTURE
	}
	if f&LockAllOnFault != 0 {
		flags |= sys.MCL_ONFAULT
	}
	if err := sys.Mlockall(flags); err != nil {
		return &Error{Op: "lock all", Path: "the process", Err: explainLockLimit(err, procStatusBytes("VmSize"))}
	}
	return nil
}

// UnlockAll undoes LockAll, and every Lock of the process too (munlockall(2)).
func UnlockAll() error {
	if err := sys.Munlockall(); err != nil {
		return &Error{Op: "unlock all", Path: "the process", Err: err}
	}
	return nil
}

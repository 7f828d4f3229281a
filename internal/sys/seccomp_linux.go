package sys

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RefuseRareCalls has the kernel answer EPERM, in this process from now on, to
// the calls that sandboxes tend to forbid: userfaultfd, cachestat, mincore, preadv2, ptrace, and
// madvise with MADV_POPULATE_READ or MADV_POPULATE_WRITE (seccomp(2)). There is no way
// back.
func RefuseRareCalls() error {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
		// In struct seccomp_data: the call's number, and the low half of its third
		// argument where the low half comes first.
		number, third = 0, 32
	)
	// jt and jf are how many instructions to skip.
	program := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_USERFAULTFD, Jt: 9},
		{Code: equal, K: unix.SYS_CACHESTAT, Jt: 8},
		{Code: equal, K: unix.SYS_MINCORE, Jt: 7},
		{Code: equal, K: unix.SYS_PTRACE, Jt: 6},
		{Code: equal, K: unix.SYS_PREADV2, Jt: 5},
		{Code: equal, K: unix.SYS_MADVISE, Jf: 3},
		{Code: load, K: third},
		{Code: equal, K: unix.MADV_POPULATE_READ, Jt: 2},
		{Code: equal, K: unix.MADV_POPULATE_WRITE, Jt: 1},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
		{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// A filter takes this promise, or a privilege. The thread makes it, and TSYNC
	// has all the others make it too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setModeFilter = 1 // SECCOMP_SET_MODE_FILTER, linux/seccomp.h
	tid, _, e := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	switch {
	case e != 0:
		return e
	case tid != 0:
		return unix.ESRCH // this thread has a filter of its own already
	}
	return nil
}

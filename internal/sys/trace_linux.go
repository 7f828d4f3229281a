package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Traced tells os.StartProcess that the thread which starts the child traces
// it (PTRACE_TRACEME): the child stops at its first instruction. Every request
// must come from that thread (ptrace(2)).
func Traced() (*syscall.SysProcAttr, error) { return &syscall.SysProcAttr{Ptrace: true}, nil }

// Ptrace is ptrace(2) for the requests whose data is a number.
func Ptrace(request, pid int, addr, data uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// PtraceCopy is ptrace(2) for the requests that fill a buffer, or read one.
func PtraceCopy(request, pid int, buf []byte) error {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), 0, uintptr(unsafe.Pointer(unsafe.SliceData(buf))), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// WaitTraced is wait4(2) for one process, traced or a child, and gives its
// status.
func WaitTraced(pid int) (status uint32, err error) {
	var ws unix.WaitStatus
	for {
		_, err = unix.Wait4(pid, &ws, unix.WALL, nil)
		if err != unix.EINTR {
			return uint32(ws), err
		}
	}
}

// Pin keeps the calling thread, and the children that it will start, on the
// processor on which it is now. The goroutine must be locked to its thread.
func Pin() error {
	var set unix.CPUSet
	set.Set(int(CPU()))
	return unix.SchedSetaffinity(0, &set)
}

//go:build !linux

package sys

import "syscall"

// RunAs is not tried here.
func RunAs(uid, gid uint32) (*syscall.SysProcAttr, error) {
	return nil, Unsupported("run as another user")
}

// Borrow is missing here.
func Borrow(pid, fd int) (int, error) { return -1, Unsupported("pidfd_getfd") }

// UseCPUs is missing here.
func UseCPUs(n int) error { return Unsupported("sched_setaffinity") }

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// RunAs tells os/exec to start a child as this user and group, without
// supplementary groups and so, for any user but root, without capabilities.
func RunAs(uid, gid uint32) (*syscall.SysProcAttr, error) {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}, nil
}

// Borrow duplicates descriptor fd of the process pid: both share one open file
// description (pidfd_getfd(2), since Linux 5.6). It needs the right to trace
// that process.
func Borrow(pid, fd int) (int, error) {
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(p)
	return unix.PidfdGetfd(p, fd, 0)
}

//go:build !linux

package sys

import "syscall"

// Traced is not tried here.
func Traced() (*syscall.SysProcAttr, error) { return nil, Unsupported("ptrace") }

// Ptrace is not tried here.
func Ptrace(request, pid int, addr, data uintptr) error { return Unsupported("ptrace") }

// PtraceCopy is not tried here.
func PtraceCopy(request, pid int, buf []byte) error { return Unsupported("ptrace") }

// WaitTraced is not tried here.
func WaitTraced(pid int) (status uint32, err error) { return 0, Unsupported("ptrace") }

// Pin is not tried here.
func Pin() error { return Unsupported("sched_setaffinity") }

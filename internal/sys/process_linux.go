package sys

import (
	"os"
	"strconv"
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

// UseCPUs has every thread of this process run on n only of the CPUs that
// it may use now (sched_setaffinity(2)). Threads to come inherit that.
func UseCPUs(n int) error {
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return err
	}
	for cpu := 0; mask.Count() > n; cpu++ { // from the lowest on
		mask.Clear(cpu)
	}
	// Twice: a thread that was not narrowed yet may have made another meanwhile.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &mask); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return nil
}

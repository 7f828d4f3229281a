package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights is the control message that hands descriptors over (unix(7), SCM_RIGHTS).
func Rights(fds ...int) []byte { return unix.UnixRights(fds...) }

// RightsSpace is how many bytes to have ready for the Rights of n descriptors.
func RightsSpace(n int) int { return unix.CmsgSpace(4 * n) }

// Received is the descriptors in control messages, close-on-exec if they were
// received so. They are the caller's, those in front of an error too.
func Received(control []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// SendNow sends p on the socket fd and does not wait (MSG_DONTWAIT): EAGAIN where
// there is no room. Nobody left to receive it is EPIPE and no signal. Nothing in
// it waits for another process, so it is a RawSyscall: the runtime does not wake
// its monitor for it, as it does for a Syscall of a process that was idle.
func SendNow(fd int, p []byte) error {
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// ReceiveNow receives what has come on the socket fd and does not wait
// (MSG_DONTWAIT): EAGAIN where nothing has. It is a RawSyscall as SendNow is, and
// waits for others that receive on the same socket: no other process may have it.
func ReceiveNow(fd int, p []byte) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// WakeMonitor makes a call that the runtime hears of. It wakes the runtime's
// monitor, which preempts and polls, where that sleeps because the process was
// idle (entersyscall in runtime/proc.go).
func WakeMonitor() { unix.Syscall(unix.SYS_GETPID, 0, 0, 0) }

// SocketPair makes two Unix stream sockets, each the other end of the other. They
// don't block, and are closed on exec.
func SocketPair() (a, b int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fds[0], fds[1], err
}

// SetNonblock has calls on fd not block (O_NONBLOCK).
func SetNonblock(fd int) error { return unix.SetNonblock(fd, true) }

// IsUnixStream reports whether fd is a socket such as SocketPair makes.
func IsUnixStream(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_UNIX {
		return false
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && kind == unix.SOCK_STREAM
}

// HungUp reports whether the other end of the Unix stream fd is no more, or was
// shut down. It touches no bytes and waits for nobody (poll(2), POLLHUP).
func HungUp(fd int) (bool, error) {
	p := []unix.PollFd{{Fd: int32(fd)}}
	err := retry(func() error {
		_, err := unix.Poll(p, 0)
		return err
	})
	return p[0].Revents != 0, err
}

// Shutdown ends both directions of the socket fd, for both ends (shutdown(2)).
func Shutdown(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }

// PeerCredentials is who is at the other end of the Unix socket fd (SO_PEERCRED).
func PeerCredentials(fd int) (Credentials, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{int(c.Pid), int(c.Uid), int(c.Gid)}, nil
}

// StaysWhole reports whether no page of fd's file can go missing: it is on tmpfs,
// with pages of the usual size, as a memfd's is, and SealSize was called on it.
// Pages of a pool (MFD_HUGETLB) may be missing when they are touched.
func StaysWhole(fd int) (bool, error) {
	kind, err := FileSystem(fd)
	if err != nil || kind != unix.TMPFS_MAGIC {
		return false, err
	}
	return SizeSealed(fd)
}

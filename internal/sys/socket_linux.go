package sys

import "golang.org/x/sys/unix"

// Rights is the control message that hands a descriptor over (unix(7), SCM_RIGHTS).
func Rights(fd int) []byte { return unix.UnixRights(fd) }

// RightsSpace is how many bytes to have ready for the Rights of one descriptor.
var RightsSpace = unix.CmsgSpace(4)

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
// there is no room. Nobody left to receive it is EPIPE and no signal.
func SendNow(fd int, p []byte) error {
	return retry(func() error { return unix.Sendto(fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) })
}

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

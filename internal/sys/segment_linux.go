package sys

import (
	"io"
	"strconv"

	"golang.org/x/sys/unix"
)

// LockOFD sets a lock on n bytes of fd's file from off, which belongs to fd's
// open file description (fcntl(2), F_OFD_SETLK, since Linux 3.15). It does not
// wait: EAGAIN where another description has a lock that excludes it. The bytes
// need not exist.
func LockOFD(fd int, kind LockKind, off, n int64) error {
	l := unix.Flock_t{Type: lockTypes[kind], Whence: io.SeekStart, Start: off, Len: n}
	err := retry(func() error { return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l) })
	if err == EACCES { // POSIX allows either
		err = EAGAIN
	}
	return err
}

// HeldOFD reports whether another description has a lock on some of the n bytes
// of fd's file from off (F_OFD_GETLK).
func HeldOFD(fd int, off, n int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: off, Len: n}
	if err := retry(func() error { return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l) }); err != nil {
		return false, err
	}
	return l.Type != unix.F_UNLCK, nil
}

var lockTypes = [...]int16{Unlock: unix.F_UNLCK, LockShared: unix.F_RDLCK, LockExclusive: unix.F_WRLCK}

// OpenUnnamed makes a file in a directory that has no name yet (O_TMPFILE, since
// Linux 3.11, on tmpfs too). It vanishes with its last descriptor.
func OpenUnnamed(dir string, perm uint32) (int, error) {
	return openRetry(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|unix.O_LARGEFILE, perm)
}

// NameFile gives a file of OpenUnnamed a name (linkat(2)). It needs /proc. EEXIST
// where the name is taken.
func NameFile(fd int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

// Chmod is fchmod(2).
func Chmod(fd int, perm uint32) error { return unix.Fchmod(fd, perm) }

// SealSize forbids that anybody changes the size of the memfd fd (F_SEAL_SHRINK,
// F_SEAL_GROW).
func SealSize(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	return err
}

// SizeSealed reports whether SealSize was called on fd's file.
func SizeSealed(fd int) (bool, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err == EINVAL { // no memfd, or one without seals
		return false, nil
	}
	const both = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	return seals&both == both, err
}

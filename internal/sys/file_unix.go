//go:build linux || darwin || freebsd

package sys

import "golang.org/x/sys/unix"

func openRetry(name string, flags int, perm uint32) (fd int, err error) {
	err = retry(func() error { fd, err = unix.Open(name, flags, perm); return err })
	return fd, err
}

// OpenDir opens the directory name, to sync it.
func OpenDir(name string) (int, error) {
	return openRetry(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Dup duplicates fd close-on-exec. Both share one open file description.
func Dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// Close is close(2). It is not retried: Linux frees the descriptor whatever it
// answers (close(2), NOTES).
func Close(fd int) error { return unix.Close(fd) }

// Unlink is unlink(2).
func Unlink(name string) error { return unix.Unlink(name) }

// Fstat is fstat(2).
func Fstat(fd int) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Stat{}, err
	}
	return stat(&st), nil
}

// StatName is lstat(2): of a symbolic link it tells what the link is.
func StatName(name string) (Stat, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(name, &st) }); err != nil {
		return Stat{}, err
	}
	return stat(&st), nil
}

func stat(st *unix.Stat_t) Stat {
	return Stat{
		Kind: kind(uint32(st.Mode)), Size: st.Size, Blocks: st.Blocks,
		Dev: uint64(st.Dev), Ino: uint64(st.Ino), Blksize: int64(st.Blksize), Uid: st.Uid,
		Virtual: unix.Major(uint64(st.Dev)) == 0,
	}
}

func kind(mode uint32) Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return Regular
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFCHR:
		return CharDevice
	case unix.S_IFBLK:
		return BlockDevice
	case unix.S_IFIFO:
		return FIFO
	case unix.S_IFSOCK:
		return Socket
	}
	return Other
}

// Truncate is ftruncate(2).
func Truncate(fd int, size int64) error {
	return retry(func() error { return unix.Ftruncate(fd, size) })
}

// Pread is pread(2), Pwrite is pwrite(2).
func Pread(fd int, p []byte, off int64) (n int, err error) {
	err = retry(func() error { n, err = unix.Pread(fd, p, off); return err })
	return n, err
}

// Pwrite is pwrite(2).
func Pwrite(fd int, p []byte, off int64) (n int, err error) {
	err = retry(func() error { n, err = unix.Pwrite(fd, p, off); return err })
	return n, err
}

// Fsync is fsync(2). It is not retried: a second call after a failure answers
// success without having written anything.
func Fsync(fd int) error { return unix.Fsync(fd) }

// retry repeats call while a signal interrupts it. The runtime's own signals
// come at most every 10 ms, so a call that can finish between two of them
// does; the bound is for one that can't.
func retry(call func() error) error {
	for range 1000 {
		if err := call(); err != EINTR {
			return err
		}
	}
	return EINTR
}

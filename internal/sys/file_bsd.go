//go:build darwin || freebsd

package sys

import "golang.org/x/sys/unix"

// OpenFile opens name close-on-exec in the given mode.
func OpenFile(name string, mode int, perm uint32) (int, error) {
	flags := unix.O_CLOEXEC | unix.O_NONBLOCK
	switch mode {
	case OpenReadWrite:
		flags |= unix.O_RDWR
	case OpenCreate:
		flags |= unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
	}
	fd, err := openRetry(name, flags, perm)
	if err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Reopen has no way to go by here: /proc/self/fd is Linux's.
func Reopen(fd, mode int) (int, error) { return -1, Unsupported("reopen") }

// Access reports whether fd was opened for reading and for writing.
func Access(fd int) (readable, writable bool, err error) {
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return false, false, err
	}
	mode := fl & unix.O_ACCMODE
	return mode != unix.O_WRONLY, mode != unix.O_RDONLY, nil
}

// Ways is not asked here; no file call stands in for memory on these platforms,
// since no file system is known to be coherent.
func Ways(fd int) (direct, appends bool, err error) { return false, false, nil }

// MayWrite can't be asked of a descriptor here.
func MayWrite(fd int) bool { return false }

// BlockDeviceSize is not known here; Options.Length must be given.
func BlockDeviceSize(fd int) (int64, error) { return 0, Unsupported("size of a block device") }

// Allocate has no wrapper in x/sys that these platforms share.
func Allocate(fd int, off, n int64) error { return Unsupported("fallocate") }

// Extend has no wrapper in x/sys that these platforms share.
func Extend(fd int, off, n int64) error { return Unsupported("fallocate") }

// PunchHole has no wrapper in x/sys that these platforms share.
func PunchHole(fd int, off, n int64) error { return Unsupported("punch a hole") }

// WriteOut is missing here.
func WriteOut(fd int, off, n int64) error { return Unsupported("sync_file_range") }

// DropCache is missing here.
func DropCache(fd int, off, n int64) error { return Unsupported("drop from the page cache") }

// Cachestat is missing here.
func Cachestat(fd int, off, n int64) (CacheStat, error) { return CacheStat{}, Unsupported("cachestat") }

// Memfd is missing here.
func Memfd(name string, exec bool, hugeShift uint) (int, error) {
	return -1, Unsupported("memfd_create")
}

// Sendfile is not used here: its contract differs from Linux's.
func Sendfile(out, in int, off *int64, n int) (int, error) { return 0, Unsupported("sendfile") }

// CopyFileRange is not used here.
func CopyFileRange(out, in int, off *int64, n int) (int, error) {
	return 0, Unsupported("copy_file_range")
}

// FileSystem is known by number on Linux only.
func FileSystem(fd int) (int64, error) { return 0, Unsupported("file system type") }

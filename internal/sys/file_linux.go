package sys

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenFile opens name close-on-exec in the given mode. The open itself does
// not wait for a peer, so that a FIFO is refused and not waited for; the
// descriptor it returns is a blocking one again.
func OpenFile(name string, mode int, perm uint32) (int, error) {
	return openFile(name, mode, 0, perm)
}

// OpenNoFollow is OpenFile of a file that is there, and fails with ELOOP where name
// is a symbolic link (O_NOFOLLOW).
func OpenNoFollow(name string, mode int) (int, error) {
	return openFile(name, mode, unix.O_NOFOLLOW, 0)
}

func openFile(name string, mode, flags int, perm uint32) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_LARGEFILE
	switch mode {
	case OpenReadWrite:
		flags |= unix.O_RDWR
	case OpenCreate:
		flags |= unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
	}
	fd, err := openRetry(name, flags, perm)
	if err == EAGAIN { // a lease is being broken: this wait is meant
		fd, err = openRetry(name, flags&^unix.O_NONBLOCK, perm)
	}
	if err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Reopen opens what fd refers to anew, as an open file description of its own,
// through /proc/self/fd. It fails where /proc is not mounted, where the
// object can't be opened by name (sockets, most anonymous inodes), and where
// the caller may not open the file in this mode.
func Reopen(fd, mode int) (int, error) {
	return OpenFile("/proc/self/fd/"+strconv.Itoa(fd), mode, 0)
}

// Access reports whether fd was opened for reading and for writing.
func Access(fd int) (readable, writable bool, err error) {
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return false, false, err
	}
	if fl&unix.O_PATH != 0 {
		return false, false, EBADF
	}
	mode := fl & unix.O_ACCMODE
	return mode != unix.O_WRONLY, mode != unix.O_RDONLY, nil
}

// Ways tells of two flags that change where file calls on fd go: past the page
// cache (O_DIRECT), and to the file's end (O_APPEND), those at an offset too, since
// Linux's pwrite(2) does not heed its offset then.
func Ways(fd int) (direct, appends bool, err error) {
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return fl&unix.O_DIRECT != 0, fl&unix.O_APPEND != 0, err
}

// MayWrite reports whether the caller may open fd's file for writing.
func MayWrite(fd int) bool {
	return unix.Faccessat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.W_OK, unix.AT_EACCESS) == nil
}

// PreadNow is pread(2) that does not wait for a disk (preadv2(2) with RWF_NOWAIT,
// since Linux 4.14): it gives what is in the page cache, and EAGAIN where
// that is nothing. Then it has begun to read, as pread would (Linux 5.12).
func PreadNow(fd int, p []byte, off int64) (int, error) {
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	n, _, e := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1,
		uintptr(off), uintptr(off>>32), unix.RWF_NOWAIT)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// BlockDeviceSize is the size in bytes of the block device fd.
func BlockDeviceSize(fd int) (int64, error) {
	var size uint64
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return 0, e
	}
	return int64(size), nil
}

// Allocate reserves real blocks for [off, off+n) and leaves the file's size
// alone (fallocate(2), FALLOC_FL_KEEP_SIZE).
func Allocate(fd int, off, n int64) error { return fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n) }

// Extend reserves blocks for [off, off+n) and grows the file to off+n if it is
// shorter. It never shrinks a file, whatever others do to it meanwhile.
func Extend(fd int, off, n int64) error { return fallocate(fd, 0, off, n) }

// PunchHole frees [off, off+n): whole blocks go back to the file system, the
// rest is zeroed. The size stays.
func PunchHole(fd int, off, n int64) error {
	return fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// allocateBytes is how much one fallocate asks for. tmpfs gives a whole call
// back when a signal arrives, and the Go runtime sends signals: a piece must
// be short enough to get through.
const allocateBytes = 128 << 20

func fallocate(fd int, mode uint32, off, n int64) error {
	for n > 0 {
		piece := min(n, allocateBytes)
		if err := retry(func() error { return unix.Fallocate(fd, mode, off, piece) }); err != nil {
			return err
		}
		off, n = off+piece, n-piece
	}
	return nil
}

// WriteOut starts writing the dirty pages of [off, off+n) and does not wait
// (sync_file_range(2), SYNC_FILE_RANGE_WRITE).
func WriteOut(fd int, off, n int64) error {
	return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// DropCache asks the kernel to drop the clean, unmapped, unlocked pages of
// [off, off+n) from the page cache (posix_fadvise(2), POSIX_FADV_DONTNEED).
func DropCache(fd int, off, n int64) error {
	return unix.Fadvise(fd, off, n, unix.FADV_DONTNEED)
}

// Cachestat is cachestat(2), since Linux 6.5. It answers EPERM where the
// caller neither owns the file nor may write it.
func Cachestat(fd int, off, n int64) (CacheStat, error) {
	var st unix.Cachestat_t
	r := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	if err := unix.Cachestat(uint(fd), &r, &st, 0); err != nil {
		return CacheStat{}, err
	}
	return CacheStat{
		Cached: st.Cache, Dirty: st.Dirty, Writeback: st.Writeback,
		Evicted: st.Evicted, RecentlyEvicted: st.Recently_evicted,
	}, nil
}

// Memfd makes an anonymous file (memfd_create(2)) with seals allowed, and
// executable only when asked. hugeShift is the log2 of a huge page's size, or 0.
func Memfd(name string, exec bool, hugeShift uint) (int, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	if hugeShift != 0 {
		flags |= unix.MFD_HUGETLB | int(hugeShift)<<unix.MFD_HUGE_SHIFT
	}
	mode := unix.MFD_NOEXEC_SEAL
	if exec {
		mode = unix.MFD_EXEC
	}
	fd, err := unix.MemfdCreate(name, flags|mode)
	if err == EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

// Sendfile copies up to n bytes of in from *off to out within the kernel and
// advances *off.
func Sendfile(out, in int, off *int64, n int) (int, error) {
	return unix.Sendfile(out, in, off, n)
}

// CopyFileRange copies up to n bytes of in from *off to out's own position
// within the file system, sharing extents where it can, and advances *off.
func CopyFileRange(out, in int, off *int64, n int) (int, error) {
	return unix.CopyFileRange(in, off, out, nil, n, 0)
}

// FileSystem is the magic number of the file system that fd lives on.
func FileSystem(fd int) (int64, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return 0, err
	}
	return int64(uint32(st.Type)), nil
}

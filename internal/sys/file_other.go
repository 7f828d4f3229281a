//go:build !linux && !darwin && !freebsd

package sys

// OpenFile is missing here.
func OpenFile(name string, mode int, perm uint32) (int, error) { return -1, Unsupported("OpenFile") }

// Reopen is missing here.
func Reopen(fd, mode int) (int, error) { return -1, Unsupported("Reopen") }

// OpenDir is missing here.
func OpenDir(name string) (int, error) { return -1, Unsupported("OpenDir") }

// Dup is missing here.
func Dup(fd int) (int, error) { return -1, Unsupported("Dup") }

// Close is missing here.
func Close(fd int) error { return Unsupported("Close") }

// Unlink is missing here.
func Unlink(name string) error { return Unsupported("Unlink") }

// Fstat is missing here.
func Fstat(fd int) (Stat, error) { return Stat{}, Unsupported("Fstat") }

// StatName is missing here.
func StatName(name string) (Stat, error) { return Stat{}, Unsupported("StatName") }

// Access is missing here.
func Access(fd int) (readable, writable bool, err error) { return false, false, Unsupported("Access") }

// Ways is missing here.
func Ways(fd int) (direct, appends bool, err error) { return false, false, Unsupported("Ways") }

// MayWrite is missing here.
func MayWrite(fd int) bool { return false }

// BlockDeviceSize is missing here.
func BlockDeviceSize(fd int) (int64, error) { return 0, Unsupported("BlockDeviceSize") }

// Allocate is missing here.
func Allocate(fd int, off, n int64) error { return Unsupported("Allocate") }

// Extend is missing here.
func Extend(fd int, off, n int64) error { return Unsupported("Extend") }

// PunchHole is missing here.
func PunchHole(fd int, off, n int64) error { return Unsupported("PunchHole") }

// Truncate is missing here.
func Truncate(fd int, size int64) error { return Unsupported("Truncate") }

// Pread is missing here.
func Pread(fd int, p []byte, off int64) (n int, err error) { return 0, Unsupported("Pread") }

// Pwrite is missing here.
func Pwrite(fd int, p []byte, off int64) (n int, err error) { return 0, Unsupported("Pwrite") }

// Fsync is missing here.
func Fsync(fd int) error { return Unsupported("Fsync") }

// WriteOut is missing here.
func WriteOut(fd int, off, n int64) error { return Unsupported("WriteOut") }

// DropCache is missing here.
func DropCache(fd int, off, n int64) error { return Unsupported("DropCache") }

// Cachestat is missing here.
func Cachestat(fd int, off, n int64) (CacheStat, error) { return CacheStat{}, Unsupported("Cachestat") }

// Memfd is missing here.
func Memfd(name string, exec bool, hugeShift uint) (int, error) { return -1, Unsupported("Memfd") }

// Sendfile is missing here.
func Sendfile(out, in int, off *int64, n int) (int, error) { return -1, Unsupported("Sendfile") }

// CopyFileRange is missing here.
func CopyFileRange(out, in int, off *int64, n int) (int, error) {
	return -1, Unsupported("CopyFileRange")
}

// FileSystem is missing here.
func FileSystem(fd int) (int64, error) { return 0, Unsupported("FileSystem") }

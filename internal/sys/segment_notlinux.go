//go:build !linux

package sys

// LockOFD is missing here.
func LockOFD(fd int, kind LockKind, off, n int64) error { return Unsupported("F_OFD_SETLK") }

// HeldOFD is missing here.
func HeldOFD(fd int, off, n int64) (bool, error) { return false, Unsupported("F_OFD_GETLK") }

// OpenUnnamed is missing here.
func OpenUnnamed(dir string, perm uint32) (int, error) { return -1, Unsupported("O_TMPFILE") }

// NameFile is missing here.
func NameFile(fd int, name string) error { return Unsupported("linkat") }

// Chmod is missing here.
func Chmod(fd int, perm uint32) error { return Unsupported("fchmod") }

// OpenNoFollow is missing here.
func OpenNoFollow(name string, mode int) (int, error) { return -1, Unsupported("O_NOFOLLOW") }

// SealSize is missing here.
func SealSize(fd int) error { return Unsupported("F_ADD_SEALS") }

// SizeSealed is missing here.
func SizeSealed(fd int) (bool, error) { return false, Unsupported("F_GET_SEALS") }

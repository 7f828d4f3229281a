//go:build !linux

package sys

// Userfaultfd is missing here.
func Userfaultfd(userOnly bool) (int, error) { return -1, Unsupported("userfaultfd") }

// MemfdSecret is missing here.
func MemfdSecret() (int, error) { return -1, Unsupported("memfd_secret") }

// Mseal is missing here.
func Mseal(addr, length uintptr) error { return Unsupported("mseal") }

// PagemapScanPresent is missing here.
func PagemapScanPresent(fd int, start, end uintptr) (bytes uintptr, err error) {
	return 0, Unsupported("PAGEMAP_SCAN")
}

// FileSystemSpace is not tried here.
func FileSystemSpace(fd int) (Space, error) { return Space{}, Unsupported("statfs") }

// DirectAccess is missing here.
func DirectAccess(fd int) (bool, error) { return false, Unsupported("statx") }

// SharesBlocks is missing here.
func SharesBlocks(fd int) (bool, error) { return false, Unsupported("FIEMAP") }

// PreadNow is missing here.
func PreadNow(fd int, p []byte, off int64) (int, error) { return 0, Unsupported("preadv2") }

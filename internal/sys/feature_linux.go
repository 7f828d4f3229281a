package sys

import (
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Userfaultfd is userfaultfd(2), since Linux 4.3, close-on-exec. With userOnly
// it serves faults of user code alone (UFFD_USER_MODE_ONLY, since Linux 5.11),
// which needs no privilege.
func Userfaultfd(userOnly bool) (int, error) {
	flags := uintptr(unix.O_CLOEXEC)
	if userOnly {
		flags |= 1 // UFFD_USER_MODE_ONLY, linux/userfaultfd.h
	}
	fd, _, e := unix.Syscall(unix.SYS_USERFAULTFD, flags, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

// MemfdSecret is memfd_secret(2), since Linux 5.14, close-on-exec. Only some
// architectures have it, each under the number that new calls share.
func MemfdSecret() (int, error) {
	fd, _, e := unix.Syscall(unix.SYS_MSEAL-462+447, unix.O_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

// Mseal is mseal(2), since Linux 6.10. A sealed range stays mapped until the
// process ends.
func Mseal(addr, length uintptr) error { return call3(unix.SYS_MSEAL, addr, length, 0) }

// pagemapScanArg is struct pm_scan_arg of linux/fs.h.
type pagemapScanArg struct {
	_                 structs.HostLayout
	size, flags       uint64
	start, end        uint64
	walkEnd           uint64
	vec, vecLen       uint64
	maxPages          uint64
	categoryInverted  uint64
	categoryMask      uint64
	categoryAnyofMask uint64
	returnMask        uint64
}

// pageRegion is struct page_region of linux/fs.h.
type pageRegion struct {
	_                      structs.HostLayout
	start, end, categories uint64
}

// The kernel's sizes; every field is as wide as its alignment.
var (
	_ [96]byte = [unsafe.Sizeof(pagemapScanArg{})]byte{}
	_ [24]byte = [unsafe.Sizeof(pageRegion{})]byte{}
	_ [88]byte = [unsafe.Sizeof(fiemap{})]byte{}
)

const (
	pagemapScan   = 0xc0606610 // PAGEMAP_SCAN, _IOWR('f', 16, struct pm_scan_arg)
	pageIsPresent = 1 << 3     // PAGE_IS_PRESENT
)

// PagemapScanPresent counts the present pages of [start, end) by the ioctl
// PAGEMAP_SCAN on fd, which is /proc/self/pagemap (since Linux 6.7). It counts
// no further than the first gap.
func PagemapScanPresent(fd int, start, end uintptr) (bytes uintptr, err error) {
	var region pageRegion
	arg := pagemapScanArg{
		start: uint64(start), end: uint64(end),
		vec: uint64(uintptr(unsafe.Pointer(&region))), vecLen: 1,
		categoryMask: pageIsPresent, returnMask: pageIsPresent,
	}
	arg.size = uint64(unsafe.Sizeof(arg))
	n, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pagemapScan, uintptr(unsafe.Pointer(&arg)))
	switch {
	case e == unix.ENOTTY: // the file has no such ioctl
		return 0, Unsupported("PAGEMAP_SCAN")
	case e != 0:
		return 0, e
	case n == 0:
		return 0, nil
	}
	return uintptr(region.end - region.start), nil
}

// FileSystemSpace is the size and the free room of the file system that fd
// lives on (fstatfs(2)).
func FileSystemSpace(fd int) (Space, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return Space{}, err
	}
	block := uint64(st.Bsize)
	return Space{Total: st.Blocks * block, Free: st.Bavail * block, Unused: st.Bfree * block}, nil
}

// DirectAccess reports whether fd's file bypasses the page cache on a memory
// device (statx(2), STATX_ATTR_DAX, since Linux 5.8).
func DirectAccess(fd int) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &st); err != nil {
		return false, err
	}
	return st.Attributes&unix.STATX_ATTR_DAX != 0, nil
}

// fiemap is struct fiemap of linux/fiemap.h with room for one extent.
type fiemap struct {
	_                              structs.HostLayout
	start, length                  uint64
	flags, mapped, count, reserved uint32
	extent                         struct {
		_                         structs.HostLayout
		logical, physical, length uint64
		reserved64                [2]uint64
		flags                     uint32
		reserved                  [3]uint32
	}
}

const (
	fsIocFiemap        = 0xc020660b // FS_IOC_FIEMAP, _IOWR('f', 11, struct fiemap)
	fiemapExtentLast   = 0x1
	fiemapExtentShared = 0x2000
	fiemapSteps        = 1 << 16 // extents looked at before the answer is "don't know"
)

// SharesBlocks reports whether some block of fd's file also belongs to another
// file or a snapshot, so that a store to it needs a new one (FIEMAP,
// FIEMAP_EXTENT_SHARED).
func SharesBlocks(fd int) (bool, error) {
	f := fiemap{count: 1}
	for range fiemapSteps {
		f.length, f.mapped = ^uint64(0)-f.start, 0
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocFiemap, uintptr(unsafe.Pointer(&f))); e != 0 {
			return false, e
		}
		switch {
		case f.mapped == 0:
			return false, nil
		case f.extent.flags&fiemapExtentShared != 0:
			return true, nil
		case f.extent.flags&fiemapExtentLast != 0:
			return false, nil
		}
		f.start = f.extent.logical + f.extent.length
	}
	return false, EFBIG
}

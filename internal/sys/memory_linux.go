package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mmap is mmap(2). On 32-bit platforms it enters by mmap2, so offset keeps its
// 64 bits.
func Mmap(addr, length uintptr, prot, flags uint32, fd int, offset int64) (uintptr, error) {
	if flags&missing != 0 && flags&MAP_HUGETLB == 0 {
		return 0, Unsupported("mmap: this flag")
	}
	p, err := unix.MmapPtr(fd, offset, pointer(addr), length, int(prot), int(flags))
	return uintptr(p), err
}

// Munmap is munmap(2).
func Munmap(addr, length uintptr) error { return unix.MunmapPtr(pointer(addr), length) }

// Msync is msync(2).
func Msync(addr, length uintptr, flags int) error {
	return call3(unix.SYS_MSYNC, addr, length, uintptr(flags))
}

// Mlock is mlock(2).
func Mlock(addr, length uintptr) error { return call3(unix.SYS_MLOCK, addr, length, 0) }

// Mlock2 is mlock2(2), since Linux 4.4.
func Mlock2(addr, length uintptr, flags int) error {
	return call3(unix.SYS_MLOCK2, addr, length, uintptr(flags))
}

// Munlock is munlock(2).
func Munlock(addr, length uintptr) error { return call3(unix.SYS_MUNLOCK, addr, length, 0) }

// Mlockall is mlockall(2).
func Mlockall(flags int) error { return unix.Mlockall(flags) }

// Munlockall is munlockall(2).
func Munlockall() error { return unix.Munlockall() }

// Mprotect is mprotect(2).
func Mprotect(addr, length uintptr, prot uint32) error {
	return call3(unix.SYS_MPROTECT, addr, length, uintptr(prot))
}

// Madvise is madvise(2).
func Madvise(addr, length uintptr, advice int) error {
	return call3(unix.SYS_MADVISE, addr, length, uintptr(advice))
}

// Mremap is mremap(2). newAddr counts only with MREMAP_FIXED or
// MREMAP_DONTUNMAP.
func Mremap(oldAddr, oldLength, newLength uintptr, flags int, newAddr uintptr) (uintptr, error) {
	r, _, e := unix.Syscall6(unix.SYS_MREMAP, oldAddr, oldLength, newLength, uintptr(flags), newAddr, 0)
	if e != 0 {
		return 0, e
	}
	return r, nil
}

// Mincore is mincore(2): one byte of vec a page, bit 0 set when the page is
// resident. vec must be long enough for length rounded up to pages.
func Mincore(addr, length uintptr, vec []byte) error {
	// Not by call3: vec may lie on the stack, which a call of Go's can move after the
	// pointer has become a number (unsafe.Pointer, rule 4).
	_, _, e := unix.Syscall(unix.SYS_MINCORE, addr, length, uintptr(unsafe.Pointer(unsafe.SliceData(vec))))
	if e != 0 {
		return e
	}
	return nil
}

// call3 enters the kernel where no unix function takes plain addresses. It is
// a Syscall and not a RawSyscall: each of these calls may sleep, and the
// scheduler must be able to take the P away. None of its arguments is a pointer.
func call3(trap, a, b, c uintptr) error {
	if _, _, e := unix.Syscall(trap, a, b, c); e != 0 {
		return e
	}
	return nil
}

func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

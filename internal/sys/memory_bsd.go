//go:build darwin || freebsd

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mmap is mmap(2).
func Mmap(addr, length uintptr, prot, flags uint32, fd int, offset int64) (uintptr, error) {
	if (prot|flags)&missing != 0 {
		return 0, Unsupported("mmap: this protection or flag")
	}
	p, err := unix.MmapPtr(fd, offset, pointer(addr), length, int(prot), int(flags))
	return uintptr(p), err
}

// Munmap is munmap(2).
func Munmap(addr, length uintptr) error { return unix.MunmapPtr(pointer(addr), length) }

// Msync is msync(2).
func Msync(addr, length uintptr, flags int) error { return unix.Msync(bytes(addr, length), flags) }

// Mlock is mlock(2).
func Mlock(addr, length uintptr) error { return unix.Mlock(bytes(addr, length)) }

// Mlock2 is missing here.
func Mlock2(addr, length uintptr, flags int) error { return Unsupported("mlock2") }

// Munlock is munlock(2).
func Munlock(addr, length uintptr) error { return unix.Munlock(bytes(addr, length)) }

// Mlockall is mlockall(2).
func Mlockall(flags int) error {
	if flags&missing != 0 {
		return Unsupported("mlockall: this flag")
	}
	return unix.Mlockall(flags)
}

// Munlockall is munlockall(2).
func Munlockall() error { return unix.Munlockall() }

// Mprotect is mprotect(2).
func Mprotect(addr, length uintptr, prot uint32) error {
	if prot&missing != 0 {
		return Unsupported("mprotect: this protection")
	}
	return unix.Mprotect(bytes(addr, length), int(prot))
}

// Madvise is madvise(2).
func Madvise(addr, length uintptr, advice int) error {
	if advice&missing != 0 {
		return Unsupported("madvise: this advice")
	}
	return unix.Madvise(bytes(addr, length), advice)
}

// Mremap is missing here.
func Mremap(oldAddr, oldLength, newLength uintptr, flags int, newAddr uintptr) (uintptr, error) {
	return 0, Unsupported("mremap")
}

// Mincore has no wrapper in x/sys for these platforms.
func Mincore(addr, length uintptr, vec []byte) error { return Unsupported("mincore") }

func bytes(addr, length uintptr) []byte { return unsafe.Slice((*byte)(pointer(addr)), length) }

func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

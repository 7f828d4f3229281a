//go:build !linux && !darwin && !freebsd

package sys

// Mmap is missing here, and so are all the calls below.
func Mmap(addr, length uintptr, prot, flags uint32, fd int, offset int64) (uintptr, error) {
	return 0, Unsupported("mmap")
}

// Munmap is missing here.
func Munmap(addr, length uintptr) error { return Unsupported("munmap") }

// Msync is missing here.
func Msync(addr, length uintptr, flags int) error { return Unsupported("msync") }

// Mlock is missing here.
func Mlock(addr, length uintptr) error { return Unsupported("mlock") }

// Mlock2 is missing here.
func Mlock2(addr, length uintptr, flags int) error { return Unsupported("mlock2") }

// Munlock is missing here.
func Munlock(addr, length uintptr) error { return Unsupported("munlock") }

// Mlockall is missing here.
func Mlockall(flags int) error { return Unsupported("mlockall") }

// Munlockall is missing here.
func Munlockall() error { return Unsupported("munlockall") }

// Mprotect is missing here.
func Mprotect(addr, length uintptr, prot uint32) error { return Unsupported("mprotect") }

// Madvise is missing here.
func Madvise(addr, length uintptr, advice int) error { return Unsupported("madvise") }

// Mremap is missing here.
func Mremap(oldAddr, oldLength, newLength uintptr, flags int, newAddr uintptr) (uintptr, error) {
	return 0, Unsupported("mremap")
}

// Mincore is missing here.
func Mincore(addr, length uintptr, vec []byte) error { return Unsupported("mincore") }

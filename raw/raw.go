package raw

import (
	"os"

	"github.com/memwright/mmap/internal/sys"
)

// Mmap maps length bytes of fd from offset at addr, or where the kernel likes,
// and returns the address, or 0 on failure (mmap(2)). The length is rounded up
// to whole pages; offset must be a multiple of the page size.
func Mmap(addr uintptr, length int, prot Prot, flags Flag, fd int, offset int64) (uintptr, error) {
	got, err := sys.Mmap(addr, uintptr(length), uint32(prot), uint32(flags), fd, offset)
	if err != nil {
		return 0, failure("mmap", err)
	}
	return got, nil
}

// Munmap removes every page that [addr, addr+length) touches, whichever
// mappings they belong to (munmap(2)). Part of a mapping is fine, and so is a
// range with nothing in it; length 0 is EINVAL.
func Munmap(addr uintptr, length int) error {
	return failure("munmap", sys.Munmap(addr, uintptr(length)))
}

// Msync writes the dirty pages of a shared mapping to its file (msync(2)).
func Msync(addr uintptr, length int, flags SyncFlag) error {
	return failure("msync", sys.Msync(addr, uintptr(length), int(flags)))
}

// Mlock keeps every page that the range touches in memory (mlock(2)).
func Mlock(addr uintptr, length int) error {
	return failure("mlock", sys.Mlock(addr, uintptr(length)))
}

// Mlock2 is Mlock with flags (mlock2(2), Linux 4.4).
func Mlock2(addr uintptr, length int, flags LockFlag) error {
	return failure("mlock2", sys.Mlock2(addr, uintptr(length), int(flags)))
}

// Munlock undoes Mlock (munlock(2)). Locks do not nest: one call undoes all.
func Munlock(addr uintptr, length int) error {
	return failure("munlock", sys.Munlock(addr, uintptr(length)))
}

// Mlockall locks the whole address space (mlockall(2)). See the package's
// section on hazards before using MCL_FUTURE in a Go program.
func Mlockall(flags LockAllFlag) error { return failure("mlockall", sys.Mlockall(int(flags))) }

// Munlockall undoes Mlockall and every Mlock (munlockall(2)).
func Munlockall() error { return failure("munlockall", sys.Munlockall()) }

// Mprotect changes what may be done with every page that the range touches
// (mprotect(2)).
func Mprotect(addr uintptr, length int, prot Prot) error {
	return failure("mprotect", sys.Mprotect(addr, uintptr(length), uint32(prot)))
}

// Madvise advises the kernel about the range (madvise(2)).
func Madvise(addr uintptr, length int, advice Advice) error {
	return failure("madvise", sys.Madvise(addr, uintptr(length), int(advice)))
}

// Mremap grows, shrinks or moves a mapping and returns its address, or 0 on
// failure (mremap(2)).
// newAddr counts only with MREMAP_FIXED or MREMAP_DONTUNMAP.
func Mremap(oldAddr uintptr, oldLength, newLength int, flags RemapFlag, newAddr uintptr) (uintptr, error) {
	got, err := sys.Mremap(oldAddr, uintptr(oldLength), uintptr(newLength), int(flags), newAddr)
	return got, failure("mremap", err)
}

// Mincore fills one byte of vec for each page that the range touches: bit 0
// tells that it is in memory (mincore(2)). A vec that is too short is EINVAL.
// For a file that the caller neither owns nor may write, the kernel answers
// "in memory" for every page, whatever is true (since Linux 5.2).
func Mincore(addr uintptr, length int, vec []byte) error {
	// As the kernel counts: a negative length is a huge one, and a 32-bit
	// process may have that much mapped.
	if n := uintptr(length); n > 0 && uintptr(len(vec)) < (n-1)/uintptr(os.Getpagesize())+1 {
		return failure("mincore", sys.EINVAL)
	}
	return failure("mincore", sys.Mincore(addr, uintptr(length), vec))
}

func failure(call string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call, err)
}

//go:build !linux && !darwin && !freebsd

package sys

// Linux's numbers: no call here takes them, but code that names them compiles.

// Protection of a mapping, for Mmap and Mprotect.
const (
	PROT_NONE  = 0
	PROT_READ  = 1
	PROT_WRITE = 2
	PROT_EXEC  = 4
)

// Flags of Mmap.
const (
	MAP_SHARED    = 1
	MAP_PRIVATE   = 2
	MAP_FIXED     = 16
	MAP_ANONYMOUS = 32
)

// Flags of Msync.
const (
	MS_ASYNC      = 1
	MS_SYNC       = 4
	MS_INVALIDATE = 2
)

// Advice to Madvise.
const (
	MADV_NORMAL     = 0
	MADV_RANDOM     = 1
	MADV_SEQUENTIAL = 2
	MADV_WILLNEED   = 3
	MADV_DONTNEED   = 4
)

// Flags of Mlockall, Mlock2 and Mremap.
const (
	MCL_CURRENT = 1
	MCL_FUTURE  = 2
)

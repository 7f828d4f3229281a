//go:build darwin || freebsd

package sys

import "golang.org/x/sys/unix"

// Protection of a mapping, for Mmap and Mprotect.
const (
	PROT_NONE  = unix.PROT_NONE
	PROT_READ  = unix.PROT_READ
	PROT_WRITE = unix.PROT_WRITE
	PROT_EXEC  = unix.PROT_EXEC
)

// Flags of Mmap.
const (
	MAP_SHARED    = unix.MAP_SHARED
	MAP_PRIVATE   = unix.MAP_PRIVATE
	MAP_FIXED     = unix.MAP_FIXED
	MAP_ANONYMOUS = unix.MAP_ANONYMOUS
)

// Flags of Msync.
const (
	MS_ASYNC      = unix.MS_ASYNC
	MS_SYNC       = unix.MS_SYNC
	MS_INVALIDATE = unix.MS_INVALIDATE
)

// Advice to Madvise.
const (
	MADV_NORMAL     = unix.MADV_NORMAL
	MADV_RANDOM     = unix.MADV_RANDOM
	MADV_SEQUENTIAL = unix.MADV_SEQUENTIAL
	MADV_WILLNEED   = unix.MADV_WILLNEED
	MADV_DONTNEED   = unix.MADV_DONTNEED
)

// Flags of Mlockall, Mlock2 and Mremap.
const (
	MCL_CURRENT = unix.MCL_CURRENT
	MCL_FUTURE  = unix.MCL_FUTURE
)

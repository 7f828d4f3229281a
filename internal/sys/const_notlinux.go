//go:build !linux

package sys

// What only Linux has. Each value carries the bit missing, which every call of
// this package answers with errors.ErrUnsupported.

// Protection of a mapping, for Mmap and Mprotect.
const (
	PROT_GROWSDOWN = missing + 1
	PROT_GROWSUP   = missing + 2
	PROT_SEM       = missing + 3
)

// Flags of Mmap.
const (
	MAP_SHARED_VALIDATE = missing + 4
	MAP_DROPPABLE       = missing + 5
	MAP_TYPE            = MAP_SHARED | MAP_PRIVATE
	MAP_FIXED_NOREPLACE = missing + 6
	MAP_GROWSDOWN       = missing + 7
	MAP_DENYWRITE       = missing + 8
	MAP_EXECUTABLE      = missing + 9
	MAP_LOCKED          = missing + 10
	MAP_NORESERVE       = missing + 11
	MAP_POPULATE        = missing + 12
	MAP_NONBLOCK        = missing + 13
	MAP_STACK           = missing + 14
	MAP_HUGETLB         = missing + 15
	MAP_SYNC            = missing + 16
	MAP_HUGE_SHIFT      = 0x1a
	MAP_HUGE_MASK       = 0x3f
	MAP_HUGE_16KB       = missing + 17
	MAP_HUGE_64KB       = missing + 18
	MAP_HUGE_512KB      = missing + 19
	MAP_HUGE_1MB        = missing + 20
	MAP_HUGE_2MB        = missing + 21
	MAP_HUGE_8MB        = missing + 22
	MAP_HUGE_16MB       = missing + 23
	MAP_HUGE_32MB       = missing + 24
	MAP_HUGE_256MB      = missing + 25
	MAP_HUGE_512MB      = missing + 26
	MAP_HUGE_1GB        = missing + 27
	MAP_HUGE_2GB        = missing + 28
	MAP_HUGE_16GB       = missing + 29
	MAP_UNINITIALIZED   = missing + 30
)

// Advice to Madvise.
const (
	MADV_FREE            = missing + 31
	MADV_REMOVE          = missing + 32
	MADV_DONTFORK        = missing + 33
	MADV_DOFORK          = missing + 34
	MADV_HWPOISON        = missing + 35
	MADV_MERGEABLE       = missing + 36
	MADV_UNMERGEABLE     = missing + 37
	MADV_HUGEPAGE        = missing + 38
	MADV_NOHUGEPAGE      = missing + 39
	MADV_DONTDUMP        = missing + 40
	MADV_DODUMP          = missing + 41
	MADV_WIPEONFORK      = missing + 42
	MADV_KEEPONFORK      = missing + 43
	MADV_COLD            = missing + 44
	MADV_PAGEOUT         = missing + 45
	MADV_POPULATE_READ   = missing + 46
	MADV_POPULATE_WRITE  = missing + 47
	MADV_DONTNEED_LOCKED = missing + 48
	MADV_COLLAPSE        = missing + 49
	MADV_GUARD_INSTALL   = missing + 50
	MADV_GUARD_REMOVE    = missing + 51
	MADV_SOFT_OFFLINE    = missing + 52
)

// Flags of Mlockall, Mlock2 and Mremap.
const (
	MCL_ONFAULT      = missing + 53
	MLOCK_ONFAULT    = missing + 54
	MREMAP_MAYMOVE   = missing + 55
	MREMAP_FIXED     = missing + 56
	MREMAP_DONTUNMAP = missing + 57
)

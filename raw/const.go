package raw

import "github.com/memwright/mmap/internal/sys"

// Prot is what may be done with the pages of a mapping.
type Prot uint32

// The values of Prot.
const (
	PROT_NONE      Prot = sys.PROT_NONE      // no access: any raises SIGSEGV
	PROT_READ      Prot = sys.PROT_READ      // loads
	PROT_WRITE     Prot = sys.PROT_WRITE     // stores
	PROT_EXEC      Prot = sys.PROT_EXEC      // instructions
	PROT_SEM       Prot = sys.PROT_SEM       // pages usable for atomic operations; no effect on Linux
	PROT_GROWSDOWN Prot = sys.PROT_GROWSDOWN // Mprotect: extend the change to the start of a mapping that grows down
	PROT_GROWSUP   Prot = sys.PROT_GROWSUP   // Mprotect: extend the change to the end of a mapping that grows up
)

// Flag is the type of a mapping and how it is made. A flag that only Linux has
// is refused elsewhere.
type Flag uint32

// The values of Flag.
const (
	MAP_SHARED          Flag = sys.MAP_SHARED          // stores reach the file and everyone who maps it
	MAP_PRIVATE         Flag = sys.MAP_PRIVATE         // stores copy the page and stay here
	MAP_SHARED_VALIDATE Flag = sys.MAP_SHARED_VALIDATE // MAP_SHARED, and an unknown flag is EOPNOTSUPP (4.15)
	MAP_DROPPABLE       Flag = sys.MAP_DROPPABLE       // private memory that reclaim may zero at any moment (6.11)
	MAP_TYPE            Flag = sys.MAP_TYPE            // the mask of the four types above
	MAP_FIXED           Flag = sys.MAP_FIXED           // exactly at addr, replacing what is there
	MAP_ANONYMOUS       Flag = sys.MAP_ANONYMOUS       // no file: zeros; fd should be -1
	MAP_FIXED_NOREPLACE Flag = sys.MAP_FIXED_NOREPLACE // exactly at addr, or EEXIST (4.17)
	MAP_GROWSDOWN       Flag = sys.MAP_GROWSDOWN       // grows towards lower addresses, like a stack
	MAP_DENYWRITE       Flag = sys.MAP_DENYWRITE       // ignored
	MAP_EXECUTABLE      Flag = sys.MAP_EXECUTABLE      // ignored
	MAP_LOCKED          Flag = sys.MAP_LOCKED          // lock the pages; a failure to bring them in is swallowed
	MAP_NORESERVE       Flag = sys.MAP_NORESERVE       // reserve no swap: a store may fail with SIGSEGV when memory is short
	MAP_POPULATE        Flag = sys.MAP_POPULATE        // bring the pages in; a failure is swallowed
	MAP_NONBLOCK        Flag = sys.MAP_NONBLOCK        // with MAP_POPULATE: do nothing
	MAP_STACK           Flag = sys.MAP_STACK           // no transparent huge pages (6.7); no effect before
	MAP_HUGETLB         Flag = sys.MAP_HUGETLB         // huge pages from the pool, of the size that MAP_HUGE_* names
	MAP_SYNC            Flag = sys.MAP_SYNC            // MAP_SHARED_VALIDATE on DAX: file metadata is durable before a store succeeds (4.15)
	MAP_UNINITIALIZED   Flag = sys.MAP_UNINITIALIZED   // do not clear pages; honoured only on machines without an MMU
	MAP_32BIT           Flag = sys.MAP_32BIT           // x86: in the low 2 GiB
	MAP_ABOVE4G         Flag = sys.MAP_ABOVE4G         // x86: above 4 GiB
	MAP_HUGE_SHIFT      Flag = sys.MAP_HUGE_SHIFT      // where the log2 of the huge page size stands
	MAP_HUGE_MASK       Flag = sys.MAP_HUGE_MASK       // its width
	MAP_HUGE_16KB       Flag = sys.MAP_HUGE_16KB
	MAP_HUGE_64KB       Flag = sys.MAP_HUGE_64KB
	MAP_HUGE_512KB      Flag = sys.MAP_HUGE_512KB
	MAP_HUGE_1MB        Flag = sys.MAP_HUGE_1MB
	MAP_HUGE_2MB        Flag = sys.MAP_HUGE_2MB
	MAP_HUGE_8MB        Flag = sys.MAP_HUGE_8MB
	MAP_HUGE_16MB       Flag = sys.MAP_HUGE_16MB
	MAP_HUGE_32MB       Flag = sys.MAP_HUGE_32MB
	MAP_HUGE_256MB      Flag = sys.MAP_HUGE_256MB
	MAP_HUGE_512MB      Flag = sys.MAP_HUGE_512MB
	MAP_HUGE_1GB        Flag = sys.MAP_HUGE_1GB
	MAP_HUGE_2GB        Flag = sys.MAP_HUGE_2GB
	MAP_HUGE_16GB       Flag = sys.MAP_HUGE_16GB
)

// SyncFlag tells Msync what to do.
type SyncFlag int

// The values of SyncFlag.
const (
	MS_ASYNC      SyncFlag = sys.MS_ASYNC      // nothing, since Linux 2.6.19
	MS_SYNC       SyncFlag = sys.MS_SYNC       // write the range and wait
	MS_INVALIDATE SyncFlag = sys.MS_INVALIDATE // EBUSY if a page is locked; otherwise nothing on Linux
)

// Advice tells Madvise what to expect, and some of it destroys data: see
// madvise(2).
type Advice int

// The values of Advice.
const (
	MADV_NORMAL          Advice = sys.MADV_NORMAL          // the default read-ahead
	MADV_RANDOM          Advice = sys.MADV_RANDOM          // no read-ahead
	MADV_SEQUENTIAL      Advice = sys.MADV_SEQUENTIAL      // read far ahead
	MADV_WILLNEED        Advice = sys.MADV_WILLNEED        // start reading in; maps nothing
	MADV_DONTNEED        Advice = sys.MADV_DONTNEED        // drop the pages: private ones are lost
	MADV_FREE            Advice = sys.MADV_FREE            // private anonymous pages may be lost from now on (4.5)
	MADV_REMOVE          Advice = sys.MADV_REMOVE          // punch a hole in the file
	MADV_DONTFORK        Advice = sys.MADV_DONTFORK        // a child does not get the range
	MADV_DOFORK          Advice = sys.MADV_DOFORK          // undo MADV_DONTFORK
	MADV_HWPOISON        Advice = sys.MADV_HWPOISON        // poison the page, for tests of memory errors
	MADV_SOFT_OFFLINE    Advice = sys.MADV_SOFT_OFFLINE    // move the page away and retire its frame
	MADV_MERGEABLE       Advice = sys.MADV_MERGEABLE       // let KSM merge equal pages
	MADV_UNMERGEABLE     Advice = sys.MADV_UNMERGEABLE     // undo MADV_MERGEABLE
	MADV_HUGEPAGE        Advice = sys.MADV_HUGEPAGE        // use transparent huge pages
	MADV_NOHUGEPAGE      Advice = sys.MADV_NOHUGEPAGE      // do not
	MADV_DONTDUMP        Advice = sys.MADV_DONTDUMP        // leave the range out of core dumps
	MADV_DODUMP          Advice = sys.MADV_DODUMP          // undo MADV_DONTDUMP
	MADV_WIPEONFORK      Advice = sys.MADV_WIPEONFORK      // a child sees zeros (4.14)
	MADV_KEEPONFORK      Advice = sys.MADV_KEEPONFORK      // undo MADV_WIPEONFORK
	MADV_COLD            Advice = sys.MADV_COLD            // reclaim these first (5.4)
	MADV_PAGEOUT         Advice = sys.MADV_PAGEOUT         // reclaim these now (5.4)
	MADV_POPULATE_READ   Advice = sys.MADV_POPULATE_READ   // bring the pages in for reading, and report a failure (5.14)
	MADV_POPULATE_WRITE  Advice = sys.MADV_POPULATE_WRITE  // bring the pages in for writing, dirtying them (5.14)
	MADV_DONTNEED_LOCKED Advice = sys.MADV_DONTNEED_LOCKED // MADV_DONTNEED on locked pages too (5.18)
	MADV_COLLAPSE        Advice = sys.MADV_COLLAPSE        // make huge pages of the range now (6.1)
	MADV_GUARD_INSTALL   Advice = sys.MADV_GUARD_INSTALL   // make pages that raise SIGSEGV, without an area of their own (6.13)
	MADV_GUARD_REMOVE    Advice = sys.MADV_GUARD_REMOVE    // undo MADV_GUARD_INSTALL
)

// LockAllFlag tells Mlockall what to lock.
type LockAllFlag int

// The values of LockAllFlag.
const (
	MCL_CURRENT LockAllFlag = sys.MCL_CURRENT // what is mapped now
	MCL_FUTURE  LockAllFlag = sys.MCL_FUTURE  // what will be mapped
	MCL_ONFAULT LockAllFlag = sys.MCL_ONFAULT // with the others: pages as they are touched (4.4)
)

// LockFlag tells Mlock2 how to lock.
type LockFlag int

// The values of LockFlag.
const (
	MLOCK_ONFAULT LockFlag = sys.MLOCK_ONFAULT // lock pages as they are touched
)

// RemapFlag tells Mremap what it may do.
type RemapFlag int

// The values of RemapFlag.
const (
	MREMAP_MAYMOVE   RemapFlag = sys.MREMAP_MAYMOVE   // to another address if need be
	MREMAP_FIXED     RemapFlag = sys.MREMAP_FIXED     // to newAddr, replacing what is there
	MREMAP_DONTUNMAP RemapFlag = sys.MREMAP_DONTUNMAP // move the pages, leave the old range mapped and empty (5.7)
)

package mmap

import "fmt"

// Options says how to map. The zero value maps a whole file read-only and
// shared, or anonymous memory read-write and private.
type Options struct {
	// Access is what may be done with the memory and who sees it.
	Access Access
	// Exec makes the pages executable too (PROT_EXEC).
	Exec bool
	// Offset is where in the file the mapping starts: any byte offset.
	// Anonymous memory has none.
	Offset int64
	// Length is the mapping's length in bytes; 0 is up to the end of the file.
	// With ReadWrite a length that reaches past the end grows the file, and
	// reserves blocks for the mapped part of what is new; otherwise it is an
	// error. What has no size (devices, sockets) needs a Length.
	Length int
	// Reserve is address space in bytes kept from the start of the mapping for
	// growth: Resize up to it never moves the bytes. 0 keeps none.
	Reserve int
	// Sharing is for Anonymous only.
	Sharing Sharing
	// Pattern tells the kernel how the memory will be used.
	Pattern Pattern
	// Populate brings every page in before the call returns, and fails it if
	// a page can't be had. It reads: no page of a file becomes dirty.
	Populate bool
	// Lock keeps the pages in memory: see Mapping.Lock.
	Lock LockMode
	// HugePages asks for pages larger than the base page.
	HugePages HugePages
	// NoReserve takes no reservation of swap space (MAP_NORESERVE): a store
	// to private memory may then be killed when memory is short.
	NoReserve bool
	// Addr is the address that Placement speaks of. It must lie as far into
	// its page as Offset lies into its own, so that the mapping's Addr can be
	// exactly this.
	Addr uintptr
	// Placement says what Addr means.
	Placement Placement
}

// Access is what may be done with the memory of a mapping, and who sees it.
type Access uint8

// The kinds of access.
const (
	DefaultAccess Access = iota // ReadOnly for files, ReadWrite for Anonymous
	ReadOnly                    // loads only; the file's changes show
	ReadWrite                   // shared: stores reach the file and everyone who maps it
	CopyOnWrite                 // private: a store copies the page and stays here; pages not stored to show the file's changes
	NoAccess                    // addresses only: every access faults until Protect allows it
)

func (a Access) String() string {
	return name("Access", a, "default access", "read-only", "read-write", "copy-on-write", "no access")
}

// Sharing is who can see anonymous memory.
type Sharing uint8

// The ways to share anonymous memory.
const (
	Private Sharing = iota // this process
	Shared                 // whoever maps the descriptor that Mapping.File gives (a memfd)
)

func (s Sharing) String() string { return name("Sharing", s, "private", "shared") }

// Pattern is how the memory will be used. It changes what the kernel reads
// ahead and nothing else.
type Pattern uint8

// The patterns.
const (
	Normal     Pattern = iota // read ahead around what is touched
	Sequential                // read far ahead (MADV_SEQUENTIAL)
	Random                    // read only what is touched (MADV_RANDOM); a sequential scan gets many times slower
)

func (p Pattern) String() string { return name("Pattern", p, "normal", "sequential", "random") }

// LockMode is how pages are kept in memory.
type LockMode uint8

// The ways to lock.
const (
	LockNone    LockMode = iota // not at all
	LockNow                     // bring every page in and keep it; a page that can't be had is an error
	LockOnFault                 // keep each page once it has been touched (mlock2, Linux 4.4)
)

func (l LockMode) String() string { return name("LockMode", l, "no lock", "lock now", "lock on fault") }

// HugePages asks for pages larger than the base page.
type HugePages uint8

// The kinds of huge pages.
const (
	NoHugePages     HugePages = iota // base pages, or what the kernel chooses
	TransparentHuge                  // whatever huge pages the kernel can make (MADV_HUGEPAGE)
	Huge2MiB                         // from the pool of 2 MiB pages: anonymous memory, or a file on hugetlbfs
	Huge1GiB                         // from the pool of 1 GiB pages: the same
)

func (h HugePages) String() string {
	return name("HugePages", h, "base pages", "transparent huge pages", "2 MiB pages", "1 GiB pages")
}

// pageShift is the log2 of the size of a page from the pool, 0 for others.
func (h HugePages) pageShift() uint {
	switch h {
	case Huge2MiB:
		return 21
	case Huge1GiB:
		return 30
	}
	return 0
}

// Placement says what Options.Addr means.
//
// FixedReplace is meant for addresses that the caller holds by an anonymous
// mapping with NoAccess: that one can't be closed while others stand in it, and
// keeps the addresses when they close. Over anything else it is as dangerous as
// it sounds: over the Go heap it kills the process, and the Close of a mapping
// that was replaced takes the memory of the one that replaced it.
type Placement uint8

// The placements.
const (
	Anywhere       Placement = iota // the kernel chooses; Addr must be 0
	Hint                            // near Addr if that is free
	FixedNoReplace                  // at Addr, or an error for which errors.Is(err, fs.ErrExist) holds (MAP_FIXED_NOREPLACE, Linux 4.17)
	FixedReplace                    // at Addr, destroying whatever is mapped there (MAP_FIXED)
)

func (p Placement) String() string {
	return name("Placement", p, "anywhere", "hint", "fixed, replacing nothing", "fixed, replacing what is there")
}

// Prot is what may be done with pages, for Mapping.Protect.
type Prot uint8

// The protections; they combine by |. On most machines a page that may be
// written or executed may also be read.
const (
	ProtNone Prot = 0
	ProtRead Prot = 1 << (iota - 1)
	ProtWrite
	ProtExec
)

func (p Prot) String() string {
	b := []byte("---")
	for i, c := range []byte("rwx") {
		if p&(1<<i) != 0 {
			b[i] = c
		}
	}
	return string(b)
}

// name spells an enumeration's value.
func name[T ~uint8](kind string, v T, names ...string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", kind, v)
}

package vmem

import "iter"

// An address has 48 bits: nine for each of the four levels of the page table,
// and twelve for the byte in its page.
//
//	 47        39 38        30 29        21 20        12 11         0
//	+------------+------------+------------+------------+------------+
//	|  level 3   |  level 2   |  level 1   |  level 0   |  in page   |
//	+------------+------------+------------+------------+------------+
//
// A level that nothing is mapped through does not exist, which is why a table
// of 2^36 entries costs nothing until it is used.
const (
	levelBits = 9
	fanout    = 1 << levelBits
)

// canonical tells whether the processor can look an address up: bits 48 to 63
// are copies of bit 47.
func (a Addr) canonical() bool { return a+(1<<47) < 1<<48 }

// Bits are what an entry of a page table says about its page.
//
// An entry goes through these states:
//
//	empty    -> present            a fault brought a page in
//	present  -> present, accessed  a load
//	present  -> accessed, dirty    a store through a writable entry
//	writable -> not writable       fork, write-back, mprotect
//	present  -> hidden             mprotect to PROT_NONE: the page stays, nobody reaches it
//	any      -> empty              munmap, truncation, eviction, MADV_DONTNEED
type Bits uint8

// The bits of an entry.
const (
	Present  Bits = 1 << iota // the processor may read through it
	Writable                  // and write, without asking the kernel
	Accessed                  // it was used since the bit was last cleared
	Dirty                     // it was written through since the page was last clean
	Private                   // the page is the process's own copy, no page of an object
)

// An entry is one page of a process, where it is and what the processor may do,
// or above that a level.
type entry struct {
	frame *frame // nil: empty
	bits  Bits
	below *level
}

// allows tells whether the processor gets through without a fault.
func (e *entry) allows(how vmFlags) bool {
	return e.bits&Present != 0 && (how != store || e.bits&Writable != 0)
}

// A table is a page table. The levels below its root come and go with what they
// hold.
type table struct{ root level }

// A level has 512 entries.
type level struct {
	used    int // of them
	entries [fanout]entry
}

// slot is where the entry is that leads to a, in a level that is so many above
// the lowest.
func slot(a Addr, height int) int {
	return int(a>>(pageShift+levelBits*height)) & (fanout - 1)
}

// lowest is the level that a's entry is in, or nil and how many bytes the level
// stands for that is missing.
func (t *table) lowest(a Addr) (l *level, missing Addr) {
	l = &t.root
	for height := 3; height > 0; height-- {
		if l = l.entries[slot(a, height)].below; l == nil {
			return nil, PageSize << (levelBits * height)
		}
	}
	return l, 0
}

// lookup finds the entry of a's page, nil where a level is missing. The upper
// half of all addresses is the kernel's, and is in no table here.
func (t *table) lookup(a Addr) *entry {
	if a >= 1<<47 {
		return nil
	}
	if l, _ := t.lowest(a); l != nil {
		return &l.entries[slot(a, 0)]
	}
	return nil
}

// levels are those that lead to the entry of a's page, the lowest first. Those
// that are missing are made.
func (t *table) levels(a Addr) (path [4]*level) {
	path[3] = &t.root
	for height := 3; height > 0; height-- {
		e := &path[height].entries[slot(a, height)]
		if e.below == nil {
			e.below = new(level)
			path[height].used++
		}
		path[height-1] = e.below
	}
	return path
}

// set fills the entry of a's page, which was empty.
func (t *table) set(a Addr, e entry) {
	lowest := t.levels(a)[0]
	lowest.entries[slot(a, 0)] = e
	lowest.used++
}

// clear empties the entry of a's page, which was not empty, and drops the
// levels that hold nothing any more.
func (t *table) clear(a Addr) {
	for height, l := range t.levels(a) {
		l.entries[slot(a, height)] = entry{}
		if l.used--; l.used > 0 {
			return
		}
	}
}

// all yields the entries of [start, end) that are not empty, in order. The
// caller may clear them.
func (t *table) all(start, end Addr) iter.Seq2[Addr, *entry] {
	return func(yield func(Addr, *entry) bool) {
		for at := start.floor(); at < min(end, 1<<47); {
			l, missing := t.lowest(at)
			if l == nil {
				at = at&^(missing-1) + missing
				continue
			}
			for i := slot(at, 0); i < fanout && at < end; i, at = i+1, at+PageSize {
				if e := &l.entries[i]; e.frame != nil && !yield(at, e) {
					return
				}
			}
		}
	}
}

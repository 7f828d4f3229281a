package vmem

import (
	"iter"
	"slices"
	"sort"
)

// vmFlags are what an area is: what may be done with it and how the kernel
// treats it. Two areas are one only if all of these are the same.
type vmFlags uint32

const (
	vmRead       vmFlags = 1 << iota // PROT_READ
	vmWrite                          // PROT_WRITE
	vmExec                           // PROT_EXEC
	vmMayRead                        // mprotect may add it: the file allows it
	vmMayWrite                       //
	vmMayExec                        //
	vmShared                         // MAP_SHARED of something that may be written
	vmMayShare                       // MAP_SHARED of anything; the s in maps
	vmLocked                         // mlock: its pages stay in memory
	vmOnFault                        // MLOCK_ONFAULT: those that are brought in
	vmRandom                         // MADV_RANDOM: no read-ahead
	vmSequential                     // MADV_SEQUENTIAL: read ahead, never behind
	vmDontCopy                       // MADV_DONTFORK
	vmWipeOnFork                     // MADV_WIPEONFORK
	vmDontDump                       // MADV_DONTDUMP
	vmNoReserve                      // MAP_NORESERVE
	vmNoHuge                         // MAP_STACK: no huge pages, which there are none of here anyway
	vmAccount                        // counted as memory that may be needed

	vmAccess    = vmRead | vmWrite | vmExec
	vmLockFlags = vmLocked | vmOnFault
)

// An area is a run of pages of one kind. Between two calls these hold:
//
//	areas do not overlap, are not empty, begin and end at page borders
//	entries of the page table lie inside areas
//	a private area that has a page of its own has a lineage
type area struct {
	start, end Addr
	pgoff      uint64   // page of the object at start; of private memory, the page it was born at
	flags      vmFlags  //
	file       *File    // nil: private memory without a file
	lineage    *lineage // nil: none of its pages is its own yet
}

// A lineage is the family of the private pages of an area. It begins with the
// first page that is copied or made, goes along when areas are split, and is
// what keeps two areas apart whose pages have different families (Linux:
// anon_vma). A child's areas have lineages of their own, behind their parents'.
type lineage struct{ inherited bool }

// may is what mprotect may give.
func (a *area) may() vmFlags { return a.flags / vmMayRead & vmAccess }

func (a *area) pages() uint64 { return pages(a.start, a.end) }

// page is which page of the object, or of private memory, an address shows.
func (a *area) page(at Addr) uint64 { return a.pgoff + pages(a.start, at.floor()) }

// private tells whether stores stay with the process.
func (a *area) private() bool { return a.flags&vmShared == 0 }

// part is the piece of a in [start, end).
func (a *area) part(start, end Addr) *area {
	p := *a
	p.start, p.end, p.pgoff = start, end, a.page(start)
	return &p
}

// A space is the areas of a process, sorted, with their sums in pages.
type space struct {
	areas   []*area
	total   uint64  // all areas: RLIMIT_AS
	data    uint64  // private and writable: RLIMIT_DATA
	locked  uint64  // locked: RLIMIT_MEMLOCK
	locking vmFlags // what mlockall(MCL_FUTURE) gives to new areas
}

// index is the place of the first area that ends after a.
func (s *space) index(a Addr) int {
	return sort.Search(len(s.areas), func(i int) bool { return s.areas[i].end > a })
}

// at is the area that a lies in, or nil.
func (s *space) at(a Addr) *area {
	if i := s.index(a); i < len(s.areas) && s.areas[i].start <= a {
		return s.areas[i]
	}
	return nil
}

// parts yields what lies in [start, end), in order: of each area a copy of the
// part that is inside, and nil for each hole. An area is looked up when its turn
// comes, so that those before it may be changed meanwhile.
func (s *space) parts(start, end Addr) iter.Seq[*area] {
	return func(yield func(*area) bool) {
		for at := start; at < end; {
			var part *area
			to := end
			if i := s.index(at); i < len(s.areas) && s.areas[i].start > at {
				to = min(end, s.areas[i].start)
			} else if i < len(s.areas) {
				to = min(end, s.areas[i].end)
				part = s.areas[i].part(at, to)
			}
			if !yield(part) {
				return
			}
			at = to
		}
	}
}

// count adds an area to the sums, or with sign -1 takes it out.
func (s *space) count(a *area, sign int) {
	n := a.pages() * uint64(sign)
	s.total += n
	if a.flags&(vmWrite|vmShared) == vmWrite {
		s.data += n
	}
	if a.flags&vmLocked != 0 {
		s.locked += n
	}
}

// link puts an area into its place, as it is.
func (s *space) link(a *area) {
	s.areas = slices.Insert(s.areas, s.index(a.start), a)
	s.count(a, 1)
}

// unlink takes an area out.
func (s *space) unlink(a *area) {
	i := s.index(a.start)
	s.areas = slices.Delete(s.areas, i, i+1)
	s.count(a, -1)
}

// cut splits the area that has a in its middle in two.
func (s *space) cut(a Addr) {
	if old := s.at(a); old != nil && old.start < a {
		s.areas = slices.Insert(s.areas, s.index(a)+1, old.part(a, old.end))
		old.end = a
	}
}

// remove takes [start, end) out of the areas.
func (s *space) remove(start, end Addr) {
	s.cut(start)
	s.cut(end)
	for i := s.index(start); i < len(s.areas) && s.areas[i].start < end; {
		s.unlink(s.areas[i])
	}
}

// follows tells whether b continues a: at the next address, with the next page
// of the same file, and alike in everything else.
func follows(a, b *area) bool {
	return a != nil && b != nil && a.end == b.start && a.flags == b.flags && a.file == b.file &&
		a.page(a.end-1)+1 == b.pgoff
}

// akin tells whether an area that was there can take in one that comes: if
// both have a lineage it must be the same, and a lineage that goes to the other
// must not be inherited, or what parents and children share would spread.
func akin(there, comes *area) bool {
	switch {
	case comes.lineage == nil:
		return there.lineage == nil || !there.lineage.inherited
	case there.lineage == nil:
		return !comes.lineage.inherited
	}
	return there.lineage == comes.lineage
}

// takers are the areas before and after a that can take it in, nil where none can.
func (s *space) takers(a *area) (prev, next *area) {
	if n := s.at(a.start - 1); follows(n, a) && akin(n, a) {
		prev = n
	}
	if n := s.at(a.end); follows(a, n) && akin(n, a) &&
		(prev == nil || prev.lineage == nil || n.lineage == nil || prev.lineage == n.lineage) {
		next = n
	}
	return prev, next
}

// merge links a, as one with the areas before and after that can take it in.
func (s *space) merge(a *area) {
	prev, next := s.takers(a)
	s.absorb(a, prev)
	s.absorb(a, next)
	s.link(a)
}

// absorb takes a neighbour out, if there is one, and makes a, which is not
// linked, as long as both.
func (s *space) absorb(a, n *area) {
	if n == nil {
		return
	}
	s.unlink(n)
	if n.start < a.start {
		a.start, a.pgoff = n.start, n.pgoff
	}
	a.end = max(a.end, n.end)
	if a.lineage == nil {
		a.lineage = n.lineage
	}
}

// extend makes an area longer, and one with the area after it if that continues
// it then. An inherited lineage does spread here: Linux looks for it in the area
// that comes, and none does.
func (s *space) extend(a *area, end Addr) {
	s.unlink(a)
	a.end = end
	if next := s.at(end); follows(a, next) && (next.lineage == nil || akin(next, a)) {
		s.absorb(a, next)
	}
	s.link(a)
}

// modify gives a part of an area other flags. It merges with its neighbours if
// it can; if it can't, the area is split, which may be one area too many:
// ENOMEM, and the first of two splits stays.
func (p *Process) modify(part *area, flags vmFlags) error {
	if part.flags == flags {
		return nil
	}
	part.flags = flags
	changed := *part
	prev, next := p.takers(&changed)
	alone := prev == nil && next == nil
	for _, border := range []Addr{part.start, part.end} {
		if a := p.at(border); alone && a != nil && a.start < border && len(p.areas) >= p.m.cfg.MaxAreas {
			return ENOMEM
		}
		p.cut(border)
	}
	p.remove(part.start, part.end)
	p.merge(&changed)
	return nil
}

// begin gives an area the lineage that its first page of its own needs: that of
// a neighbour it could have been one with, if they differed in nothing but
// protection, or a new one.
func (s *space) begin(a *area) {
	if a.lineage != nil {
		return
	}
	a.lineage = new(lineage)
	for _, n := range []*area{s.at(a.start - 1), s.at(a.end)} {
		if n == nil || n.lineage == nil || n.lineage.inherited {
			continue
		}
		alike := *n
		alike.flags = n.flags&^vmAccess | a.flags&vmAccess
		if follows(&alike, a) || follows(a, &alike) {
			a.lineage = n.lineage
		}
	}
}

// place finds room for n bytes: the highest free range below base, or if there
// is none the lowest above it.
func (s *space) place(n uint64, c *Config) (at Addr, err error) {
	top, err := c.High, error(ENOMEM)
	for i := len(s.areas); i >= 0; i-- {
		bottom := c.Low
		if i > 0 {
			bottom = max(bottom, s.areas[i-1].end)
		}
		if end := min(top, c.Base); end > bottom && uint64(end-bottom) >= n {
			return end - Addr(n), nil
		}
		if start := max(bottom, c.Base); top > start && uint64(top-start) >= n {
			at, err = start, nil
		}
		if i > 0 {
			top = s.areas[i-1].start
		}
	}
	return at, err
}

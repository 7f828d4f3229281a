package vmem

import (
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

// inherited tells whether the pages may be shared with a parent.
func (a *area) inherited() bool { return a != nil && a.lineage != nil && a.lineage.inherited }

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

// first is the first area that ends after a, or nil.
func (s *space) first(a Addr) *area {
	if i := s.index(a); i < len(s.areas) {
		return s.areas[i]
	}
	return nil
}

// in returns the areas that overlap [start, end).
func (s *space) in(start, end Addr) []*area {
	i := s.index(start)
	j := i
	for j < len(s.areas) && s.areas[j].start < end {
		j++
	}
	return s.areas[i:j:j]
}

// free tells whether no area overlaps [start, end).
func (s *space) free(start, end Addr) bool { return len(s.in(start, end)) == 0 }

// count adds an area to the sums, or with sign -1 takes it out.
func (s *space) count(a *area, sign uint64) {
	n := a.pages() * sign
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
	s.count(a, ^uint64(0))
}

// cut splits the area that has a in its middle in two.
func (s *space) cut(a Addr) {
	old := s.at(a)
	if old == nil || old.start == a {
		return
	}
	upper := old.part(a, old.end)
	s.areas = slices.Insert(s.areas, s.index(a)+1, upper)
	old.end = a
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
	case there.lineage == nil && comes.lineage != nil:
		return !comes.inherited()
	case there.lineage != nil && comes.lineage == nil:
		return !there.inherited()
	}
	return there.lineage == comes.lineage
}

// merge links a and makes it one with the areas before and after where it
// continues them. It returns the area that a is in now.
func (s *space) merge(a *area) *area {
	prev, next := s.around(a)
	left := follows(prev, a) && akin(prev, a)
	right := follows(a, next) && akin(next, a) &&
		!(left && prev.lineage != nil && next.lineage != nil && prev.lineage != next.lineage)
	whole := *a
	for _, n := range []struct {
		yes bool
		*area
	}{{left, prev}, {right, next}} {
		if n.yes {
			s.unlink(n.area)
			whole.start, whole.end = min(whole.start, n.start), max(whole.end, n.end)
			if n.start < a.start {
				whole.pgoff = n.pgoff
			}
			if whole.lineage == nil {
				whole.lineage = n.lineage
			}
		}
	}
	s.link(&whole)
	return &whole
}

// around returns the areas before and after a.
func (s *space) around(a *area) (prev, next *area) {
	i := s.index(a.start)
	if i > 0 {
		prev = s.areas[i-1]
	}
	if i < len(s.areas) && s.areas[i] == a {
		i++
	}
	if i < len(s.areas) {
		next = s.areas[i]
	}
	return prev, next
}

// modify gives the part of a in [start, end) other flags. It merges with its
// neighbours if it can; if it can't, a is split, which may be one area too many:
// ENOMEM, and the first of two splits stays.
func (s *space) modify(a *area, start, end Addr, flags vmFlags, most int) (*area, error) {
	part := a.part(start, end)
	part.flags = flags
	prev, next := s.around(a)
	if start == a.start && follows(prev, part) && akin(prev, part) ||
		end == a.end && follows(part, next) && akin(next, part) {
		s.remove(start, end)
		return s.merge(part), nil
	}
	for _, border := range []Addr{start, end} {
		if border > a.start && border < a.end {
			if len(s.areas) >= most {
				return nil, ENOMEM
			}
			s.cut(border)
			a = s.at(start)
		}
	}
	s.count(a, ^uint64(0))
	a.flags = flags
	s.count(a, 1)
	return a, nil
}

// remove takes [start, end) out of the areas.
func (s *space) remove(start, end Addr) {
	s.cut(start)
	s.cut(end)
	for _, a := range slices.Clone(s.in(start, end)) {
		s.unlink(a)
	}
}

// begin gives an area the lineage that its first page of its own needs: that of
// a neighbour it could have been one with, if they differed in nothing but
// protection, or a new one.
func (s *space) begin(a *area) {
	if a.lineage != nil {
		return
	}
	prev, next := s.around(a)
	alike := func(x, y *area) bool {
		if x == nil || y == nil {
			return false
		}
		z := *y
		z.flags = x.flags&vmAccess | y.flags&^vmAccess
		return follows(x, &z)
	}
	switch {
	case alike(a, next) && next.lineage != nil && !next.inherited():
		a.lineage = next.lineage
	case alike(prev, a) && prev.lineage != nil && !prev.inherited():
		a.lineage = prev.lineage
	default:
		a.lineage = new(lineage)
	}
}

// place finds room for n bytes: the highest free range below base, or if there
// is none the lowest above it.
func (s *space) place(n uint64, c *Config) (Addr, bool) {
	top := c.Base
	for i := s.index(c.Base) - 1; ; i-- {
		if i+1 < len(s.areas) && s.areas[i+1].start < top {
			top = s.areas[i+1].start
		}
		bottom := c.Low
		if i >= 0 {
			bottom = max(bottom, s.areas[i].end)
		}
		if top > bottom && uint64(top-bottom) >= n {
			return top - Addr(n), true
		}
		if i < 0 {
			break
		}
	}
	bottom := c.Base
	for _, a := range s.in(c.Base, c.High) {
		if a.start > bottom && uint64(a.start-bottom) >= n {
			return bottom, true
		}
		bottom = a.end
	}
	return bottom, c.High > bottom && uint64(c.High-bottom) >= n
}

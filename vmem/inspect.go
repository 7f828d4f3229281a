package vmem

import (
	"fmt"
	"iter"
)

// What is here only looks: no fault, no accessed bit, no place in the clock's
// ring changes.

// An Area is a row of /proc/PID/maps.
type Area struct {
	Start, End Addr
	Prot       Prot
	Shared     bool    // the s in maps: of a file that is open for reading only, too
	Offset     int64   // of the object at Start; 0 for private memory
	Object     *Object // nil: private memory
	Locked     bool    // by mlock
	OnFault    bool    // with MLOCK_ONFAULT
	DontFork   bool
	WipeOnFork bool
	DontDump   bool
	Random     bool
	Sequential bool
}

// String is the area as maps writes it, without device and inode.
func (a Area) String() string {
	perms := []byte("rwxp")
	for i := range 3 {
		if a.Prot>>i&1 == 0 {
			perms[i] = '-'
		}
	}
	if a.Shared {
		perms[3] = 's'
	}
	s := fmt.Sprintf("%08x-%08x %s %08x", uint64(a.Start), uint64(a.End), perms, a.Offset)
	if a.Object != nil {
		s += " " + a.Object.name
	}
	return s
}

// Areas yields the areas in order.
func (p *Process) Areas() iter.Seq[Area] {
	return func(yield func(Area) bool) {
		for _, a := range p.areas {
			has := func(f vmFlags) bool { return a.flags&f != 0 }
			v := Area{
				Start: a.start, End: a.end, Prot: Prot(a.flags & vmAccess), Shared: has(vmMayShare),
				Locked: has(vmLocked), OnFault: has(vmOnFault), DontFork: has(vmDontCopy), WipeOnFork: has(vmWipeOnFork),
				DontDump: has(vmDontDump), Random: has(vmRandom), Sequential: has(vmSequential),
			}
			if a.file != nil {
				v.Object, v.Offset = a.file.object, int64(a.pgoff)<<pageShift
			}
			if !yield(v) {
				return
			}
		}
	}
}

// An Entry is what a page table says about a page.
type Entry struct {
	Bits  Bits
	Frame int // 0 is the page of zeros
}

// Entries yields the pages of [start, end) that have an entry, in order. One
// that is not Present belongs to an area without any permission.
func (p *Process) Entries(start, end Addr) iter.Seq2[Addr, Entry] {
	return func(yield func(Addr, Entry) bool) {
		for at, e := range p.table.all(start, end) {
			if !yield(at, Entry{e.bits, e.frame.number}) {
				return
			}
		}
	}
}

// Locked is how many bytes are locked: VmLck.
func (p *Process) Locked() uint64 { return p.locked << pageShift }

// Mapped is how many bytes the areas have: VmSize.
func (p *Process) Mapped() uint64 { return p.total << pageShift }

// A Frame is a page of an object that is in memory.
type Frame struct {
	Number  int
	Index   uint64 // which page of the object
	State   State
	Pinned  bool // a locked area shows it
	Mappers int  // how many entries show it
}

// Frames yields the pages of the object that are in memory, in order.
func (o *Object) Frames() iter.Seq[Frame] {
	return func(yield func(Frame) bool) {
		for _, f := range o.resident(0, ^uint64(0)) {
			if !yield(Frame{f.number, f.index, f.state, f.pinned(), len(f.mappers)}) {
				return
			}
		}
	}
}

// Peek reads memory as ReadAt does, without a fault: ok is false where one
// would be needed, or where nothing may be read.
func (p *Process) Peek(a Addr) (b byte, ok bool) {
	e := p.table.lookup(a)
	if e == nil || !e.allows(load) {
		return 0, false
	}
	return e.frame.data[a&(PageSize-1)], true
}

// Peek reads a byte of the object's page in memory, as Peek of a process does:
// ok is false where the page would have to be read first.
func (o *Object) Peek(off int64) (b byte, ok bool) {
	f := o.cached(uint64(off) >> pageShift)
	if off < 0 || f == nil {
		return 0, false
	}
	return f.data[off&(PageSize-1)], true
}

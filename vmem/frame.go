package vmem

import (
	"slices"

	"github.com/memwright/mmap/internal/invariant"
)

// A State is what a frame of an object is in. Frames of private memory have
// none: they are the only place where their bytes are.
//
//	           read            store, write        write-back starts
//	(absent) ------> Clean ------------------> Dirty -----------------> Writing
//	    ^             | ^  \                                              |
//	    +- - - - - - -+ |   \ read failed                                 | written, or
//	    evict, truncate |    +--> Poisoned --(read again)--> Clean        | given up
//	                    +-------------------------------------------------+
//
// Only Clean and Poisoned frames are evicted; a Dirty one is written first.
// Truncation drops a frame in any state. A page of an object without a Store
// is never anything but Clean: there is nowhere to write it.
type State uint8

// The states of an object's page in memory.
const (
	StateClean    State = iota // as in the Store
	StateDirty                 // newer than in the Store
	StateWriting               // being written; seen only by a Store that looks from its WriteAt
	StatePoisoned              // the Store could not be read: each access tries again
)

var stateNames = [...]string{"clean", "dirty", "writing", "poisoned"}

// String names the state.
func (s State) String() string { return stateNames[s] }

// A frame is a page of memory.
type frame struct {
	number     int             // from 1; the page of zeros is 0
	data       *[PageSize]byte // its bytes
	object     *Object         // whose page it is; nil: private to those who map it
	index      uint64          // which page of the object
	state      State
	err        error    // why it is Poisoned
	mappers    []mapper // every entry that shows it, except of the page of zeros
	held       int      // being used by a step: not evicted
	referenced bool     // used by read or write since the clock came by
	lazy       bool     // given back by MADV_FREE and not written since
	hour       int      // its place on the clock, if its object has a Store
}

// A mapper is an entry of a page table, by its process and address.
type mapper struct {
	p    *Process
	addr Addr
}

// frames are the memory of a machine.
type frames struct {
	zero *frame   // what reads of untouched private memory see
	free []*frame // was used once
	made int      // frames that exist, free ones too

	clock []*frame // those that may be evicted: of objects that have a Store
	hand  int      // the one that was looked at last
}

// InUse is how many frames hold a page.
func (m *Machine) InUse() int { return m.made - len(m.free) }

// newFrame returns a frame whose bytes the caller fills. If memory is full it
// evicts a page.
func (m *Machine) newFrame() (*frame, error) {
	if n := len(m.free); n > 0 {
		f := m.free[n-1]
		m.free = m.free[:n-1]
		return f, nil
	}
	if m.cfg.Frames == 0 || m.made < m.cfg.Frames {
		m.made++
		return &frame{number: m.made, data: new([PageSize]byte)}, nil
	}
	if err := m.reclaim(); err != nil {
		return nil, err
	}
	return m.newFrame()
}

// zeroFrame returns a frame of zeros.
func (m *Machine) zeroFrame(e Event) (*frame, error) {
	f, err := m.newFrame()
	if err != nil {
		return nil, err
	}
	clear(f.data[:])
	e.Kind, e.N, e.Frame = BytesZeroed, PageSize, f.number
	m.tell(e)
	return f, nil
}

// release gives a frame back that nobody maps and no object has.
func (m *Machine) release(f *frame) {
	invariant.Check(len(f.mappers) == 0 && f.held == 0, "frame %d released in use", f.number)
	*f = frame{number: f.number, data: f.data, mappers: f.mappers[:0]}
	m.free = append(m.free, f)
}

// show makes an empty entry of p show f at a.
func (p *Process) show(a Addr, f *frame, bits Bits) {
	if f != p.m.zero {
		f.mappers = append(f.mappers, mapper{p, a})
	}
	p.table.set(a, entry{frame: f, bits: bits})
}

// hide empties an entry. A private page that nobody shows any more is gone.
func (p *Process) hide(a Addr, e *entry) {
	f := e.frame
	p.table.clear(a)
	if i := slices.Index(f.mappers, mapper{p, a}); i >= 0 {
		f.mappers = slices.Delete(f.mappers, i, i+1)
	}
	if f.object == nil && len(f.mappers) == 0 && f.held == 0 && f != p.m.zero {
		p.m.release(f)
	}
}

func (m *Machine) hideEverywhere(f *frame) {
	for len(f.mappers) > 0 {
		w := f.mappers[len(f.mappers)-1]
		w.p.hide(w.addr, w.p.table.lookup(w.addr))
	}
}

// dequeue takes a frame off the clock. The last one takes its place.
func (m *Machine) dequeue(f *frame) {
	last := m.clock[len(m.clock)-1]
	m.clock = m.clock[:last.hour]
	if last != f {
		m.clock[f.hour], last.hour = last, f.hour
	}
}

// reclaim evicts one page: the one that was chosen, or the first that the
// clock's hand finds unused since it last came by.
func (m *Machine) reclaim() error {
	if m.Choose.Evict != nil {
		if o, index, ok := m.Choose.Evict(); ok {
			return m.Evict(o, index)
		}
	}
	// Twice round: the first clears what was used, the second finds it unused.
	// What two rounds do not find is locked or in use by this very step.
	for range 2 * len(m.clock) {
		m.hand = (m.hand + 1) % len(m.clock)
		if f := m.clock[m.hand]; !m.used(f) && m.evictable(f) {
			m.evict(f)
			return nil
		}
	}
	return ENOMEM
}

// used tells whether a page was used since it was last asked, and forgets it.
func (m *Machine) used(f *frame) bool {
	used := f.referenced
	f.referenced = false
	for _, w := range f.mappers {
		e := w.p.table.lookup(w.addr)
		used = used || e.bits&Accessed != 0
		e.bits &^= Accessed
	}
	return used
}

// evictable tells whether a page may leave memory: it has a Store to come back
// from, no step is using it, and nobody who maps it has locked it.
func (m *Machine) evictable(f *frame) bool {
	return f.object.store != nil && f.held == 0 && !f.pinned()
}

// pinned tells whether a locked area shows the page.
func (f *frame) pinned() bool {
	for _, w := range f.mappers {
		if a := w.p.at(w.addr); a != nil && a.flags&vmLocked != 0 {
			return true
		}
	}
	return false
}

// evict writes the page if it is dirty, empties the entries that show it, and
// frees the frame. A page that can't be written is given up, as Linux does: the
// error is told by the next sync of each open file.
func (m *Machine) evict(f *frame) {
	if f.state == StateDirty {
		f.object.writePage(f)
	}
	m.tell(Event{Kind: Evicted, Object: f.object, Off: f.off(), Frame: f.number})
	f.object.forget(f)
}

// Evict takes a page of o out of memory, as a kernel does under pressure. It
// answers ErrChoice for a page that is absent, locked, or has no Store.
func (m *Machine) Evict(o *Object, index uint64) error {
	f := o.pages[index]
	if f == nil || !m.evictable(f) {
		return ErrChoice
	}
	m.evict(f)
	return nil
}

func (f *frame) off() int64 { return int64(f.index) << pageShift }

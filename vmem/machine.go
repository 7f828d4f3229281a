package vmem

import (
	"cmp"
	"errors"
	"maps"
	"math/bits"
)

// PageSize is the size of a page and of a frame in bytes.
const PageSize = 4096

const pageShift = 12

// An Addr is an address in a process.
type Addr uint64

// floor rounds down to a page.
func (a Addr) floor() Addr { return a &^ (PageSize - 1) }

// ceil rounds up to a page; it wraps to 0 where the kernel's PAGE_ALIGN does.
func (a Addr) ceil() Addr { return (a + PageSize - 1) &^ (PageSize - 1) }

// pages is how many pages [start, end) has; both are page borders.
func pages(start, end Addr) uint64 { return uint64(end-start) >> pageShift }

// ErrChoice is the answer to a choice that a kernel could not have made.
var ErrChoice = errors.New("vmem: no kernel could have chosen this")

// Config says how large a machine is. Its zero value is an ordinary one.
type Config struct {
	// Frames is the largest number of pages in memory at a time; 0 is no bound.
	Frames int
	// ReadAhead is how many pages are read from a Store when one is missed; 0
	// means 32, as Linux has it, and 1 is none beyond the one.
	ReadAhead int
	// FaultAround is how many pages of a file one read fault maps, of those that
	// are in memory; 0 means 16, as Linux has it, and 1 is the one. It is rounded
	// down to a power of two, and is at most 512.
	FaultAround int
	// MaxAreas is vm.max_map_count; 0 means 65530.
	MaxAreas int
	// MaxCommit is the largest private writable mapping in bytes that is not
	// refused at sight (vm.overcommit_memory 0); 0 is no bound.
	MaxCommit uint64
	// Low, Base and High bound the addresses: none is below Low, none is given
	// unasked at or above Base, none exists from High on. Zeros mean 64 KiB,
	// 0x7ffff7fff000 and 0x7ffffffff000.
	Low, Base, High Addr
}

// Choices are made where a kernel is free to choose. A nil func, and an answer
// of false, leave the choice to the engine.
type Choices struct {
	// Place says where an area of n bytes goes that may be anywhere. Any free,
	// aligned range is legal. The default is the highest free one below Base.
	Place func(p *Process, n uint64) (Addr, bool)
	// Evict says which page of an object leaves memory when a frame is needed:
	// any that is present and not locked. The default is a clock with a second
	// chance for pages that were used.
	Evict func() (o *Object, index uint64, ok bool)
	// ReadAhead says which pages are read when the page at index is missed:
	// n pages from first on, index among them. Pages that are present, or beyond
	// the end, are skipped.
	ReadAhead func(o *Object, index uint64) (first uint64, n int, ok bool)
	// FaultAround says how many pages a read fault at a maps, in the aligned
	// block of that many around it: a power of two, at most 512.
	FaultAround func(p *Process, a Addr) (n int, ok bool)
}

// A Machine is memory, the objects in it, and processes that share them.
type Machine struct {
	// Choose feeds choices in. It may be changed between calls.
	Choose Choices
	// Trace, if not nil, is told what happens inside each step. It may look and
	// must not touch.
	Trace func(Event)

	cfg       Config
	counters  Counters
	processes []*Process // in the order of their birth
	frames
}

// New returns a machine with nothing in it.
func New(c Config) *Machine {
	c.ReadAhead = cmp.Or(c.ReadAhead, 32)
	around := min(cmp.Or(c.FaultAround, 16), fanout)
	c.FaultAround = 1 << (bits.Len(uint(around)) - 1)
	c.MaxAreas = cmp.Or(c.MaxAreas, 65530)
	c.Low = cmp.Or(c.Low, 64<<10)
	c.Base = cmp.Or(c.Base, 0x7ffff7fff000)
	c.High = cmp.Or(c.High, 0x7ffffffff000)
	m := &Machine{cfg: c, counters: Counters{Calls: map[string]int{}}}
	m.zero = &frame{data: new([PageSize]byte)}
	return m
}

// Counters is a copy of what the machine counted since it was made.
func (m *Machine) Counters() Counters {
	c := m.counters
	c.Calls = maps.Clone(c.Calls)
	return c
}

// Limits are the resource limits of a process, in bytes. [Unlimited] is none.
type Limits struct {
	MemLock uint64 // RLIMIT_MEMLOCK: what may be locked
	AS      uint64 // RLIMIT_AS: the sum of all areas
	Data    uint64 // RLIMIT_DATA: the sum of private writable areas; 0 is none, as for a soft limit of 0 on Linux
}

// Unlimited is a limit that limits nothing.
const Unlimited = ^uint64(0)

// A Process is an address space: areas, a page table, limits. Open files are
// values that all processes of a machine may use.
type Process struct {
	// Limits and IPCLock (the capability CAP_IPC_LOCK, which lifts MemLock) may
	// be changed between calls. A child has its parent's.
	Limits  Limits
	IPCLock bool

	m     *Machine
	table table
	space
}

// Spawn returns a process with an empty address space, no capability, and
// 8 MiB that it may lock, as Linux starts one.
func (m *Machine) Spawn() *Process {
	p := &Process{m: m, Limits: Limits{MemLock: 8 << 20, AS: Unlimited, Data: Unlimited}}
	m.processes = append(m.processes, p)
	return p
}

package shmsync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/word"
)

// Memory is what a Space is made of: all that this package needs to know of
// where shared memory comes from.
type Memory struct {
	Bytes    []byte // page-aligned, zero when the memory was made; the same for all
	Table    int    // the participants' table: its offset in Bytes, a multiple of 64
	Slots    int    // how many participants it has room for, MaxSlots at most
	ReadOnly bool   // the memory can't be written: this process takes no part

	// Held reports whether some process holds the liveness lock of a slot: a
	// lock that the kernel takes away from a process however it ends. It is
	// never asked for the slot of this participant.
	Held func(slot int) (bool, error)

	// Lost says why the page at a byte offset is gone, after an access has failed:
	// calls answer that with ErrLost. nil is for memory that can't be lost while it
	// is mapped, since its size is sealed, and calls have no guard then.
	Lost func(off int64) error
}

// A Space is memory shared by processes, as one participant sees it: words at
// offsets, the participants, and whether they live. It is what the locks of this
// package stand on; [shm.Segment] makes one. Its methods may be called by any
// number of goroutines.
//
// # States of a participant
//
//	free     ──Join──▶  attached   the epoch goes up by one
//	attached ──Leave──▶ free
//	attached ──its process ends──▶ attached, and the liveness lock is free
//	         ──somebody finds that out──▶ dead
//	dead     ──Join──▶  attached   by the next who gets the slot's lock
//
// Only who holds the liveness lock of a slot may Join it.
type Space struct {
	mem    Memory
	self   Owner
	closed atomic.Bool
	done   chan struct{} // closed with closed

	// What belongs to the words at an offset in this process alone: queues,
	// Sleepers. There is one per offset, so that at most one goroutine of the
	// process sleeps in the kernel for it.
	locals struct {
		sync.Mutex
		at map[int64]any
	}
	sleepers sleepers // whom Close interrupts
}

// slot is a participant in the table.
//
//	 0        4        8                16               24             64
//	┌────────┬────────┬────────────────┬────────────────┬───────────────┐
//	│ live   │ life   │ process id     │ since          │ zero          │
//	└────────┴────────┴────────────────┴────────────────┴───────────────┘
//
// live is the kernel's word: the number of a thread that lives as long as its
// process, with the bits of set_robust_list(2). life is epoch<<2 | state. The
// process id and the time of joining (Unix, ns) are for people to read; nothing
// is decided by them.
type slot struct {
	live  word.U32
	life  word.U32
	pid   word.U64
	since word.U64
	_     [5]uint64
}

func lifeOf(o Owner, state uint32) uint32 { return o.epoch()<<stateBits | state }

// SlotBytes is the size of one participant in the table.
const SlotBytes = 64

// The states of a participant, the low bits of life.
const (
	stateFree = iota
	stateAttached
	stateDead
)

const (
	stateBits = 2
	stateMask = 1<<stateBits - 1

	diedMark = 0x40000000 // FUTEX_OWNER_DIED, linux/futex.h
)

// NewSpace looks at memory that is there already. The result reads; to lock
// anything, Join.
func NewSpace(m Memory) (*Space, error) {
	switch {
	case m.Slots < 1 || m.Slots > MaxSlots:
		return nil, fmt.Errorf("%d participants, not 1 to %d: %w", m.Slots, MaxSlots, fs.ErrInvalid)
	case m.Table < 0 || m.Table%SlotBytes != 0 || m.Table > len(m.Bytes) || len(m.Bytes)-m.Table < m.Slots*SlotBytes:
		return nil, fmt.Errorf("a table of %d participants at %d in %d bytes: %w", m.Slots, m.Table, len(m.Bytes), fs.ErrInvalid)
	case mem.AddrOf(m.Bytes)%SlotBytes != 0:
		return nil, fmt.Errorf("memory at %#x is not aligned to %d bytes: %w", mem.AddrOf(m.Bytes), SlotBytes, fs.ErrInvalid)
	}
	s := &Space{mem: m, done: make(chan struct{})}
	s.locals.at = map[int64]any{}
	s.sleepers.all = map[*Sleeper]bool{}
	return s, nil
}

// Join makes this process the participant of a slot. The caller holds the slot's
// liveness lock, and then puts the number of a thread into its live word, at
// LiveOffset, and wakes all who sleep on that: they wait for one who died in this
// slot, as the table now says. It fails with ErrSlotUsedUp where the slot has no
// epoch left: try another.
func (s *Space) Join(slot int) (err error) {
	defer s.Guard().End(&err)
	if s.mem.ReadOnly || s.self != 0 || slot < 0 || slot >= s.mem.Slots {
		return fmt.Errorf("join slot %d of %d: %w", slot, s.mem.Slots, fs.ErrInvalid)
	}
	p := s.slot(slot)
	epoch := p.life.Load() >> stateBits
	if epoch >= maxEpoch {
		return ErrSlotUsedUp
	}
	p.pid.Store(uint64(os.Getpid()))
	p.since.Store(uint64(time.Now().UnixNano()))
	s.self = ownerOf(slot, epoch+1)
	p.life.Store(lifeOf(s.self, stateAttached))
	return nil
}

// Leave ends what Join began. What this participant holds is then its no more:
// the next one gets ErrOwnerDied, and its permits are free. Whoever waits for them
// is woken, as by a death. So unlock first, and let no call be under way that would
// still change shared memory: see LeaveBy. The caller gives the liveness lock back
// afterwards.
func (s *Space) Leave() { s.LeaveBy(s.mem.Bytes) }

// LeaveBy is Leave where the caller has taken the shared memory from this Space
// already, so that calls under way can change nothing any more. b is the same
// memory, mapped anew: at least up to the table's end.
func (s *Space) LeaveBy(b []byte) {
	if s.self == 0 {
		return
	}
	armed := fault.Arm()
	defer func() {
		armed.Disarm()
		fault.Caught(recover(), mem.AddrOf(b), len(b)) // a table that is gone has no readers
	}()
	p := mem.At[slot](b, s.mem.Table+s.self.Slot()*SlotBytes)
	if !p.life.CompareAndSwap(lifeOf(s.self, stateAttached), lifeOf(s.self, stateFree)) {
		return
	}
	// After the state: who sleeps on the word, or is about to, looks at that again.
	p.live.Store(diedMark)
	word.Wake(&p.live, word.All) // it fails where the table is gone
}

// Close ends every sleep and every later call with fs.ErrClosed. It touches no
// shared memory: what this participant holds it holds still, until it leaves or
// its process ends. The memory must stay mapped for as long as a Mutex or another
// part of this Space may be used, though it need not be the shared memory any
// more.
func (s *Space) Close() {
	if s.closed.Swap(true) {
		return
	}
	close(s.done)
	s.sleepers.interrupt()
}

// Closed reports whether Close was called.
func (s *Space) Closed() bool { return s.closed.Load() }

// unlessClosed is err, or fs.ErrClosed once the Space is closed: what was read and
// stored since then was perhaps not the shared memory. It is asked afterwards.
func (s *Space) unlessClosed(err error) error {
	if s.Closed() {
		return fs.ErrClosed
	}
	return err
}

// Self is this participant, or nobody (0).
func (s *Space) Self() Owner { return s.self }

// ReadOnly reports whether the memory can't be written.
func (s *Space) ReadOnly() bool { return s.mem.ReadOnly }

// Slots is how many participants the table has room for.
func (s *Space) Slots() int { return s.mem.Slots }

// Size is the memory's size in bytes.
func (s *Space) Size() int { return len(s.mem.Bytes) }

// LiveOffset is where the live word of a slot stands in the memory.
func (s *Space) LiveOffset(slot int) int64 { return int64(s.mem.Table + slot*SlotBytes) }

// Word32 is the word at a byte offset, a multiple of 4.
func (s *Space) Word32(off int64) (*word.U32, error) { return At[word.U32](s, off) }

// Word64 is the word at a byte offset, a multiple of 8.
func (s *Space) Word64(off int64) (*word.U64, error) { return At[word.U64](s, off) }

// At is a T at a byte offset, which must suit T's alignment and lie within the
// memory. T must be free of pointers. It is valid as long as the Space is in use.
func At[T any](s *Space, off int64) (*T, error) {
	size, align := mem.Layout[T]()
	switch {
	case !mem.PointerFree[T]():
		return nil, fmt.Errorf("type %T holds Go pointers: %w", *new(T), fs.ErrInvalid)
	case size == 0 || off < 0 || off > int64(len(s.mem.Bytes)) || int64(len(s.mem.Bytes))-off < int64(size):
		return nil, fmt.Errorf("%d bytes at %d in a space of %d: %w", size, off, len(s.mem.Bytes), fs.ErrInvalid)
	case off%int64(align) != 0:
		return nil, fmt.Errorf("offset %d is not aligned to %d: %w", off, align, fs.ErrInvalid)
	}
	return mem.At[T](s.mem.Bytes, int(off)), nil
}

// Memory is the n bytes at a byte offset, borrowed: they are valid as long as
// the Space is in use, and other processes may change them at any time.
func (s *Space) Memory(off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || off > int64(len(s.mem.Bytes)) || int64(len(s.mem.Bytes))-off < int64(n) {
		return nil, fmt.Errorf("%d bytes at %d in a space of %d: %w", n, off, len(s.mem.Bytes), fs.ErrInvalid)
	}
	return s.mem.Bytes[off : off+int64(n) : off+int64(n)], nil
}

// Attached is who takes part in a slot now, or nobody. It may be dead without
// anybody having noticed: see Alive. Where the memory is lost there is nobody.
func (s *Space) Attached(slot int) Owner {
	var err error
	defer s.Guard().End(&err)
	return s.attached(slot)
}

func (s *Space) attached(slot int) Owner {
	if slot < 0 || slot >= s.mem.Slots {
		return 0
	}
	life := s.slot(slot).life.Load()
	if life&stateMask != stateAttached || life>>stateBits > maxEpoch {
		return 0
	}
	return ownerOf(slot, life>>stateBits)
}

// Alive reports whether o takes part, as far as the table tells: one load. A
// false is final: o will never do anything again, and what it holds may be
// repaired; but not once the Space is closed, when it is false of everybody. A true may be out of date by as long as it takes somebody to notice;
// [Space.Examine] asks the kernel. Nobody is not alive.
func (s *Space) Alive(o Owner) bool { return o != 0 && s.Attached(o.Slot()) == o }

func (s *Space) alive(o Owner) bool { return o != 0 && s.attached(o.Slot()) == o }

// Marked reports whether the kernel has marked the process of o as ended, or
// Alive is false already: two loads. It may be ending still: Examine says when.
func (s *Space) Marked(o Owner) (marked bool) {
	var err error
	defer s.Guard().End(&err)
	marked = true // if not even that can be read
	return s.marked(o)
}

func (s *Space) marked(o Owner) bool {
	return !s.alive(o) || s.slot(o.Slot()).live.Load()&diedMark != 0
}

// Examine asks the kernel whether o lives, by its liveness lock, and writes a
// death into the table for all to see. It reports whether o is alive.
//
// The kernel releases that lock when the last thread of the process has left it,
// so no store of a dead process comes after.
func (s *Space) Examine(o Owner) (alive bool, err error) {
	defer s.Guard().End(&err)
	if !s.alive(o) {
		if s.Closed() { // perhaps it was no longer the shared memory that said so
			return true, fs.ErrClosed
		}
		return false, nil
	}
	if o == s.self {
		return true, nil
	}
	held, err := s.mem.Held(o.Slot())
	if s.Closed() { // the lock may have been asked for through a descriptor that is closed by now
		return true, fs.ErrClosed
	}
	if err != nil || held {
		return true, err
	}
	if !s.mem.ReadOnly {
		s.slot(o.Slot()).life.CompareAndSwap(lifeOf(o, stateAttached), lifeOf(o, stateDead))
	}
	return false, nil
}

// A Participant is what the table tells of one, for people to read.
type Participant struct {
	Owner Owner
	Pid   int       // in the process namespace of its own
	Since time.Time // when it joined, by its own clock
	Alive bool
}

// Participants lists who is in the table: those who live, and the dead whose
// slots nobody has taken since.
func (s *Space) Participants() (list []Participant, err error) {
	defer s.Guard().End(&err)
	for i := range s.mem.Slots {
		p := s.slot(i)
		life := p.life.Load()
		if life&stateMask == stateFree || life>>stateBits > maxEpoch {
			continue
		}
		o := ownerOf(i, life>>stateBits)
		alive, err := s.Examine(o)
		if err != nil {
			return list, err
		}
		list = append(list, Participant{o, int(int32(p.pid.Load())), time.Unix(0, int64(p.since.Load())), alive})
	}
	return list, s.unlessClosed(nil)
}

// slot is a participant; i has been checked.
func (s *Space) slot(i int) *slot { return mem.At[slot](s.mem.Bytes, s.mem.Table+i*SlotBytes) }

// local is what this process keeps for the words at off, made at the first call.
func local[T any](s *Space, off int64, make func() (*T, error)) (*T, error) {
	s.locals.Lock()
	defer s.locals.Unlock()
	if l, ok := s.locals.at[off]; ok {
		if t, ok := l.(*T); ok {
			return t, nil
		}
		return nil, fmt.Errorf("offset %d is a %T already: %w", off, l, fs.ErrInvalid)
	}
	t, err := make()
	if err == nil {
		s.locals.at[off] = t
	}
	return t, err
}

// The errors that calls of this package wrap, beside the context's, fs.ErrClosed
// (the Space is closed), fs.ErrInvalid (an argument makes no sense) and
// errors.ErrUnsupported.
var (
	// ErrOwnerDied: the lock is yours, and who had it before ended without
	// unlocking. Repair what it guards, then call MarkConsistent.
	ErrOwnerDied = errors.New("the lock is held now, and its last owner died with it")
	// ErrNotRecoverable: somebody who got ErrOwnerDied unlocked without
	// MarkConsistent. What the lock guards is lost.
	ErrNotRecoverable = errors.New("the lock's last owner died, and nobody could repair what it guards")
	// ErrNeedsRepair: the last writer died. The lock is not held: Lock it for
	// writing, and repair.
	ErrNeedsRepair = errors.New("the last writer died; lock for writing to repair")
	// ErrNotOwner: this process does not hold what it gives back.
	ErrNotOwner = errors.New("not held by this process")
	// ErrLocked: a Try found the lock taken.
	ErrLocked = errors.New("held by another")
	// ErrDamaged: words in shared memory make no sense.
	ErrDamaged = errors.New("the shared memory is damaged")
	// ErrLost: a page of the memory is gone, since its file was truncated. The
	// memory is of no use any more: close it.
	ErrLost = errors.New("a page of the shared memory is gone")
	// ErrNoParticipant: a process that only reads can't lock.
	ErrNoParticipant = errors.New("this process only reads the shared memory")
	// ErrSlotUsedUp: a slot has had its last participant.
	ErrSlotUsedUp = errors.New("the slot has no epoch left")
)

// patience bounds every loop whose turns others can force by changing a word. It
// is far beyond what honest ones do to each other.
const patience = 1 << 16

var errRestless = fmt.Errorf("a word never stood still: %w", ErrDamaged)

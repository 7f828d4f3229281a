package fleet

import (
	"sync/atomic"
	"testing"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/model"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// A Fleet is memory and who takes part in it.
type Fleet struct {
	t     testing.TB
	bytes []byte
	slots int
	held  []atomic.Bool // the liveness locks
	lives atomic.Uint32 // who has joined: each has a thread of its own
	ships map[*model.Process]*shmsync.Space
}

// Data is the offset of the first byte that is free for the test.
const Data = 4096

// marks are what the kernel leaves in a live word (linux/futex.h).
const (
	died    = 0x40000000
	waiters = 0x80000000
)

// New makes memory with size bytes from Data on.
func New(t testing.TB, slots, size int) *Fleet {
	b := make([]byte, Data+size+shmsync.SlotBytes)
	b = b[shmsync.SlotBytes-int(mem.AddrOf(b)%shmsync.SlotBytes):]
	if slots*shmsync.SlotBytes > Data {
		t.Fatalf("%d slots are too many", slots)
	}
	return &Fleet{t: t, bytes: b[:Data+size], slots: slots,
		held: make([]atomic.Bool, slots), ships: map[*model.Process]*shmsync.Space{}}
}

// Bytes is the memory.
func (f *Fleet) Bytes() []byte { return f.bytes }

// Join makes a participant of a slot that nobody holds.
func (f *Fleet) Join(slot int) *shmsync.Space {
	if f.held[slot].Swap(true) {
		f.t.Fatalf("slot %d is taken", slot)
	}
	s := f.look(false)
	if err := s.Join(slot); err != nil {
		f.t.Fatal(err)
	}
	f.live(slot).Store(1000 + f.lives.Add(1) | waiters)
	word.Wake(f.live(slot), word.All)
	return s
}

// Reader makes one who only reads.
func (f *Fleet) Reader() *shmsync.Space { return f.look(true) }

func (f *Fleet) look(readOnly bool) *shmsync.Space {
	s, err := shmsync.NewSpace(shmsync.Memory{
		Bytes: f.bytes, Slots: f.slots, ReadOnly: readOnly,
		Held: func(slot int) (bool, error) { return f.held[slot].Load(), nil },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *Fleet) live(slot int) *word.U32 { return mem.At[word.U32](f.bytes, slot*shmsync.SlotBytes) }

// Mark does the first half of what the kernel does for a process that ends: the
// mark on its live word, and one wake.
func (f *Fleet) Mark(slot int) {
	live := f.live(slot)
	for {
		v := live.Load()
		if live.CompareAndSwap(v, v&waiters|died) {
			break
		}
	}
	word.Wake(live, 1)
}

// Release does the second half: the liveness lock is free.
func (f *Fleet) Release(slot int) { f.held[slot].Store(false) }

// Kill does both.
func (f *Fleet) Kill(slot int) {
	f.Mark(slot)
	f.Release(slot)
}

// Crew adds a process to the world that takes part in a slot, from before its
// first step on.
func (f *Fleet) Crew(w *model.World, name string, slot int, run func(p *model.Process, s *shmsync.Space)) *model.Process {
	s := f.Join(slot)
	p := w.Process(name, func(p *model.Process) { run(p, s) })
	f.ships[p] = s
	return p
}

// Launch tells the world what happens to a process that is killed: its liveness
// lock and its mark are steps of their own.
func (f *Fleet) Launch(w *model.World) {
	w.Dies(func(p *model.Process) func() {
		slot := f.ships[p].Self().Slot()
		return func() {
			f.Mark(slot)
			word.Place("last thread gone")
			f.Release(slot)
		}
	})
}

// Gone reports whether the process was killed and its last thread is gone.
func (f *Fleet) Gone(p *model.Process) bool {
	return p.Dead() && !f.held[f.ships[p].Self().Slot()].Load()
}

// Ship is the participant that Crew has joined to a slot.
func (f *Fleet) Ship(slot int) *shmsync.Space {
	for _, s := range f.ships {
		if s.Self().Slot() == slot {
			return s
		}
	}
	return nil
}

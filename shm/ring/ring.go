package ring

import (
	"context"
	"fmt"
	"io/fs"
	"math/bits"
	"time"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// A Ring is records in order, from any number of producers, to one consumer
// each, to every consumer, or to readers who copy: see [Delivery]. Its methods may
// be called by any number of goroutines.
//
// # States of a seat
//
//	free  ──NewProducer, NewConsumer──▶ taken  by the participant whose name is stored there
//	taken ──Close──▶ free
//	taken ──the participant ends──▶ taken, and who notices first takes it over:
//	taken ──repair──▶ taken by who repairs, who undoes what was begun and closes it
//
// A repair that is interrupted is begun again by the next, from its beginning: the
// seat is free only after everything else, and until then it is that of a dead one.
type Ring struct {
	space *shmsync.Space
	shape
	mask   uint64
	lapAt  uint // log2 of the slots
	memory []byte

	// Pages can be lost. The calls that are made for each record ask, since the
	// deferred call of a guard that catches nothing costs some of their time.
	fragile bool

	tail, next, head *word.U64
	readers, writers bell
	states           []word.U64 // a record each
	counts           []word.U64
	loans            []word.U64
	data, slab       []byte
}

// Create makes a ring at an offset of s, a multiple of 4096 if it has a slab and
// of 128 otherwise. o.Size() bytes are zero there and known to nobody else yet.
func Create(s *shmsync.Space, off int64, o Options) (_ *Ring, err error) {
	defer s.Guard().End(&err)
	sh, err := o.shape()
	if err != nil {
		return nil, err
	}
	if s.ReadOnly() {
		return nil, ErrReadOnly
	}
	b, err := memory(s, off, sh.size)
	if err != nil {
		return nil, err
	}
	sh.write(words(b, 0, headerWords))
	return newRing(s, b, sh), unlessClosed(s, nil)
}

// Open finds the ring that Create has made at an offset of s. The o that it is
// asked for with must be the ring's own where it is not zero.
func Open(s *shmsync.Space, off int64, o Options) (*Ring, error) {
	return open(s, off, func(sh shape) error { return sh.suits(o) })
}

func open(s *shmsync.Space, off int64, suits func(shape) error) (_ *Ring, err error) {
	defer s.Guard().End(&err)
	b, err := memory(s, off, seatsAt)
	if err != nil {
		return nil, err
	}
	sh, err := readShape(words(b, 0, headerWords))
	if err = unlessClosed(s, err); err != nil {
		return nil, err
	}
	if err := suits(sh); err != nil {
		return nil, err
	}
	if sh.size > s.Size() {
		return nil, fmt.Errorf("%w: a ring of %d bytes in a space of %d", ErrCorrupt, sh.size, s.Size())
	}
	if b, err = memory(s, off, sh.size); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return newRing(s, b, sh), nil
}

func newRing(s *shmsync.Space, b []byte, sh shape) *Ring {
	one := func(at int) *word.U64 { return &words(b, at, 1)[0] }
	r := &Ring{
		fragile: s.Fragile(),
		space:   s, shape: sh, mask: uint64(sh.Slots - 1), lapAt: uint(bits.TrailingZeros(uint(sh.Slots))), memory: b,
		tail: one(tailAt), next: one(nextAt), head: one(headAt),
		readers: bell{word32(b, readersAt)}, writers: bell{word32(b, writersAt)},
		states: words(b, sh.states, sh.Slots),
		loans:  words(b, sh.blocks, sh.Blocks),
		data:   b[sh.data : sh.data+sh.Slots*sh.SlotBytes],
		slab:   b[sh.slab:sh.size],
	}
	if sh.Delivery == Overwrite {
		r.counts = words(b, sh.counts, sh.Slots)
	}
	return r
}

// Options is the ring's shape, complete.
func (r *Ring) Options() Options { return r.shape.Options }

// Longest is the most bytes that a record may have.
func (r *Ring) Longest() int { return max(r.longest(), r.BlockBytes) }

// lap is how often the ring was full before slot i, as a record has it.
func (r *Ring) lap(i uint64) uint64 { return (i>>r.lapAt + 1) & (1<<lapBits - 1) }

// state is the word of slot i.
func (r *Ring) state(i uint64) *word.U64 { return &r.states[i&r.mask] }

// slotsFor is how many slots n bytes take.
func (r *Ring) slotsFor(n int) uint64 {
	if n <= r.SlotBytes {
		return 1
	}
	return uint64((n-1)/r.SlotBytes + 1)
}

// slotsOf is how many slots the record at i takes. It fails where those would
// reach beyond the ring's end.
func (r *Ring) slotsOf(i uint64, w record) (uint64, error) {
	n := uint64(1)
	if w.kind() != loan {
		n = r.slotsFor(w.length())
	}
	if i&r.mask+n > r.mask+1 {
		return 0, fmt.Errorf("%w: the record at %d has %d bytes", ErrCorrupt, i, w.length())
	}
	return n, nil
}

// seatOwner and seatCursor are the words of a seat, which has been checked.
func (r *Ring) seatOwner(seat int) *word.U32 { return word32(r.memory, seatsAt+(seat-1)*lineBytes) }
func (r *Ring) seatCursor(seat int) *word.U64 {
	return &words(r.memory, seatsAt+(seat-1)*lineBytes+8, 1)[0]
}

// unlessClosed is err, or fs.ErrClosed once the Space is closed: what was read and
// stored since then was perhaps not the shared memory. It is asked afterwards.
func unlessClosed(s *shmsync.Space, err error) error {
	if s.Closed() {
		return fs.ErrClosed
	}
	return err
}

func (r *Ring) unlessClosed(err error) error { return unlessClosed(r.space, err) }

// holder is who sits on the seat that a record names, or nobody.
func (r *Ring) holder(w record) shmsync.Owner {
	if seat := w.seat(); seat >= 1 && seat <= r.Seats {
		return shmsync.Owner(r.seatOwner(seat).Load())
	}
	return 0
}

// patience bounds every loop whose turns others can force by changing a word.
// It is far beyond what honest ones do to each other.
const patience = 1 << 10

// A bell is where those sleep who wait for one side of the ring.
//
//	31                              1     0
//	+-------------------------------+-----+
//	| how often it was rung         | set |
//	+-------------------------------+-----+
//
// Who wants to sleep sets it, looks once more at what it waits for, and sleeps
// while the word stays the same. Who changes something looks at the word
// afterwards, and rings if it is set. The count tells a sleeper who comes late that
// it was rung and set again meanwhile.
type bell struct{ *word.U32 }

func (b bell) set() uint32 {
	for range patience {
		if v := b.Load(); v&1 != 0 || b.CompareAndSwap(v, v|1) {
			return v | 1
		}
	}
	return 0 // the sleep ends at once, and they who keep us from it get no further
}

// ring wakes all who sleep. Who else rings meanwhile has seen what we have done.
func (b bell) ring() error {
	if v := b.Load(); v&1 != 0 && b.CompareAndSwap(v, v+1) {
		return word.Wake(b.U32, word.All)
	}
	return nil
}

// ringBoth is for a change whose beneficiaries are not known.
func (r *Ring) ringBoth() error {
	err := r.readers.ring()
	if e := r.writers.ring(); err == nil {
		err = e
	}
	return err
}

// A seat is what a Producer and a Consumer have in common.
type seat struct {
	r        *Ring
	number   int
	sleeper  *shmsync.Sleeper
	examined time.Time // when we last asked the kernel who lives
	closed   bool
	teller
}

// sit takes a free seat.
func (r *Ring) sit() (seat, error) {
	self := r.space.Self()
	if self == 0 {
		return seat{}, shmsync.ErrNoParticipant
	}
	if err := r.repair(true); err != nil {
		return seat{}, err
	}
	for n := 1; n <= r.Seats; n++ {
		if r.seatOwner(n).CompareAndSwap(0, uint32(self)) {
			return seat{r: r, number: n, sleeper: r.space.NewSleeper(), examined: time.Now(), teller: r.tellerOf(n)}, nil
		}
	}
	return seat{}, fmt.Errorf("%w: all %d seats", ErrTaken, r.Seats)
}

// leave gives up what the seat has claimed, gives back what it has taken, and
// frees it.
func (s *seat) leave() (err error) {
	defer s.r.space.Guard().End(&err)
	if s.closed {
		return fs.ErrClosed
	}
	s.closed = true
	return s.r.unlessClosed(s.r.clear(s.number))
}

// wait returns when try answers something else than again, or ctx ends. try also
// tells who holds up what is waited for, if anybody does.
func (s *seat) wait(ctx context.Context, b bell, again error, try func() (shmsync.Owner, error)) (err error) {
	defer s.r.space.Guard().End(&err)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := try()
		if err != again {
			return err
		}
		if s.sleeper.Spin(func() bool { _, err = try(); return err != again }) {
			return err
		}
		set := b.set()
		who, err := try()
		if err != again {
			return err
		}
		if err := s.r.intact(s.number); err != nil {
			return err
		}
		s.waits(again)
		if err := s.sleeper.Sleep(ctx, who, b.U32, set); err != nil {
			return err
		}
		if err := s.repair(); err != nil {
			return err
		}
	}
}

// intact fails where somebody has taken away what must be there, and a sleep might
// not end: by a truncation, or by a hole, which reads as zeros. seat is who asks, 0
// for one who only reads.
func (r *Ring) intact(seat int) (err error) {
	defer r.space.Guard().End(&err)
	if r.fragile {
		words(r.memory, len(r.memory)-8, 1)[0].Load() // a truncation takes the end first
	}
	switch t := r.tail.Load(); {
	case words(r.memory, 0, 1)[0].Load() != ringMagic:
		err = fmt.Errorf("%w: its beginning is gone", ErrCorrupt)
	case seat > 0 && r.seatOwner(seat).Load() != uint32(r.space.Self()):
		err = fmt.Errorf("%w: seat %d was taken away", ErrCorrupt, seat)
	case r.missing(r.head.Load(), t) || r.Delivery == ToOne && r.missing(r.next.Load(), t):
		err = fmt.Errorf("%w: records are missing before %d", ErrCorrupt, t)
	}
	return r.unlessClosed(err)
}

// missing reports whether no record stands at i, which tail has passed as t says
// and head has not: so there was one, and nobody may claim its slot.
func (r *Ring) missing(i, t uint64) bool {
	return i < t && record(r.state(i).Load()).lap() != r.lap(i) && r.head.Load() <= i
}

// repair is Ring.repair as often as a sleeper wants it: those whom the kernel has
// marked as ended at once, all others as often as a sleep may last.
func (s *seat) repair() error {
	all := !word.Stepped && time.Since(s.examined) >= shmsync.Rearm // a model has no clock
	if all {
		s.examined = time.Now()
	}
	return s.r.repair(all)
}

// gone reports whether who, in whose way we are, has died: what it held up is then
// repaired. It costs two loads while the kernel has not marked who as ended.
func (s *seat) gone(who shmsync.Owner) bool {
	return who != 0 && s.r.space.Marked(who) && s.r.repair(false) == nil && !s.r.space.Alive(who)
}

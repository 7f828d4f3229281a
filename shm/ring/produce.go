package ring

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// A Producer puts records into a ring. One goroutine at a time uses it; each
// goroutine has its own.
type Producer struct {
	seat
	head  uint64 // the ring's, as last read: what was free then is free
	block int    // where to look for a free block
	quiet bool   // a batch is under way: ring once, at its end
}

// NewProducer takes a seat. It fails with ErrTaken if there is none.
func (r *Ring) NewProducer() (_ *Producer, err error) {
	defer r.space.Guard().End(&err)
	s, err := r.sit()
	if err != nil {
		return nil, err
	}
	r.seatCursor(s.number).Store(0) // it reads nothing
	return &Producer{seat: s}, r.unlessClosed(nil)
}

// Close gives the seat back. What is reserved is given up.
func (p *Producer) Close() error { return p.leave() }

// A Reservation is a record that is being filled.
type Reservation struct {
	p     *Producer
	at    uint64
	rec   record
	bytes []byte
}

// Bytes is where the record's bytes go, in place: as many as were asked for, with
// whatever lay there before. Not to be used after Commit or Abort.
func (v *Reservation) Bytes() []byte { return v.bytes }

// Commit publishes the first n bytes as the record.
func (v *Reservation) Commit(n int) (err error) {
	if v.p == nil {
		return fs.ErrClosed
	}
	if v.p.r.fragile {
		defer v.p.r.space.Guard().End(&err)
	}
	if n < 0 || n > len(v.bytes) {
		return fmt.Errorf("ring: a commit of %d bytes of %d: %w", n, len(v.bytes), fs.ErrInvalid)
	}
	return v.end(v.p.r.shorten(v.at, v.rec, n).becomes(committed, 0))
}

// Abort gives the room back. Nobody sees a record.
func (v *Reservation) Abort() (err error) {
	if v.p == nil {
		return fs.ErrClosed
	}
	defer v.p.r.space.Guard().End(&err)
	return v.end(v.rec.becomes(done, 0))
}

func (v *Reservation) end(w record) error {
	p := v.p
	if p.closed {
		return fs.ErrClosed
	}
	v.p, v.bytes = nil, nil
	if !p.r.state(v.at).CompareAndSwap(uint64(v.rec), uint64(w)) {
		return p.r.unlessClosed(fmt.Errorf("%w: the record at %d is not what was claimed", ErrCorrupt, v.at))
	}
	if err := p.r.unlessClosed(nil); err != nil {
		return err
	}
	if w.state() == committed {
		p.add(toldSent, 1)
		p.add(toldSentBytes, uint64(w.length()))
	}
	if w.state() == done || p.r.Delivery != ToOne {
		// Room: the record may be the one that head stood at.
		if err := p.r.writers.ring(); err != nil {
			return err
		}
	}
	if p.quiet {
		return nil
	}
	err := p.r.readers.ring()
	runtime.KeepAlive(p.r.space)
	return err
}

// shorten makes the record at i one of n bytes. Slots that it needs no more become
// padding, which counts only when the shorter record is published.
func (r *Ring) shorten(i uint64, w record, n int) record {
	if w.kind() == plain {
		if keep, has := r.slotsFor(n), r.slotsFor(w.length()); keep < has {
			r.state(i + keep).Store(uint64(newRecord(r.lap(i), done, pad, 0, int(has-keep)*r.SlotBytes)))
		}
	}
	return w.shortened(n)
}

// TryReserve claims a record of n bytes, to be filled and committed. It fails with
// ErrFull, with ErrTooLong, or with io.ErrClosedPipe behind the ring's end. A ring
// that overwrites has no reservations: its records are copied, by Send.
func (p *Producer) TryReserve(n int) (Reservation, error) {
	if p.r.Delivery == Overwrite {
		return Reservation{}, fmt.Errorf("ring: a reservation in a ring that overwrites: %w", fs.ErrInvalid)
	}
	v, who, err := p.reserve(n)
	if err == ErrFull && p.gone(who) {
		v, _, err = p.reserve(n)
	}
	return v, err
}

// Reserve is TryReserve, and waits while the ring is full.
func (p *Producer) Reserve(ctx context.Context, n int) (v Reservation, err error) {
	if v, err = p.TryReserve(n); err != ErrFull {
		return v, err
	}
	err = p.wait(ctx, p.r.writers, ErrFull, func() (who shmsync.Owner, err error) {
		v, who, err = p.reserve(n)
		return who, err
	})
	return v, err
}

// reserve claims a record, and a block for it if it needs one.
func (p *Producer) reserve(n int) (v Reservation, who shmsync.Owner, err error) {
	if p.r.fragile {
		defer p.r.space.Guard().End(&err)
	}
	v, who, err = p.find(n)
	return v, who, p.r.unlessClosed(err)
}

// find is reserve as long as the Space is open and the memory is there.
func (p *Producer) find(n int) (Reservation, shmsync.Owner, error) {
	r := p.r
	switch {
	case p.closed:
		return Reservation{}, 0, fs.ErrClosed
	case n < 0:
		return Reservation{}, 0, fmt.Errorf("ring: a record of %d bytes: %w", n, fs.ErrInvalid)
	case n <= r.longest():
		at, w, who, err := p.claim(claimed, plain, n)
		if err != nil {
			return Reservation{}, who, err
		}
		from := int(at&r.mask) * r.SlotBytes
		return Reservation{p, at, w, r.data[from : from+n : from+n]}, 0, nil
	case n <= r.BlockBytes:
		if who, err := p.lendable(); err != nil {
			return Reservation{}, who, err
		}
		at, w, who, err := p.claim(claimed, loan, n)
		if err != nil {
			return Reservation{}, who, err
		}
		b, err := p.borrow(at)
		if err != nil {
			v := Reservation{p, at, w, nil}
			if e := v.Abort(); e != nil {
				err = e
			}
			return Reservation{}, 0, err
		}
		return Reservation{p, at, w, b[:n:n]}, 0, nil
	}
	return Reservation{}, 0, fmt.Errorf("%w: %d bytes, and %d are the most", ErrTooLong, n, r.Longest())
}

// claim makes a record of n bytes this seat's. On ErrFull it tells who holds the
// oldest record, if anybody does.
//
// tail says where the next record goes, unless one stands there already: then its
// producer has been slow to move tail on, and anybody does that. A record is
// claimed where tail points by the one change of its word, which says whose it is
// and how long.
func (p *Producer) claim(s state, k kind, n int) (at uint64, w record, who shmsync.Owner, err error) {
	r := p.r
	need := uint64(1)
	if k == plain {
		need = r.slotsFor(n)
	}
	for range patience {
		t := r.tail.Load()
		before := record(r.state(t).Load())
		if before.lap() == r.lap(t) {
			if before.kind() == end && before.state() == committed {
				return 0, 0, 0, io.ErrClosedPipe
			}
			if err = r.pass(r.tail, t, before); err != nil {
				return 0, 0, 0, err
			}
			continue
		}
		if t-p.head > r.mask+1-need {
			if who, err = p.makeRoom(t, need); err != nil {
				return 0, 0, who, err
			}
			continue // what stood in the slot was perhaps still in use
		}
		if r.tail.Load() != t {
			continue // and before may be of a later lap
		}
		if before.state() != done && (before.state() != committed || r.Delivery == ToOne) {
			return 0, 0, 0, fmt.Errorf("%w: the free slot %d holds %#x", ErrCorrupt, t, uint64(before))
		}
		if left := r.mask + 1 - t&r.mask; left < need {
			// It would not fit before the end. What is left becomes padding, with
			// no owner: it is complete by itself.
			padding := newRecord(r.lap(t), done, pad, 0, int(left)*r.SlotBytes)
			if r.state(t).CompareAndSwap(uint64(before), uint64(padding)) {
				r.tail.CompareAndSwap(t, t+left)
			}
			continue
		}
		w = newRecord(r.lap(t), s, k, p.number, n)
		if s == committed {
			w = w.becomes(committed, 0)
		}
		if r.state(t).CompareAndSwap(uint64(before), uint64(w)) {
			if k != end { // behind which tail never gets
				r.tail.CompareAndSwap(t, t+need)
				r.renew(t, need)
			}
			return t, w, 0, nil
		}
	}
	return 0, 0, 0, ErrFull // they are many, and were faster every time
}

// pass moves a cursor on from the record that stands at i.
func (r *Ring) pass(cursor *word.U64, i uint64, w record) error {
	n, err := r.slotsOf(i, w)
	if err == nil {
		cursor.CompareAndSwap(i, i+n)
	}
	return err
}

// makeRoom finds need free slots behind t, or fails with ErrFull and tells who is
// in the way.
func (p *Producer) makeRoom(t, need uint64) (who shmsync.Owner, err error) {
	r := p.r
	if who, err = r.reclaim(t + need - min(t+need, r.mask+1)); err != nil {
		return 0, err
	}
	h := r.head.Load()
	if h < p.head {
		return 0, fmt.Errorf("%w: head has gone back from %d to %d", ErrCorrupt, p.head, h)
	}
	p.head = h
	switch room := r.mask + 1 - (t - h); {
	case h > t || room > r.mask+1:
		// t is old, or head has passed a record that tail has not passed yet, which
		// stands there then; or it is nonsense.
		stands := h > t && record(r.state(t).Load()).lap() == r.lap(t)
		if !stands && r.tail.Load() == t {
			return 0, fmt.Errorf("%w: tail is %d and head %d", ErrCorrupt, t, h)
		}
	case room < need:
		return who, ErrFull
	}
	return 0, nil
}

// reclaim moves head on as far as the delivery allows; over records that could
// still be read, where that is allowed, only up to want. It tells who is in the way.
func (r *Ring) reclaim(want uint64) (who shmsync.Owner, err error) {
	switch r.Delivery {
	case Overwrite:
		return r.retire(want)
	case ToAll:
		limit, slowest := r.slowest()
		if who, err = r.retire(limit); who == 0 {
			who = slowest
		}
		return who, err
	}
	return r.retire(math.MaxUint64)
}

// retire moves head on, up to limit, over the records that nobody needs any more:
// those that are done, and where nobody takes records the committed ones too. It
// tells who holds the record that it stops at, if anybody does.
func (r *Ring) retire(limit uint64) (who shmsync.Owner, err error) {
	for range r.Slots {
		h := r.head.Load()
		if h >= limit {
			return 0, nil
		}
		w := record(r.state(h).Load())
		if w.lap() != r.lap(h) {
			return 0, nil // nothing stands there
		}
		over := w.state() == done || w.state() == committed && w.kind() != end && r.Delivery != ToOne
		if !over {
			return r.holder(w), nil
		}
		if r.Delivery == Overwrite && !r.count(h, w) {
			continue // head has moved on meanwhile
		}
		if err := r.pass(r.head, h, w); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// slowest is the slot that no consumer's seat has left yet, and who sits on that
// seat; where there is no consumer, what has been claimed. tail is read first: who
// joins later begins at a tail that is not smaller.
func (r *Ring) slowest() (limit uint64, who shmsync.Owner) {
	limit = r.tail.Load()
	for n := 1; n <= r.Seats; n++ {
		owner := r.seatOwner(n).Load()
		if owner == 0 {
			continue
		}
		if c := r.seatCursor(n).Load(); c != 0 && c-1 < limit {
			limit, who = c-1, shmsync.Owner(owner)
		}
	}
	return limit, who
}

// renew gives the inner slots of a record a lap of late, once in a while.
func (r *Ring) renew(i, n uint64) {
	if lap := r.lap(i); lap%renewLaps == 0 {
		for j := i + 1; j < i+n; j++ {
			r.state(j).Store(uint64(newRecord(lap-1, done, plain, 0, 0)))
		}
	}
}

// End ends the ring: consumers get io.EOF behind the last record claimed before,
// and producers io.ErrClosedPipe. It waits for the room that it takes, as a record
// does. Nothing can follow, for ever.
func (p *Producer) End(ctx context.Context) error {
	return p.wait(ctx, p.r.writers, ErrFull, func() (who shmsync.Owner, err error) {
		if p.closed {
			return 0, fs.ErrClosed
		}
		if _, _, who, err = p.claim(committed, end, 0); err == nil {
			err = p.r.ringBoth() // producers that wait for room wait in vain
		}
		return who, p.r.unlessClosed(err)
	})
}

// TrySend puts a copy of b into the ring, or fails as TryReserve does.
func (p *Producer) TrySend(b []byte) error {
	who, err := p.send(b)
	if err == ErrFull && p.gone(who) {
		_, err = p.send(b)
	}
	return err
}

// Send is TrySend, and waits while the ring is full. A ring that overwrites is
// full only while a record's producer has not finished it for a whole lap.
func (p *Producer) Send(ctx context.Context, b []byte) error {
	if err := p.TrySend(b); err != ErrFull {
		return err
	}
	return p.wait(ctx, p.r.writers, ErrFull, func() (shmsync.Owner, error) { return p.send(b) })
}

func (p *Producer) send(b []byte) (who shmsync.Owner, err error) {
	if p.r.fragile {
		defer p.r.space.Guard().End(&err)
	}
	v, who, err := p.find(len(b))
	if err = p.r.unlessClosed(err); err != nil {
		return who, err
	}
	if p.r.Delivery == Overwrite {
		copyIn(v.bytes, b)
	} else {
		copy(v.bytes, b)
	}
	return 0, v.end(v.rec.becomes(committed, 0))
}

// SendBatch sends each of the records, and wakes consumers once. On error it
// answers how many were sent.
func (p *Producer) SendBatch(ctx context.Context, batch ...[]byte) (n int, err error) {
	defer p.r.space.Guard().End(&err)
	defer p.hush()()
	for n < len(batch) && err == nil {
		if err = p.sendQuietly(ctx, batch[n]); err == nil {
			n++
		}
	}
	return n, p.rung(err)
}

// sendQuietly is Send within a batch. Before it waits it wakes consumers: asleep
// they would never make room.
func (p *Producer) sendQuietly(ctx context.Context, b []byte) error {
	err := p.TrySend(b)
	if err == ErrFull {
		if err = p.r.readers.ring(); err == nil {
			err = p.Send(ctx, b)
		}
	}
	return err
}

// hush begins a batch, and what it returns ends it.
func (p *Producer) hush() (loud func()) {
	p.quiet = true
	return func() { p.quiet = false }
}

// rung wakes consumers behind a batch.
func (p *Producer) rung(err error) error {
	if e := p.r.readers.ring(); err == nil {
		err = e
	}
	return err
}

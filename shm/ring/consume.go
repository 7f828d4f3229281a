package ring

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/memwright/mmap/shm/shmsync"
)

// A Consumer takes records from a ring. One goroutine at a time uses it; each
// goroutine has its own.
type Consumer struct {
	seat

	// Where every consumer gets every record, in whose order they are released:
	at       uint64 // the slot it looks at next
	given    uint64 // records handed out
	released uint64 // records released
}

// NewConsumer takes a seat. It fails with ErrTaken if there is none. In a ring that
// delivers to all, it gets the records that are claimed from now on. A ring that
// overwrites has readers instead.
func (r *Ring) NewConsumer() (_ *Consumer, err error) {
	defer r.space.Guard().End(&err)
	if r.Delivery == Overwrite {
		return nil, fmt.Errorf("ring: a consumer of a ring that overwrites: %w", fs.ErrInvalid)
	}
	s, err := r.sit()
	if err != nil {
		return nil, err
	}
	c := &Consumer{seat: s}
	cursor := r.seatCursor(s.number)
	if r.Delivery == ToOne {
		cursor.Store(0) // next is the cursor of all
		return c, r.unlessClosed(nil)
	}
	// A producer that has not seen the first store takes for free what was claimed
	// before it looked, and that is before the second.
	cursor.Store(r.tail.Load() + 1)
	c.at = r.tail.Load()
	cursor.Store(c.at + 1)
	return c, r.unlessClosed(nil)
}

// Close gives the seat back. What is not released goes to another consumer, as a
// record that is delivered again.
func (c *Consumer) Close() error { return c.leave() }

// A Record is one that a consumer has and has not released.
type Record struct {
	c     *Consumer
	at    uint64
	nth   uint64
	slots uint64
	rec   record
	bytes []byte
}

// Bytes is the record, in place. Not to be used after Release. They may change at
// any time if a process that shares the memory means harm: copy what is to be
// checked before it is used.
func (v *Record) Bytes() []byte { return v.bytes }

// Redelivered reports whether a consumer has had the record before, and died or
// gave it back without Release. How far it got with it nobody knows.
func (v *Record) Redelivered() bool { return v.rec.seen() }

// Release says that the record is done: its room is free, and it is delivered to
// nobody else. In a ring that delivers to all, records are released in the order
// in which they came.
func (v *Record) Release() (err error) {
	c := v.c
	if c == nil || c.closed {
		return fs.ErrClosed
	}
	r := c.r
	if r.fragile {
		defer r.space.Guard().End(&err)
	}
	if r.Delivery == ToAll {
		if v.nth != c.released {
			return fmt.Errorf("ring: record %d released before %d: %w", v.nth, c.released, fs.ErrInvalid)
		}
		c.released++
		upTo := v.at + v.slots
		if c.released == c.given {
			upTo = c.at // with what was passed over behind it
		}
		r.seatCursor(c.number).Store(upTo + 1)
	} else {
		if !r.state(v.at).CompareAndSwap(uint64(v.rec), uint64(v.rec.becomes(done, 0))) {
			return r.unlessClosed(fmt.Errorf("%w: the record at %d is not what was taken", ErrCorrupt, v.at))
		}
		if _, err := r.retire(^uint64(0)); err != nil {
			return r.unlessClosed(err)
		}
	}
	v.c, v.bytes = nil, nil
	c.add(toldReceived, 1)
	c.add(toldReceivedBytes, uint64(v.rec.length()))
	err = r.writers.ring()
	return r.unlessClosed(err)
}

// Return gives the record back unread. In a ring to one it comes again, to this
// consumer or another, and says so ([Record.Redelivered]). In a ring to all only the
// last record of Next can be given back; it comes again to this consumer, which knows.
func (v *Record) Return() (err error) {
	c := v.c
	if c == nil || c.closed {
		return fs.ErrClosed
	}
	defer c.r.space.Guard().End(&err)
	if c.r.Delivery == ToAll {
		if v.nth+1 != c.given {
			return fmt.Errorf("ring: record %d given back after %d was taken: %w", v.nth, c.given-1, fs.ErrInvalid)
		}
		c.given--
		c.at = v.at
		v.c, v.bytes = nil, nil
		return nil
	}
	if !c.r.state(v.at).CompareAndSwap(uint64(v.rec), uint64(v.rec.again())) {
		return c.r.unlessClosed(fmt.Errorf("%w: the record at %d is not what was taken", ErrCorrupt, v.at))
	}
	v.c, v.bytes = nil, nil
	err = c.r.goBack(v.at)
	if e := c.r.readers.ring(); err == nil {
		err = e
	}
	return c.r.unlessClosed(err)
}

// TryNext takes the next record. It fails with ErrEmpty, or with io.EOF at the
// ring's end. Records behind one that is still being filled wait for it.
func (c *Consumer) TryNext() (Record, error) {
	v, who, err := c.take()
	if err == ErrEmpty && c.gone(who) {
		v, _, err = c.take()
	}
	return v, err
}

// Next is TryNext, and waits while there is nothing.
func (c *Consumer) Next(ctx context.Context) (v Record, err error) {
	if v, err = c.TryNext(); err != ErrEmpty {
		return v, err
	}
	err = c.wait(ctx, c.r.readers, ErrEmpty, func() (who shmsync.Owner, err error) {
		v, who, err = c.take()
		return who, err
	})
	return v, err
}

// take finds the next record. On ErrEmpty it tells who is filling it, if anybody is.
func (c *Consumer) take() (v Record, who shmsync.Owner, err error) {
	if c.r.fragile {
		defer c.r.space.Guard().End(&err)
	}
	switch {
	case c.closed:
		return Record{}, 0, fs.ErrClosed
	case c.r.Delivery == ToAll:
		v, who, err = c.takeCopy()
	default:
		v, who, err = c.takeOne()
	}
	return v, who, c.r.unlessClosed(err)
}

// takeOne is take where every record goes to one consumer.
func (c *Consumer) takeOne() (Record, shmsync.Owner, error) {
	r := c.r
	for range r.Slots + patience {
		i := r.next.Load()
		if h := r.head.Load(); i < h {
			r.next.CompareAndSwap(i, h) // what lies before head is done
			continue
		}
		state := r.state(i)
		w := record(state.Load())
		if w.lap() != r.lap(i) {
			if r.next.Load() == i && r.head.Load() <= i {
				return Record{}, 0, ErrEmpty
			}
			continue
		}
		switch {
		case w.state() == claimed:
			who := r.holder(w)
			if who == 0 && record(state.Load()) == w {
				return Record{}, 0, fmt.Errorf("%w: the record at %d is claimed by nobody", ErrCorrupt, i)
			}
			return Record{}, who, ErrEmpty
		case w.state() == committed && w.kind() == end:
			return Record{}, 0, io.EOF
		case w.state() == committed:
			mine := w.becomes(taken, c.number)
			if !state.CompareAndSwap(uint64(w), uint64(mine)) {
				continue
			}
			v, err := r.found(i, mine) // now that its bytes stay
			if err != nil {
				state.CompareAndSwap(uint64(mine), uint64(mine.becomes(done, 0)))
				return Record{}, 0, err
			}
			r.next.CompareAndSwap(i, i+v.slots)
			v.c = c
			if w.seen() {
				c.add(toldRedelivered, 1)
			}
			return v, 0, nil
		}
		if err := r.pass(r.next, i, w); err != nil {
			return Record{}, 0, err
		}
		// It may have been given back after we saw it taken and before we passed it.
		if w.state() == taken && record(state.Load()).state() == committed {
			if err := r.goBack(i); err != nil {
				return Record{}, 0, err
			}
		}
	}
	return Record{}, 0, ErrEmpty
}

// found is the committed record at i.
func (r *Ring) found(i uint64, w record) (Record, error) {
	n, err := r.slotsOf(i, w)
	if err != nil {
		return Record{}, err
	}
	b, err := r.bytesOf(i, w)
	return Record{at: i, slots: n, rec: w, bytes: b}, err
}

// takeCopy is take where every consumer gets every record: it looks, and stores
// nothing but how far it is.
func (c *Consumer) takeCopy() (Record, shmsync.Owner, error) {
	r := c.r
	for range r.Slots {
		w := record(r.state(c.at).Load())
		if w.lap() != r.lap(c.at) {
			break
		}
		switch {
		case w.state() == claimed:
			return Record{}, r.holder(w), ErrEmpty
		case w.state() == committed && w.kind() == end:
			return Record{}, 0, io.EOF
		case w.state() == committed:
			v, err := r.found(c.at, w)
			if err != nil {
				return Record{}, 0, err
			}
			v.c, v.nth = c, c.given
			c.at += v.slots
			c.given++
			return v, 0, nil
		}
		n, err := r.slotsOf(c.at, w)
		if err != nil {
			return Record{}, 0, err
		}
		c.at += n
		if c.given == c.released { // nobody will release what is passed over
			r.seatCursor(c.number).Store(c.at + 1)
			if err := r.writers.ring(); err != nil {
				return Record{}, 0, err
			}
		}
	}
	return Record{}, 0, ErrEmpty
}

// NextBatch takes as many records as there are, len(into) at most, and waits while
// there is none. Each is released by itself.
func (c *Consumer) NextBatch(ctx context.Context, into []Record) (n int, err error) {
	if len(into) == 0 {
		return 0, nil
	}
	if into[0], err = c.Next(ctx); err != nil {
		return 0, err
	}
	for n = 1; n < len(into); n++ {
		if into[n], err = c.TryNext(); err == ErrEmpty || err == io.EOF {
			break // the next call tells
		} else if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Recv copies the next record into b, releases it, and answers its length. It fails
// with ErrShort if b is shorter: the record is then given back, and comes again.
func (c *Consumer) Recv(ctx context.Context, b []byte) (n int, err error) {
	if c.r.fragile {
		defer c.r.space.Guard().End(&err)
	}
	v, err := c.Next(ctx)
	if err != nil {
		return 0, err
	}
	if len(v.bytes) > len(b) {
		n := len(v.bytes)
		if err := v.Return(); err != nil {
			return 0, err
		}
		return n, ErrShort
	}
	n = copy(b, v.bytes)
	return n, v.Release()
}

// All yields every record until the ring's end, ctx's, or an error, which is
// yielded last. A record is released when the loop's body ends, also by break.
func (c *Consumer) All(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for {
			v, err := c.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(&v, nil)
			if v.c != nil { // the body has not released it
				err = v.Release()
			}
			if !more {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

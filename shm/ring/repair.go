package ring

import (
	"fmt"
	"math"

	"github.com/memwright/mmap/shm/shmsync"
)

// repair takes over the seats of those who are no more, and frees them. It asks the
// kernel about those whose process it has marked as ended, or about all.
//
// A seat is taken over by one compare-and-swap from the dead one's name to ours, so
// there is never more than one who clears it, and what it clears is its own: nobody
// else can sit down there and have a record of that seat before we have finished.
// If we die, it is the seat of a dead one still.
func (r *Ring) repair(all bool) (err error) {
	defer r.space.Guard().End(&err)
	self := r.space.Self()
	for n := 1; n <= r.Seats; n++ {
		who := shmsync.Owner(r.seatOwner(n).Load())
		if who == 0 || who == self || !all && !r.space.Marked(who) {
			continue
		}
		alive, err := r.space.Examine(who)
		if err != nil {
			return err
		}
		if !alive && r.seatOwner(n).CompareAndSwap(uint32(who), uint32(self)) {
			t := r.tellerOf(n)
			t.add(toldRepairs, 1)
			if err := r.clear(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear undoes what a seat has begun, and frees it. The seat is ours, and nobody
// uses it any more.
//
// A claimed record is done, as if its producer had given up. A taken record is
// committed again, and next goes back to it. Between those two it would be lost
// if we died; so the seat is free only afterwards, and the next one to clear it
// looks for every committed record that next has passed, whoever made it so.
//
// On an error the seat stays ours, until we end and another tries.
func (r *Ring) clear(seat int) error {
	head := r.head.Load()
	first := uint64(math.MaxUint64) // the first committed record
	for k := range r.states {
		state := &r.states[k]
		w := record(state.Load())
		if w.seat() == seat && (w.state() == claimed || w.state() == taken) {
			undone := w.becomes(done, 0)
			if w.state() == taken {
				undone = w.again()
			}
			if !state.CompareAndSwap(uint64(w), uint64(undone)) {
				return fmt.Errorf("%w: another than seat %d has changed its record %#x", ErrCorrupt, seat, uint64(w))
			}
			w = undone
		}
		if i := head + (uint64(k)-head)&r.mask; w.state() == committed && w.lap() == r.lap(i) {
			first = min(first, i)
		}
	}
	if r.Delivery == ToOne {
		if err := r.goBack(first); err != nil {
			return err
		}
	}
	r.seatCursor(seat).Store(0) // the next one here must not be taken to have stopped where this one did
	r.seatOwner(seat).CompareAndSwap(uint32(r.space.Self()), 0)
	return r.ringBoth()
}

// goBack has consumers look at i again if they have passed it. Consumers who move
// next on at the same time do so once for each of the records behind i, which are
// no more than there are slots.
func (r *Ring) goBack(i uint64) error {
	for range r.Slots + patience {
		if n := r.next.Load(); n <= i || r.next.CompareAndSwap(n, i) {
			return nil
		}
	}
	return fmt.Errorf("%w: next does not stand still", ErrCorrupt)
}

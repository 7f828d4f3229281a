package ring

import (
	"math"

	"github.com/memwright/mmap/shm/shmsync"
)

// repair frees the seats of those who are no more. It asks the kernel about those
// whose process it has marked as ended, or about all.
func (r *Ring) repair(all bool) error {
	for n := 1; n <= r.Seats; n++ {
		who := shmsync.Owner(r.seatOwner(n).Load())
		if who == 0 || who == r.space.Self() || !all && !r.space.Marked(who) {
			continue
		}
		alive, err := r.space.Examine(who)
		if err != nil {
			return err
		}
		if !alive {
			if err := r.clear(n, who); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear undoes what a seat has begun, and frees it. who sits there, and does
// nothing more: it is dead, or it is us.
//
// A claimed record is done, as if its producer had given up. A taken record is
// committed again, and next goes back to it. Between those two it would be lost
// if we died; so the seat is free only afterwards, and the next one to clear it
// looks for every committed record that next has passed, whoever made it so.
func (r *Ring) clear(seat int, who shmsync.Owner) error {
	head := r.head.Load()
	first := uint64(math.MaxUint64) // the first committed record
	for k := range r.states {
		state := &r.states[k]
		for range patience {
			w := record(state.Load())
			if w.seat() == seat && (w.state() == claimed || w.state() == taken) {
				// Read after the record: if who still sits there, the record is its.
				if r.seatOwner(seat).Load() != uint32(who) {
					return r.ringBoth() // somebody else has cleared the seat
				}
				undone := w.becomes(done, 0)
				if w.state() == taken {
					undone = w.again()
				}
				if !state.CompareAndSwap(uint64(w), uint64(undone)) {
					continue
				}
				w = undone
			}
			if i := head + (uint64(k)-head)&r.mask; w.state() == committed && w.lap() == r.lap(i) {
				first = min(first, i)
			}
			break
		}
	}
	if r.Delivery == ToOne {
		r.goBack(first)
	}
	r.seatOwner(seat).CompareAndSwap(uint32(who), 0)
	return r.ringBoth()
}

// goBack has consumers look at i again if they have passed it.
func (r *Ring) goBack(i uint64) {
	for range patience {
		if n := r.next.Load(); n <= i || r.next.CompareAndSwap(n, i) {
			return
		}
	}
}

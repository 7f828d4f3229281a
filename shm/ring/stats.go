package ring

import (
	"fmt"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// Stats is what has gone through a ring since it was made, and how full it is. Each
// figure is told by whoever did the work, right after it, and by no one else: a
// process that is killed may have done one record more than it has told. Figures
// that are read while others work are of slightly different moments.
type Stats struct {
	Sent, SentBytes         uint64 // records committed
	Received, ReceivedBytes uint64 // records released: by every consumer, where all get all; 0 where readers copy
	Redelivered             uint64 // records that consumers got marked as Redelivered
	Overwritten             uint64 // records that made room for others unasked, exactly; readers may have had them before
	WaitedFull, WaitedEmpty uint64 // how often a producer, or a consumer, went to sleep
	Repairs                 uint64 // how often a dead one's seat was taken over
	Used                    int    // slots that can't be claimed now, of Options.Slots: all of them once a ring that overwrites was full
	Seated                  int    // seats that are taken now, of Options.Seats
}

// Stats tells how the ring does, from the memory alone: it takes a few loads for
// each seat, no part in the ring, and works in memory that may only be read. It
// fails with fs.ErrClosed, or with ErrCorrupt where words make no sense.
func (r *Ring) Stats() (s Stats, err error) {
	defer r.space.Guard().End(&err)
	from := r.head.Load()
	if r.Delivery == ToAll { // head stays until somebody needs room
		limit, _ := r.slowest()
		from = max(from, limit)
	}
	if t := r.tail.Load(); t > from {
		s.Used = int(min(t-from, r.mask+1))
	}
	for n := 1; n <= r.Seats; n++ {
		if r.seatOwner(n).Load() != 0 {
			s.Seated++
		}
		told := r.seatTold(n)
		for i, to := range [...]*uint64{toldSent: &s.Sent, toldSentBytes: &s.SentBytes,
			toldReceived: &s.Received, toldReceivedBytes: &s.ReceivedBytes, toldRedelivered: &s.Redelivered,
			toldWaitedFull: &s.WaitedFull, toldWaitedEmpty: &s.WaitedEmpty, toldRepairs: &s.Repairs} {
			*to += told[i].Load()
		}
	}
	if r.Delivery == Overwrite {
		_, s.Overwritten, err = r.countAtHead()
	}
	return s, r.unlessClosed(err)
}

// What the second half of a seat's line tells, each word stored only by who sits
// there.
const (
	toldSent = iota
	toldSentBytes
	toldReceived
	toldReceivedBytes
	toldRedelivered
	toldWaitedFull
	toldWaitedEmpty
	toldRepairs
	toldWords

	toldAt = lineBytes - 8*toldWords
)

func (r *Ring) seatTold(seat int) []word.U64 {
	return words(r.memory, seatsAt+(seat-1)*lineBytes+toldAt, toldWords)
}

// A teller tells what a seat has done. It keeps what it has told, so as not to read
// it back; the zero value tells nobody.
type teller struct {
	shared []word.U64
	told   [toldWords]uint64
}

// tellerOf goes on from what those told who sat there before.
func (r *Ring) tellerOf(seat int) (t teller) {
	t.shared = r.seatTold(seat)
	for i := range t.told {
		t.told[i] = t.shared[i].Load()
	}
	return t
}

// add costs a store that waits for nothing.
func (t *teller) add(what int, n uint64) {
	if t.shared != nil {
		t.told[what] += n
		t.shared[what].Tell(t.told[what])
	}
}

// waits tells that somebody goes to sleep for the reason why.
func (t *teller) waits(why error) {
	if why == ErrFull {
		t.add(toldWaitedFull, 1)
	} else {
		t.add(toldWaitedEmpty, 1)
	}
}

// countAtHead is head, and how many records lie before it.
func (r *Ring) countAtHead() (head, n uint64, err error) {
	for range patience {
		h := r.head.Load()
		n := r.counts[h&r.mask].Load()
		if r.head.Load() == h { // or n may be of a later lap
			return h, n, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: head does not stand still", ErrCorrupt)
}

// Observe is Open of whatever ring stands at an offset of s, for those who look at
// its Options and Stats and do not know its shape.
func Observe(s *shmsync.Space, off int64) (*Ring, error) {
	return open(s, off, func(shape) error { return nil })
}

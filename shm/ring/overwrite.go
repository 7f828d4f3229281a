package ring

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// Where the oldest records are overwritten, head is moved on by producers, over
// records that readers may be copying. A producer moves head first and stores
// afterwards; a reader copies first and looks at head afterwards. If head has not
// passed the record then, its bytes were whole.
//
// counts says at each head how many records lie before it, since the beginning.
// Who moves head on stores the count of the next head before. A reader that was
// overtaken reads the count at the new head, and so knows how many it has missed.

// count stores how many records lie before the one behind h, which is w. It
// reports false if head has left h.
func (r *Ring) count(h uint64, w record) bool {
	n := r.counts[h&r.mask].Load()
	if r.head.Load() != h {
		return false // n may be of a later lap
	}
	if w.state() == committed {
		n++
	}
	slots, err := r.slotsOf(h, w)
	if err != nil {
		return true // to fail where head is moved
	}
	// Only ever raised: who comes late changes nothing.
	behind := &r.counts[(h+slots)&r.mask]
	for range patience {
		if old := behind.Load(); old >= n || behind.CompareAndSwap(old, n) {
			return true
		}
	}
	return false
}

// A Reader copies the records of a ring that overwrites. It keeps nobody waiting,
// takes no seat, and works in memory that may only be read. One goroutine at a time
// uses it.
type Reader struct {
	r       *Ring
	sleeper *shmsync.Sleeper // nil where the memory can't be written
	at      uint64           // the slot it looks at next
	count   uint64           // how many records lie before
	lost    uint64
}

// NewReader reads from the oldest record that is still there. Only a ring that
// overwrites has readers.
func (r *Ring) NewReader() (_ *Reader, err error) {
	defer r.space.Guard().End(&err)
	if r.Delivery != Overwrite {
		return nil, fmt.Errorf("ring: a reader of a ring that does not overwrite: %w", fs.ErrInvalid)
	}
	rd := &Reader{r: r}
	if r.space.Self() != 0 {
		rd.sleeper = r.space.NewSleeper()
	}
	if err := rd.catchUp(); err != nil {
		return nil, err
	}
	rd.lost = 0
	return rd, r.unlessClosed(nil)
}

// Lost is how many records were overwritten before this reader came to them,
// exactly.
func (rd *Reader) Lost() uint64 { return rd.lost }

// catchUp goes to head, and counts what it has missed on the way.
func (rd *Reader) catchUp() error {
	h, n, err := rd.r.countAtHead()
	if err == nil && n < rd.count {
		err = fmt.Errorf("%w: %d records lie before %d, and there were %d before an earlier one", ErrCorrupt, n, h, rd.count)
	}
	if err == nil {
		rd.lost += n - rd.count
		rd.at, rd.count = h, n
	}
	return err
}

// TryRecv copies the next record into b and answers its length. It fails with
// ErrEmpty, with io.EOF at the ring's end, and with ErrShort if b is shorter: the
// length is then the record's, which stays the next unless it is overwritten.
func (rd *Reader) TryRecv(b []byte) (int, error) {
	n, _, err := rd.read(b)
	return n, err
}

func (rd *Reader) read(b []byte) (n int, who shmsync.Owner, err error) {
	if rd.r.fragile {
		defer rd.r.space.Guard().End(&err)
	}
	n, who, err = rd.copy(b)
	return n, who, rd.r.unlessClosed(err)
}

// copy is read as long as the Space is open.
func (rd *Reader) copy(b []byte) (int, shmsync.Owner, error) {
	r := rd.r
	for range r.Slots + patience {
		if r.head.Load() > rd.at {
			if err := rd.catchUp(); err != nil {
				return 0, 0, err
			}
			continue
		}
		w := record(r.state(rd.at).Load())
		if w.lap() != r.lap(rd.at) {
			if r.head.Load() > rd.at {
				continue
			}
			return 0, 0, ErrEmpty
		}
		slots, err := r.slotsOf(rd.at, w)
		switch {
		case err != nil || w.state() == taken:
		case w.state() == claimed:
			return 0, r.holder(w), ErrEmpty
		case w.state() == done:
			rd.at += slots
			continue
		case w.kind() == end:
			return 0, 0, io.EOF
		default:
			var bytes []byte
			word.Place("copy")
			if bytes, err = r.bytesOf(rd.at, w); err == nil && len(bytes) <= len(b) {
				copyOut(b, bytes)
			}
			if r.head.Load() > rd.at {
				continue
			}
			if err != nil {
				return 0, 0, err
			}
			if len(bytes) > len(b) {
				return len(bytes), 0, ErrShort
			}
			rd.at += slots
			rd.count++
			return len(bytes), 0, nil
		}
		if r.head.Load() <= rd.at {
			return 0, 0, fmt.Errorf("%w: the record at %d is %#x", ErrCorrupt, rd.at, uint64(w))
		}
	}
	return 0, 0, ErrEmpty
}

// readOnlyPoll is how often a reader looks that can't say that it sleeps.
const readOnlyPoll = time.Millisecond

// Recv is TryRecv, and waits while there is nothing. A reader that may not write
// the memory can't be woken: it looks every millisecond.
func (rd *Reader) Recv(ctx context.Context, b []byte) (n int, err error) {
	for {
		if n, err = rd.TryRecv(b); err != ErrEmpty {
			return n, err
		}
		if rd.sleeper != nil {
			s := seat{r: rd.r, sleeper: rd.sleeper, examined: time.Now()}
			err = s.wait(ctx, rd.r.readers, ErrEmpty, func() (who shmsync.Owner, err error) {
				n, who, err = rd.read(b)
				return who, err
			})
			return n, err
		}
		if err := rd.r.intact(0); err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(readOnlyPoll):
		}
	}
}

// copyIn and copyOut copy to and from memory that others copy at the same time, a
// word at a time, each atomically: so the words keep their order with the stores
// and loads of head, and a copy that comes out torn is only ever thrown away. The
// shared side begins at a word, and its last word is its own.
func copyIn(to, from []byte) {
	shared := mem.Slice[uint64](mem.AddrOf(to), (len(from)+7)/8)
	for i := range shared {
		var w [8]byte
		copy(w[:], from[8*i:])
		atomic.StoreUint64(&shared[i], binary.NativeEndian.Uint64(w[:]))
	}
}

func copyOut(to, from []byte) {
	shared := mem.Slice[uint64](mem.AddrOf(from), (len(from)+7)/8)
	for i := range shared {
		var w [8]byte
		binary.NativeEndian.PutUint64(w[:], atomic.LoadUint64(&shared[i]))
		copy(to[8*i:len(from)], w[:])
	}
}

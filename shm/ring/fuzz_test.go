package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/mem"
)

// FuzzRing has a peer that stores what it likes into the control words, between
// calls. Every call returns, with an error that is listed or with bytes of the
// ring.
func FuzzRing(f *testing.F) {
	f.Add([]byte{0, 1, 9, 2, 9, 3})
	f.Add([]byte{1, 1, 9, 2, 255, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9})
	f.Add([]byte{2, 4, 4, 4, 5, 5, 255, 3, 0, 255, 255, 255, 255, 255, 255, 255, 255, 4, 5})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		o := Options{Delivery: Delivery(in[0] % 3), Slots: 8, SlotBytes: 16, Seats: 4, Blocks: 2, BlockBytes: 200}
		h, r := makeRing(t, o)
		other := h.another(t, o)
		p, q := producer(t, r), producer(t, other)
		var c *Consumer
		var rd *Reader
		if o.Delivery == Overwrite {
			rd = must[*Reader](t)(other.NewReader())
		} else {
			c = consumer(t, other)
		}
		control := words(h.Bytes(), fleet.Data, r.shape.data/8)
		inside := func(b []byte) {
			if at, from := mem.AddrOf(b), mem.AddrOf(h.Bytes()); len(b) > 0 && (at < from || at+uintptr(len(b)) > from+uintptr(len(h.Bytes()))) {
				t.Fatalf("%d bytes that are not of the ring", len(b))
			}
		}
		var reserved []Reservation
		var taken []Record
		buf := make([]byte, 800)
		for in = in[1:]; len(in) > 0; {
			op := in[0]
			in = in[1:]
			var err error
			switch {
			case op >= 128 && len(in) >= 10:
				at := int(binary.LittleEndian.Uint16(in)) % len(control)
				control[at].Store(binary.LittleEndian.Uint64(in[2:]))
				in = in[10:]
			case op >= 64 && len(in) >= 2: // what was there, with one bit turned
				at := int(binary.LittleEndian.Uint16(in)) % len(control)
				control[at].Store(control[at].Load() ^ 1<<(op-64))
				in = in[2:]
			case op%12 == 0:
				var v Reservation
				if v, err = p.TryReserve(int(op) * 3); err == nil {
					inside(v.Bytes())
					reserved = append(reserved, v)
				}
			case op%12 == 1 && len(reserved) > 0:
				err = reserved[0].Commit(len(reserved[0].Bytes()) / 2)
				reserved = reserved[1:]
			case op%12 == 2 && len(reserved) > 0:
				err = reserved[0].Abort()
				reserved = reserved[1:]
			case op%12 == 3:
				err = q.TrySend(buf[:int(op)*3])
			case op%12 == 4 && c != nil:
				var v Record
				if v, err = c.TryNext(); err == nil {
					inside(v.Bytes())
					taken = append(taken, v)
				}
			case op%12 == 5 && len(taken) > 0:
				err = taken[0].Release()
				taken = taken[1:]
			case op%12 == 6 && len(taken) > 0:
				err = taken[len(taken)-1].Return()
				taken = taken[:len(taken)-1]
			case op%12 == 7 && rd != nil:
				_, err = rd.TryRecv(buf)
			case op%12 == 8:
				err = r.repair(true)
			case op%12 == 9:
				_, err = Open(other.space, fleet.Data, Options{Delivery: o.Delivery})
			case op%12 == 10:
				var again *Producer
				if again, err = other.NewProducer(); err == nil {
					err = again.Close()
				}
			case op%12 == 11:
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				err = p.End(ctx)
			}
			listed(t, err)
		}
	})
}

// FuzzStream has a peer that stores what it likes into the control words.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 1})
	f.Add([]byte{0, 1, 255, 16, 1, 2, 3, 4, 5, 6, 7, 8, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		h, w, r := newStreamPair(t, 64)
		control := words(h.Bytes(), fleet.Data, streamHeader/8)
		for len(in) > 0 {
			op := in[0]
			in = in[1:]
			var b []byte
			var err error
			switch {
			case op >= 128 && len(in) >= 9:
				control[int(in[0])%len(control)].Store(binary.LittleEndian.Uint64(in[1:]))
				in = in[9:]
			case op%5 == 0:
				b, err = w.TryReserve(1 + int(op))
			case op%5 == 1:
				err = w.Commit(w.held)
			case op%5 == 2:
				b, err = r.TryNext(1 + int(op))
			case op%5 == 3:
				err = r.Release(r.held)
			case op%5 == 4:
				if _, err = OpenStream(r.space, fleet.Data); err == nil {
					_, err = w.Notify()
				}
			}
			listed(t, err)
			if len(b) > 64 || cap(b) > 64 {
				t.Fatalf("%d bytes of a stream of 64", len(b))
			}
		}
	})
}

// listed wants an error that the package tells of.
func listed(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, e := range []error{ErrFull, ErrEmpty, ErrTooLong, ErrShort, ErrTaken, ErrCorrupt, io.EOF, io.ErrClosedPipe,
		fs.ErrClosed, fs.ErrInvalid, context.Canceled, errors.ErrUnsupported} {
		if errors.Is(err, e) {
			return
		}
	}
	t.Fatalf("an error that is not listed: %v", err)
}

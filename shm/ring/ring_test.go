package ring

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/testenv"
)

// makeRing is a ring on a new heap, as its first participant sees it.
func makeRing(t testing.TB, o Options) (*harbour, *Ring) {
	t.Helper()
	size, err := o.Size()
	if err != nil {
		t.Fatal(err)
	}
	h := newHarbour(t, size)
	r, err := Create(h.join(), fleet.Data, o)
	if err != nil {
		t.Fatal(err)
	}
	return h, r
}

// another is the same ring as a new participant sees it.
func (h *harbour) another(t testing.TB, o Options) *Ring {
	t.Helper()
	r, err := Open(h.join(), fleet.Data, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func producer(t testing.TB, r *Ring) *Producer { return must[*Producer](t)(r.NewProducer()) }
func consumer(t testing.TB, r *Ring) *Consumer { return must[*Consumer](t)(r.NewConsumer()) }

// next wants the next record to be this one, and takes it.
func next(t testing.TB, c *Consumer, want string, again bool) Record {
	t.Helper()
	v, err := c.TryNext()
	if err != nil || string(v.Bytes()) != want || v.Redelivered() != again {
		t.Fatalf("next is %q (again: %v), %v, want %q (again: %v)", v.bytes, v.rec.seen(), err, want, again)
	}
	return v
}

func TestRecordWords(t *testing.T) {
	w := newRecord(1<<lapBits+5, claimed, loan, 255, 1<<lengthBits-1)
	if w.lap() != 5 || w.state() != claimed || w.kind() != loan || w.seat() != 255 || w.length() != 1<<lengthBits-1 || w.seen() {
		t.Errorf("%#x", uint64(w))
	}
	w = w.becomes(taken, 3).again()
	if w.lap() != 5 || w.state() != committed || w.kind() != loan || w.seat() != 0 || w.length() != 1<<lengthBits-1 || !w.seen() {
		t.Errorf("%#x", uint64(w))
	}
	if w = w.shortened(7); w.length() != 7 || !w.seen() || w.lap() != 5 {
		t.Errorf("%#x", uint64(w))
	}
	if record(0).state() != done {
		t.Error("zeros are no free slot")
	}
}

func TestShapes(t *testing.T) {
	for _, o := range []Options{
		{Slots: 3}, {Slots: 2}, {Slots: 1 << 29}, {SlotBytes: 12}, {SlotBytes: -8}, {Slots: 1 << 20, SlotBytes: 4096},
		{Seats: 256}, {Seats: -1}, {Blocks: 1}, {BlockBytes: 1}, {Blocks: 1, BlockBytes: 1 << lengthBits}, {Delivery: 3},
		{Blocks: mostSlots, BlockBytes: 1<<lengthBits - 1},
	} {
		if _, err := o.Size(); !errors.Is(err, fs.ErrInvalid) && o.Blocks != mostSlots {
			t.Errorf("%+v: %v", o, err)
		}
	}
	h, r := makeRing(t, Options{Slots: 4, SlotBytes: 16, Blocks: 2, BlockBytes: 100})
	if got := r.Options(); got != (Options{Slots: 4, SlotBytes: 16, Seats: 32, Blocks: 2, BlockBytes: 100}) || r.Longest() != 100 {
		t.Errorf("%+v", got)
	}
	s := h.join()
	for _, o := range []Options{{Delivery: ToAll}, {Slots: 8}, {Type: 1}} {
		if _, err := Open(s, fleet.Data, o); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("opened as %+v: %v", o, err)
		}
	}
	if _, err := Open(s, fleet.Data+1, Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("at an odd offset: %v", err)
	}
	if _, err := Open(s, fleet.Data+lineBytes, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("where no ring stands: %v", err)
	}
}

// TestRecordsOfEverySize sends records of every size that the ring takes, many
// laps long, through slots and blocks.
func TestRecordsOfEverySize(t *testing.T) {
	for _, d := range []Delivery{ToOne, ToAll, Overwrite} {
		o := Options{Delivery: d, Slots: 16, SlotBytes: 24, Blocks: 3, BlockBytes: 1000}
		_, r := makeRing(t, o)
		p := producer(t, r)
		recv := receiver(t, r)
		for n := range 600 {
			sent := bytes.Repeat([]byte{byte(n)}, n)
			ok(t, p.TrySend(sent))
			if got, err := recv(); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("delivery %d: sent %d bytes, got %d, %v", d, n, len(got), err)
			}
		}
		if err := p.TrySend(make([]byte, 1001)); !errors.Is(err, ErrTooLong) {
			t.Errorf("more than a block: %v", err)
		}
		ok(t, p.End(t.Context()))
		if _, err := recv(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if err := p.TrySend(nil); err != io.ErrClosedPipe {
			t.Errorf("behind the end: %v", err)
		}
	}
}

// receiver is how a ring's records are had, whatever its delivery.
func receiver(t testing.TB, r *Ring) func() ([]byte, error) {
	b := make([]byte, r.Longest())
	if r.Delivery == Overwrite {
		rd := must[*Reader](t)(r.NewReader())
		return func() ([]byte, error) { n, err := rd.TryRecv(b); return b[:n], err }
	}
	c := consumer(t, r)
	return func() ([]byte, error) {
		v, err := c.TryNext()
		if err != nil {
			return nil, err
		}
		n := copy(b, v.Bytes())
		return b[:n], v.Release()
	}
}

func TestReserveCommitAbort(t *testing.T) {
	_, r := makeRing(t, Options{Slots: 8, SlotBytes: 8})
	p, c := producer(t, r), consumer(t, r)
	a := must[Reservation](t)(p.TryReserve(20)) // 3 slots
	b := must[Reservation](t)(p.TryReserve(8))
	copy(a.Bytes(), "short")
	copy(b.Bytes(), "second..")
	ok(t, b.Commit(8))
	if _, err := c.TryNext(); err != ErrEmpty {
		t.Errorf("a record that is being filled was passed: %v", err)
	}
	ok(t, a.Commit(5))
	if err := a.Commit(5); err != fs.ErrClosed {
		t.Errorf("committed twice: %v", err)
	}
	one := next(t, c, "short", false)
	two := next(t, c, "second..", false)
	ok(t, two.Release())
	ok(t, one.Release())
	if err := one.Release(); err != fs.ErrClosed {
		t.Errorf("released twice: %v", err)
	}

	v := must[Reservation](t)(p.TryReserve(32)) // half the ring, and what is left before its end is less
	if err := v.Commit(33); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("committed more than reserved: %v", err)
	}
	ok(t, v.Abort())
	if _, err := c.TryNext(); err != ErrEmpty {
		t.Errorf("a record that was given up: %v", err)
	}
	for range 20 {
		v := must[Reservation](t)(p.TryReserve(32))
		ok(t, v.Abort())
	}
	if _, err := p.TryReserve(33); !errors.Is(err, ErrTooLong) {
		t.Errorf("more than half the ring: %v", err)
	}
	if _, err := p.TryReserve(-1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("less than nothing: %v", err)
	}
	_ = must[Reservation](t)(p.TryReserve(8))
	ok(t, p.Close())
	if _, err := p.TryReserve(8); err != fs.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	p = producer(t, r)
	ok(t, p.TrySend([]byte("next")))
	v2 := next(t, c, "next", false) // what the closed producer had reserved is given up
	ok(t, v2.Release())
}

func TestFullAndEmpty(t *testing.T) {
	_, r := makeRing(t, Options{Slots: 4, SlotBytes: 8})
	p, c := producer(t, r), consumer(t, r)
	for lap := range 5 {
		for i := range 4 {
			if err := p.TrySend([]byte{byte(lap), byte(i)}); err != nil {
				t.Fatalf("lap %d, record %d: %v", lap, i, err)
			}
		}
		if err := p.TrySend(nil); err != ErrFull {
			t.Fatalf("a fifth record of 4: %v", err)
		}
		for i := range 4 {
			v := next(t, c, string([]byte{byte(lap), byte(i)}), false)
			ok(t, v.Release())
		}
		if _, err := c.TryNext(); err != ErrEmpty {
			t.Fatal(err)
		}
	}
}

func TestSeats(t *testing.T) {
	h, r := makeRing(t, Options{Slots: 4, Seats: 2})
	p := producer(t, r)
	consumer(t, r)
	if _, err := r.NewConsumer(); !errors.Is(err, ErrTaken) {
		t.Errorf("a third of two seats: %v", err)
	}
	ok(t, p.Close())
	if err := p.Close(); err != fs.ErrClosed {
		t.Errorf("closed twice: %v", err)
	}
	producer(t, r)
	h.kill(r.space)
	other := h.another(t, Options{})
	producer(t, other)
	consumer(t, other)
}

// TestDeadConsumer: what it has not released comes again, marked; what it has
// released does not.
func TestDeadConsumer(t *testing.T) {
	h, r := makeRing(t, Options{Slots: 8, SlotBytes: 8})
	p, c := producer(t, r), consumer(t, r)
	dies := h.another(t, Options{})
	d := consumer(t, dies)
	for _, s := range []string{"a", "b", "c", "d", "e"} {
		ok(t, p.TrySend([]byte(s)))
	}
	a := next(t, d, "a", false)
	next(t, d, "b", false)
	cc := next(t, c, "c", false)
	next(t, d, "d", false)
	ok(t, a.Release())
	h.kill(dies.space)
	ok(t, r.repair(true))
	for _, want := range []struct {
		s     string
		again bool
	}{{"b", true}, {"d", true}, {"e", false}} {
		v := next(t, c, want.s, want.again)
		ok(t, v.Release())
	}
	ok(t, cc.Release())
	if _, err := c.TryNext(); err != ErrEmpty {
		t.Errorf("after the last: %v", err)
	}
	if h := r.head.Load(); h != 5 {
		t.Errorf("%d slots are free again, not 5", h)
	}
}

func TestReturn(t *testing.T) {
	for _, d := range []Delivery{ToOne, ToAll} {
		_, r := makeRing(t, Options{Delivery: d, Slots: 8})
		p, c := producer(t, r), consumer(t, r)
		ok(t, p.TrySend([]byte("abc")))
		v := next(t, c, "abc", false)
		ok(t, v.Return())
		if n, err := c.Recv(t.Context(), make([]byte, 2)); n != 3 || err != ErrShort {
			t.Errorf("a buffer that is too short: %d, %v", n, err)
		}
		v = next(t, c, "abc", d == ToOne)
		ok(t, v.Release())
	}
}

// TestDeadProducer: what it had claimed is skipped, what it had committed is not.
func TestDeadProducer(t *testing.T) {
	for _, d := range []Delivery{ToOne, ToAll, Overwrite} {
		h, r := makeRing(t, Options{Delivery: d, Slots: 8, SlotBytes: 8, Blocks: 1, BlockBytes: 100})
		recv := receiver(t, r)
		p := producer(t, r)
		dies := h.another(t, Options{Delivery: d})
		q := producer(t, dies)
		ok(t, q.TrySend([]byte("1")))
		if _, _, err := q.reserve(20); err != nil {
			t.Fatal(err)
		}
		if _, _, err := q.reserve(90); err != nil {
			t.Fatal(err)
		}
		ok(t, p.TrySend([]byte("2")))
		if got, err := recv(); string(got) != "1" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := recv(); err != ErrEmpty {
			t.Errorf("what is being filled was passed: %v", err)
		}
		h.kill(dies.space)
		ok(t, r.repair(true))
		if got, err := recv(); string(got) != "2" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		ok(t, p.TrySend(make([]byte, 90))) // in the only block
	}
}

// TestToAll: everybody gets everything from when they joined, and the slowest keeps
// producers waiting until it has left.
func TestToAll(t *testing.T) {
	h, r := makeRing(t, Options{Delivery: ToAll, Slots: 4, SlotBytes: 8})
	p := producer(t, r)
	for i := range 9 {
		ok(t, p.TrySend([]byte{byte(i)})) // nobody wants them
	}
	c := consumer(t, r)
	dies := h.another(t, Options{Delivery: ToAll})
	slow := consumer(t, dies)
	if _, err := c.TryNext(); err != ErrEmpty {
		t.Errorf("a record of before: %v", err)
	}
	for _, s := range []string{"a", "b", "c", "d"} {
		ok(t, p.TrySend([]byte(s)))
	}
	a, b := next(t, c, "a", false), next(t, c, "b", false)
	if err := b.Release(); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("out of order: %v", err)
	}
	ok(t, a.Release())
	ok(t, b.Release())
	if err := p.TrySend(nil); err != ErrFull {
		t.Errorf("the slow one has read nothing: %v", err)
	}
	v := next(t, slow, "a", false)
	ok(t, v.Release())
	ok(t, p.TrySend([]byte("e")))
	if err := p.TrySend(nil); err != ErrFull {
		t.Errorf("the slow one has read one: %v", err)
	}
	h.kill(dies.space)
	ok(t, r.repair(true))
	ok(t, p.TrySend([]byte("f")))
	for _, s := range []string{"c", "d", "e", "f"} {
		v := next(t, c, s, false)
		ok(t, v.Release())
	}
}

// TestToAllSeatBegins: one who has sat down, and not said yet from where it reads,
// keeps nobody waiting where the one before it stopped.
func TestToAllSeatBegins(t *testing.T) {
	_, r := makeRing(t, Options{Delivery: ToAll, Slots: 4, SlotBytes: 8})
	p := producer(t, r)
	ok(t, consumer(t, r).Close())
	for range 9 {
		ok(t, p.TrySend(nil))
	}
	_, err := r.sit()
	ok(t, err)
	for range 9 {
		ok(t, p.TrySend(nil))
	}
}

// TestToAllPassesOver: what a consumer passes over without a record to release
// must not fill the ring.
func TestToAllPassesOver(t *testing.T) {
	_, r := makeRing(t, Options{Delivery: ToAll, Slots: 4, SlotBytes: 8})
	p, c := producer(t, r), consumer(t, r)
	for range 10 {
		v := must[Reservation](t)(p.TryReserve(16))
		ok(t, v.Abort())
		if _, err := c.TryNext(); err != ErrEmpty {
			t.Fatal(err)
		}
	}
	ok(t, p.TrySend([]byte("a")))
	a := next(t, c, "a", false)
	v := must[Reservation](t)(p.TryReserve(8))
	ok(t, v.Abort())
	if _, err := c.TryNext(); err != ErrEmpty {
		t.Fatal(err)
	}
	ok(t, a.Release())
	for range 4 {
		ok(t, p.TrySend([]byte("b")))
	}
}

// TestOverwrite counts what readers of different speed miss.
func TestOverwrite(t *testing.T) {
	_, r := makeRing(t, Options{Delivery: Overwrite, Slots: 16, SlotBytes: 8})
	p := producer(t, r)
	random := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	type reading struct {
		*Reader
		got uint64
	}
	var readers []*reading
	b := make([]byte, 64)
	for i := range uint64(5000) {
		rec := binary.NativeEndian.AppendUint64(b[:0], i)
		ok(t, p.TrySend(append(rec, make([]byte, random.IntN(48))...)))
		if i%1000 == 0 {
			readers = append(readers, &reading{must[*Reader](t)(r.NewReader()), 0})
		}
		for _, rd := range readers {
			for random.IntN(20) == 0 {
				before := rd.Lost()
				n, err := rd.TryRecv(b)
				if err == ErrEmpty {
					break
				}
				if err != nil || n < 8 {
					t.Fatal(n, err)
				}
				if is, want := binary.NativeEndian.Uint64(b), rd.got+rd.Lost()-before; rd.got > 0 && is != want {
					t.Fatalf("record %d, and by the losses counted %d", is, want)
				}
				rd.got = binary.NativeEndian.Uint64(b) + 1
			}
		}
	}
	if _, err := r.NewConsumer(); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a consumer: %v", err)
	}
	if _, err := p.TryReserve(1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a reservation: %v", err)
	}
	if n, err := readers[0].TryRecv(nil); err == nil || err == ErrShort && n < 8 {
		t.Errorf("a buffer that is too short: %d, %v", n, err)
	}
}

// TestManyToMany: each record comes once, and those of one producer in their order,
// with a collection every 10 ms beside.
func TestManyToMany(t *testing.T) {
	needsFutex(t)
	collect := time.NewTicker(10 * time.Millisecond)
	var over sync.WaitGroup
	stop := make(chan struct{})
	over.Go(func() {
		for {
			select {
			case <-collect.C:
				runtime.GC()
			case <-stop:
				return
			}
		}
	})
	defer over.Wait()
	defer close(stop)
	defer collect.Stop()
	const producers, consumers, each = 3, 3, 4000
	h, r := makeRing(t, Options{Slots: 32, SlotBytes: 8})
	var sending, receiving sync.WaitGroup
	for i := range producers {
		p := producer(t, h.another(t, Options{}))
		sending.Go(func() {
			for n := range each {
				b := make([]byte, 4+n%40)
				binary.NativeEndian.PutUint32(b, uint32(i*each+n))
				if err := p.Send(t.Context(), b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	got := make([][]int, consumers)
	for i := range consumers {
		c := consumer(t, h.another(t, Options{}))
		receiving.Go(func() {
			for v, err := range c.All(t.Context()) {
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = append(got[i], int(binary.NativeEndian.Uint32(v.Bytes())))
			}
		})
	}
	sending.Wait()
	ok(t, producer(t, r).End(t.Context()))
	receiving.Wait()
	var all []int
	for _, list := range got {
		last := map[int]int{}
		for _, n := range list {
			if before, seen := last[n/each]; seen && before >= n {
				t.Errorf("record %d came after %d", n, before)
			}
			last[n/each] = n
		}
		all = append(all, list...)
	}
	slices.Sort(all)
	for i, n := range all {
		if i != n || len(all) != producers*each {
			t.Fatalf("%d records of %d, the one at %d is %d", len(all), producers*each, i, n)
		}
	}
}

func TestTyped(t *testing.T) {
	type quote struct {
		Price float64
		Size  uint32
		Side  byte
	}
	type other struct {
		Price float64
		Count uint32
		Side  byte
	}
	o := must[Options](t)(OptionsFor[quote](Options{Slots: 8}))
	if o.SlotBytes != 16 {
		t.Errorf("a slot of %d bytes", o.SlotBytes)
	}
	_, r := makeRing(t, o)
	p, c := producer(t, r), consumer(t, r)
	if _, err := SenderOf[other](p); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("another type: %v", err)
	}
	if _, err := OptionsFor[*quote](Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a pointer: %v", err)
	}
	if _, err := OptionsFor[struct{}](Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
	s, rc := must[Sender[quote]](t)(SenderOf[quote](p)), must[Receiver[quote]](t)(ReceiverOf[quote](c))
	sent := []quote{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
	if n, err := s.SendBatch(t.Context(), sent); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	got := make([]quote, 5)
	if n, err := rc.RecvBatch(t.Context(), got); n != 3 || err != nil || !slices.Equal(got[:n], sent) {
		t.Errorf("%v, %v", got[:n], err)
	}
	ok(t, s.Send(t.Context(), quote{Size: 1}))
	ok(t, s.TrySend(quote{Size: 2}))
	ok(t, p.End(t.Context()))
	var sizes []uint32
	for q, err := range rc.All(t.Context()) {
		ok(t, err)
		sizes = append(sizes, q.Size)
	}
	if !slices.Equal(sizes, []uint32{1, 2}) {
		t.Error(sizes)
	}
}

func TestBatches(t *testing.T) {
	needsFutex(t)
	_, r := makeRing(t, Options{Slots: 4, SlotBytes: 8})
	p, c := producer(t, r), consumer(t, r)
	var batch [][]byte
	for i := range 100 {
		batch = append(batch, []byte(fmt.Sprint(i)))
	}
	sent := make(chan error, 1)
	go func() {
		n, err := p.SendBatch(t.Context(), batch...)
		if n != len(batch) && err == nil {
			err = fmt.Errorf("%d of %d sent", n, len(batch))
		}
		sent <- err
	}()
	var got []string
	into := make([]Record, 3)
	for len(got) < len(batch) {
		n, err := c.NextBatch(t.Context(), into)
		ok(t, err)
		for i := range into[:n] {
			got = append(got, string(into[i].Bytes()))
			ok(t, into[i].Release())
		}
	}
	ok(t, <-sent)
	if want := string(bytes.Join(batch, []byte(" "))); strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
}

// TestWaitingEndsByDeath: a consumer waits for a record that is being filled, and
// its producer dies; a producer waits for room that a consumer holds, and that dies.
func TestWaitingEndsByDeath(t *testing.T) {
	needsFutex(t)
	o := Options{Slots: 4, SlotBytes: 8}
	h, r := makeRing(t, o)
	p, c := producer(t, r), consumer(t, r)
	dies := h.another(t, o)
	_ = must[Reservation](t)(producer(t, dies).TryReserve(8))
	ok(t, p.TrySend([]byte("a")))
	h.kill(dies.space)
	v := must[Record](t)(c.Next(t.Context()))
	if string(v.Bytes()) != "a" {
		t.Errorf("%q", v.Bytes())
	}
	ok(t, v.Release())

	dies = h.another(t, o)
	d := consumer(t, dies)
	for range 4 {
		ok(t, p.TrySend([]byte("b")))
		must[Record](t)(d.TryNext())
	}
	h.kill(dies.space)
	sent := make(chan error, 1)
	go func() { sent <- p.Send(t.Context(), []byte("c")) }()
	for range 4 {
		v := must[Record](t)(c.Next(t.Context()))
		if string(v.Bytes()) != "b" || !v.Redelivered() {
			t.Errorf("%q, again: %v", v.Bytes(), v.Redelivered())
		}
		ok(t, v.Release())
	}
	ok(t, <-sent)
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	needsFutex(t)
	_, r := makeRing(t, Options{Slots: 4})
	c := consumer(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	time.AfterFunc(20*time.Millisecond, r.space.Close)
	if _, err := c.Next(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the Space was closed: %v", err)
	}
}

// TestHostileWords: a word that no call has stored is an error, and bytes of
// elsewhere are never handed out.
func TestHostileWords(t *testing.T) {
	for _, d := range []Delivery{ToOne, ToAll, Overwrite} {
		for name, bad := range map[string]func(r *Ring) record{
			"longer than what is left": func(r *Ring) record { return newRecord(r.lap(0), committed, plain, 0, 9*16) },
			"a loan of no block":       func(r *Ring) record { return newRecord(r.lap(0), committed, loan, 0, 10) },
			"padding with bytes":       func(r *Ring) record { return newRecord(r.lap(0), committed, pad, 0, 10) },
		} {
			_, r := makeRing(t, Options{Delivery: d, Slots: 8, SlotBytes: 16, Blocks: 1, BlockBytes: 200})
			recv := receiver(t, r)
			ok(t, producer(t, r).TrySend([]byte("good")))
			r.state(0).Store(uint64(bad(r)))
			if _, err := recv(); !errors.Is(err, ErrCorrupt) {
				t.Errorf("delivery %d, %s: %v", d, name, err)
			}
		}
	}
	for _, at := range []int{tailAt, headAt} {
		h, r := makeRing(t, Options{Slots: 8, SlotBytes: 16})
		p := producer(t, r)
		words(h.Bytes(), fleet.Data+at, 1)[0].Store(1 << 60)
		var err error
		for i := 0; err == nil && i < 20; i++ {
			err = p.TrySend(nil)
		}
		if !errors.Is(err, ErrCorrupt) && err != ErrFull {
			t.Errorf("the cursor at %d is wild: %v", at, err)
		}
	}
}

// TestLapsAreRenewed: the inner slots of records get laps of late, before a lap of
// long ago could come round again.
func TestLapsAreRenewed(t *testing.T) {
	_, r := makeRing(t, Options{Slots: 4, SlotBytes: 8})
	start := uint64(renewLaps-2) * 4 // one lap before
	r.tail.Store(start)
	r.next.Store(start)
	r.head.Store(start)
	p, c := producer(t, r), consumer(t, r)
	for range 4 {
		ok(t, p.TrySend(make([]byte, 16)))
		v := must[Record](t)(c.TryNext())
		ok(t, v.Release())
	}
	for _, k := range []uint64{1, 3} {
		if w := record(r.state(k).Load()); w.lap() != renewLaps-1 || w.state() != done {
			t.Errorf("slot %d holds lap %d, state %d", k, w.lap(), w.state())
		}
	}
}

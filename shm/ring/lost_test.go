package ring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// patient bounds what must not hang: a sleep lasts 250 ms, and the machine may be busy.
const patient = 20 * time.Second

// A wreck is a named segment that is about to lose its file, and two who take part.
// Its rings and its stream fill more than a page, and their data lie behind it.
type wreck struct {
	t          testing.TB
	path       string
	seg, other *shm.Segment
}

func newWreck(t testing.TB) *wreck {
	t.Helper()
	if s, err := shm.Anonymous(1, shm.Options{}); errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	} else if err == nil {
		s.Close()
	}
	name := fmt.Sprintf("ringtest-%d-%d", os.Getpid(), rand.Uint64())
	s := must[*shm.Segment](t)(shm.Create(name, 1<<16, shm.Options{Participants: 4}))
	o := must[*shm.Segment](t)(shm.Open(name, shm.Options{}))
	return &wreck{t, filepath.Join(shm.Directory, name), s, o}
}

func (w *wreck) close() {
	w.t.Helper()
	for _, s := range []*shm.Segment{w.seg, w.other} {
		if err := s.Close(); err != nil {
			w.t.Errorf("Close: %v", err)
		}
	}
}

const (
	wreckSlots, wreckSlotBytes = 64, 128 // 8 KiB of data behind less than a page
	typedSlots                 = 256     // of 32 bytes, behind more than a page
)

func (w *wreck) shape(d Delivery) Options {
	o := Options{Delivery: d, Slots: wreckSlots, SlotBytes: wreckSlotBytes, Seats: 4}
	if d == ToOne {
		o.Blocks, o.BlockBytes = 2, 1<<13
	}
	return o
}

// ring makes one, and others finds it as the peer sees it.
func (w *wreck) ring(d Delivery) (ours, others *Ring) {
	off := w.seg.DataStart()
	return must[*Ring](w.t)(Create(w.seg.Space(), off, w.shape(d))), must[*Ring](w.t)(Open(w.other.Space(), off, w.shape(d)))
}

func (w *wreck) producer(d Delivery) *Producer {
	r, _ := w.ring(d)
	return producer(w.t, r)
}

// full is a producer of a ring that has no room left, and what fills it.
func (w *wreck) full() *Producer {
	r, others := w.ring(ToOne)
	p := producer(w.t, others)
	for p.TrySend(make([]byte, wreckSlotBytes)) == nil {
	}
	return producer(w.t, r)
}

// consumer is one of a ring that holds n records.
func (w *wreck) consumer(d Delivery, n int) *Consumer {
	r, others := w.ring(d)
	c, p := consumer(w.t, r), producer(w.t, others)
	for range n {
		ok(w.t, p.TrySend([]byte("record")))
	}
	return c
}

func (w *wreck) record(d Delivery) *Record {
	v := must[Record](w.t)(w.consumer(d, 1).TryNext())
	return &v
}

func (w *wreck) reader(n int) *Reader {
	r, others := w.ring(Overwrite)
	p := producer(w.t, others)
	rd := must[*Reader](w.t)(r.NewReader())
	for range n {
		ok(w.t, p.TrySend([]byte("record")))
	}
	return rd
}

type typed = [4]uint64

func (w *wreck) typed() (Sender[typed], Receiver[typed]) {
	o := must[Options](w.t)(OptionsFor[typed](Options{Slots: typedSlots, Seats: 16}))
	off := w.seg.DataStart()
	r := must[*Ring](w.t)(Create(w.seg.Space(), off, o))
	return must[Sender[typed]](w.t)(SenderOf[typed](producer(w.t, r))), must[Receiver[typed]](w.t)(ReceiverOf[typed](consumer(w.t, r)))
}

// stream is one whose reader is the peer, with n bytes in it; or, mirrored, whose
// writer is.
func (w *wreck) stream(n int) (*StreamWriter, *StreamReader) {
	st := must[*Stream](w.t)(CreateStream(w.seg.Space(), w.seg.DataStart(), 1<<13))
	sw, sr := must[*StreamWriter](w.t)(st.Writer()), must[*StreamReader](w.t)(st.Reader())
	if n > 0 {
		_, err := sw.Write(context.Background(), make([]byte, n))
		ok(w.t, err)
	}
	return sw, sr
}

// An attempt is a call on a ring in a segment, as "Type.Method". begin does what
// must come before, and returns the call.
type attempt struct {
	name  string
	begin func(w *wreck) func(ctx context.Context) error
}

// now is for calls that do not wait.
func now(call func() error) func(context.Context) error {
	return func(context.Context) error { return call() }
}

var attempts = []attempt{
	{"Create", func(w *wreck) func(context.Context) error {
		return now(func() error { _, err := Create(w.seg.Space(), w.seg.DataStart(), w.shape(ToOne)); return err })
	}},
	{"Open", func(w *wreck) func(context.Context) error {
		w.ring(ToAll)
		return now(func() error { _, err := Open(w.seg.Space(), w.seg.DataStart(), w.shape(ToAll)); return err })
	}},
	{"Observe", func(w *wreck) func(context.Context) error {
		w.ring(ToAll)
		return now(func() error { _, err := Observe(w.seg.Space(), w.seg.DataStart()); return err })
	}},
	{"Ring.NewProducer", func(w *wreck) func(context.Context) error {
		r, _ := w.ring(ToOne)
		return now(func() error { _, err := r.NewProducer(); return err })
	}},
	{"Ring.NewConsumer", func(w *wreck) func(context.Context) error {
		r, _ := w.ring(ToAll)
		return now(func() error { _, err := r.NewConsumer(); return err })
	}},
	{"Ring.NewReader", func(w *wreck) func(context.Context) error {
		r, _ := w.ring(Overwrite)
		return now(func() error { _, err := r.NewReader(); return err })
	}},
	{"Ring.Stats", func(w *wreck) func(context.Context) error {
		r, _ := w.ring(Overwrite)
		return now(func() error { _, err := r.Stats(); return err })
	}},
	{"Producer.TryReserve", func(w *wreck) func(context.Context) error {
		p := w.producer(ToOne)
		return now(func() error { _, err := p.TryReserve(40); return err })
	}},
	{"Producer.TryReserve of a block", func(w *wreck) func(context.Context) error {
		p := w.producer(ToOne)
		return now(func() error { _, err := p.TryReserve(1 << 13); return err })
	}},
	{"Producer.Reserve", func(w *wreck) func(context.Context) error {
		p := w.full()
		return func(ctx context.Context) error { _, err := p.Reserve(ctx, 40); return err }
	}},
	{"Reservation.Commit", func(w *wreck) func(context.Context) error {
		v := must[Reservation](w.t)(w.producer(ToOne).TryReserve(300))
		return now(func() error { return v.Commit(40) })
	}},
	{"Reservation.Abort", func(w *wreck) func(context.Context) error {
		v := must[Reservation](w.t)(w.producer(ToOne).TryReserve(40))
		return now(v.Abort)
	}},
	{"Producer.TrySend", func(w *wreck) func(context.Context) error {
		p := w.producer(ToAll)
		return now(func() error { return p.TrySend([]byte("record")) })
	}},
	{"Producer.TrySend over others", func(w *wreck) func(context.Context) error {
		p := w.producer(Overwrite)
		for range wreckSlots {
			ok(w.t, p.TrySend(make([]byte, wreckSlotBytes)))
		}
		return now(func() error { return p.TrySend(make([]byte, wreckSlotBytes)) })
	}},
	{"Producer.Send", func(w *wreck) func(context.Context) error {
		p := w.full()
		return func(ctx context.Context) error { return p.Send(ctx, []byte("record")) }
	}},
	{"Producer.SendBatch", func(w *wreck) func(context.Context) error {
		p := w.full()
		return func(ctx context.Context) error { _, err := p.SendBatch(ctx, []byte("a"), []byte("b")); return err }
	}},
	{"Producer.End", func(w *wreck) func(context.Context) error { return w.full().End }},
	{"Producer.Close", func(w *wreck) func(context.Context) error { return now(w.producer(ToOne).Close) }},
	{"Consumer.TryNext", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToOne, 1)
		return now(func() error { _, err := c.TryNext(); return err })
	}},
	{"Consumer.TryNext of all", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToAll, 1)
		return now(func() error { _, err := c.TryNext(); return err })
	}},
	{"Consumer.Next", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToOne, 0)
		return func(ctx context.Context) error { _, err := c.Next(ctx); return err }
	}},
	{"Consumer.Next behind one that is being filled", func(w *wreck) func(context.Context) error {
		r, others := w.ring(ToOne)
		must[Reservation](w.t)(producer(w.t, others).TryReserve(8))
		c := consumer(w.t, r)
		return func(ctx context.Context) error { _, err := c.Next(ctx); return err }
	}},
	{"Consumer.Next of all", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToAll, 0)
		return func(ctx context.Context) error { _, err := c.Next(ctx); return err }
	}},
	{"Consumer.NextBatch", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToOne, 0)
		return func(ctx context.Context) error { _, err := c.NextBatch(ctx, make([]Record, 3)); return err }
	}},
	{"Consumer.Recv", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToOne, 1)
		return func(ctx context.Context) error { _, err := c.Recv(ctx, make([]byte, 40)); return err }
	}},
	{"Consumer.Recv of a record whose bytes are on a later page", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToOne, wreckSlots)
		for range wreckSlots - 1 {
			must[int](w.t)(c.Recv(w.t.Context(), make([]byte, 40)))
		}
		return func(ctx context.Context) error { _, err := c.Recv(ctx, make([]byte, 40)); return err }
	}},
	{"Consumer.All", func(w *wreck) func(context.Context) error {
		c := w.consumer(ToAll, 0)
		return func(ctx context.Context) error {
			for _, err := range c.All(ctx) {
				return err
			}
			return nil
		}
	}},
	{"Consumer.Close", func(w *wreck) func(context.Context) error { return now(w.consumer(ToOne, 1).Close) }},
	{"Record.Release", func(w *wreck) func(context.Context) error { return now(w.record(ToOne).Release) }},
	{"Record.Release of all", func(w *wreck) func(context.Context) error { return now(w.record(ToAll).Release) }},
	{"Record.Return", func(w *wreck) func(context.Context) error { return now(w.record(ToOne).Return) }},
	{"Reader.TryRecv", func(w *wreck) func(context.Context) error {
		rd := w.reader(1)
		return now(func() error { _, err := rd.TryRecv(make([]byte, 40)); return err })
	}},
	{"Reader.Recv", func(w *wreck) func(context.Context) error {
		rd := w.reader(0)
		return func(ctx context.Context) error { _, err := rd.Recv(ctx, make([]byte, 40)); return err }
	}},
	{"Reader.Recv by one who only reads", func(w *wreck) func(context.Context) error {
		w.ring(Overwrite)
		s := must[*shm.Segment](w.t)(shm.Open(w.seg.Name(), shm.Options{ReadOnly: true}))
		rd := must[*Reader](w.t)(must[*Ring](w.t)(Observe(s.Space(), w.seg.DataStart())).NewReader())
		return func(ctx context.Context) error {
			defer s.Close()
			_, err := rd.Recv(ctx, make([]byte, 40))
			return err
		}
	}},
	{"Sender.Send", func(w *wreck) func(context.Context) error {
		s, _ := w.typed()
		return func(ctx context.Context) error { return s.Send(ctx, typed{}) }
	}},
	{"Sender.TrySend", func(w *wreck) func(context.Context) error {
		s, _ := w.typed()
		return now(func() error { return s.TrySend(typed{}) })
	}},
	{"Sender.SendBatch", func(w *wreck) func(context.Context) error {
		s, _ := w.typed()
		return func(ctx context.Context) error { _, err := s.SendBatch(ctx, make([]typed, typedSlots+1)); return err }
	}},
	{"Receiver.Recv", func(w *wreck) func(context.Context) error {
		_, r := w.typed()
		return func(ctx context.Context) error { _, err := r.Recv(ctx); return err }
	}},
	{"Receiver.TryRecv", func(w *wreck) func(context.Context) error {
		s, r := w.typed()
		ok(w.t, s.TrySend(typed{}))
		return now(func() error { _, err := r.TryRecv(); return err })
	}},
	{"Receiver.RecvBatch", func(w *wreck) func(context.Context) error {
		_, r := w.typed()
		return func(ctx context.Context) error { _, err := r.RecvBatch(ctx, make([]typed, 3)); return err }
	}},
	{"Receiver.All", func(w *wreck) func(context.Context) error {
		_, r := w.typed()
		return func(ctx context.Context) error {
			for _, err := range r.All(ctx) {
				return err
			}
			return nil
		}
	}},
	{"CreateStream", func(w *wreck) func(context.Context) error {
		return now(func() error { _, err := CreateStream(w.seg.Space(), w.seg.DataStart(), 1<<13); return err })
	}},
	{"OpenStream", func(w *wreck) func(context.Context) error {
		w.stream(0)
		return now(func() error { _, err := OpenStream(w.seg.Space(), w.seg.DataStart()); return err })
	}},
	{"Stream.Writer", func(w *wreck) func(context.Context) error {
		st := must[*Stream](w.t)(CreateStream(w.seg.Space(), w.seg.DataStart(), 1<<13))
		return now(func() error { _, err := st.Writer(); return err })
	}},
	{"Stream.Reader", func(w *wreck) func(context.Context) error {
		st := must[*Stream](w.t)(CreateStream(w.seg.Space(), w.seg.DataStart(), 1<<13))
		return now(func() error { _, err := st.Reader(); return err })
	}},
	{"StreamWriter.TryReserve", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(1 << 13)
		return now(func() error { _, err := sw.TryReserve(9); return err })
	}},
	{"StreamWriter.Commit", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		must[[]byte](w.t)(sw.TryReserve(9))
		return now(func() error { return sw.Commit(9) })
	}},
	{"StreamWriter.ReaderClosed", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		return now(func() error { _, err := sw.ReaderClosed(); return err })
	}},
	{"StreamWriter.Wait", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(1 << 13)
		return func(ctx context.Context) error {
			for { // TryReserve tells
				if err := sw.Wait(ctx); err != nil {
					return err
				}
				if _, err := sw.TryReserve(1); err != nil {
					return err
				}
			}
		}
	}},
	{"StreamWriter.Write", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(1 << 13)
		return func(ctx context.Context) error { _, err := sw.Write(ctx, make([]byte, 9)); return err }
	}},
	{"StreamWriter.Write into what is gone", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		return func(ctx context.Context) error { _, err := sw.Write(ctx, make([]byte, 1<<13)); return err }
	}},
	{"StreamWriter.Close", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		return now(sw.Close)
	}},
	{"StreamWriter.Notify", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		return now(func() error { _, err := sw.Notify(); return err })
	}},
	{"StreamWriter.PeerAlive", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		return now(func() error { _, err := sw.PeerAlive(); return err })
	}},
	{"StreamWriter.Arm", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		return now(func() error {
			sw.Arm(WakeBell)
			_, err := sw.ReaderClosed()
			return err
		})
	}},
	{"StreamWriter.Armed", func(w *wreck) func(context.Context) error {
		sw, _ := w.stream(0)
		sw.Arm(WakeBell)
		return now(func() error {
			if sw.Armed() == WakeNone {
				return shmsync.ErrLost
			}
			return nil
		})
	}},
	{"StreamReader.TryNext", func(w *wreck) func(context.Context) error {
		_, sr := w.stream(9)
		return now(func() error { _, err := sr.TryNext(9); return err })
	}},
	{"StreamReader.Release", func(w *wreck) func(context.Context) error {
		_, sr := w.stream(9)
		must[[]byte](w.t)(sr.TryNext(9))
		return now(func() error { return sr.Release(9) })
	}},
	{"StreamReader.Wait", func(w *wreck) func(context.Context) error {
		_, sr := w.stream(0)
		return func(ctx context.Context) error {
			for { // TryNext tells
				if err := sr.Wait(ctx); err != nil {
					return err
				}
				if _, err := sr.TryNext(1); err != nil {
					return err
				}
			}
		}
	}},
	{"StreamReader.Read", func(w *wreck) func(context.Context) error {
		_, sr := w.stream(0)
		return func(ctx context.Context) error { _, err := sr.Read(ctx, make([]byte, 9)); return err }
	}},
	{"StreamReader.Close", func(w *wreck) func(context.Context) error {
		_, sr := w.stream(0)
		return now(sr.Close)
	}},
}

// TestLostIsComplete: no method was forgotten.
func TestLostIsComplete(t *testing.T) {
	has := map[string]bool{}
	for _, a := range attempts {
		name, _, _ := strings.Cut(a.name, " ")
		has[name] = true
		// What both sides of a stream have in common.
		if rest, of := strings.CutPrefix(name, "StreamWriter."); of {
			has["StreamReader."+rest] = true
		}
	}
	for _, name := range []string{"Ring.Options", "Ring.Size", "Ring.Longest", "Reservation.Bytes", "Record.Bytes", "Record.Redelivered", "Reader.Lost", "Stream.Len"} {
		has[name] = true // it looks at no shared memory
	}
	for _, v := range []any{new(Ring), new(Producer), new(Reservation), new(Consumer), new(Record), new(Reader), new(Sender[typed]), new(Receiver[typed]),
		new(Stream), new(StreamWriter), new(StreamReader)} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumMethod() {
			kind, _, _ := strings.Cut(typ.Elem().Name(), "[")
			if name := kind + "." + typ.Method(i).Name; !has[name] {
				t.Errorf("nothing is known of %s on memory that is lost", name)
			}
		}
	}
}

// TestLost: another process truncates a named segment, or punches a hole into it,
// before each call.
func TestLost(t *testing.T) {
	peer := testenv.NewVandal(t)
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			for _, damage := range []string{"everything", "the ring", "its data", "a hole"} {
				w := newWreck(t)
				call := a.begin(w)
				switch damage {
				case "everything":
					peer.Truncate(w.path, 0)
				case "the ring":
					peer.Truncate(w.path, w.seg.DataStart())
				case "its data":
					peer.Truncate(w.path, w.seg.DataStart()+4096)
				case "a hole":
					peer.Punch(w.path, 0, w.seg.Size())
				}
				ctx, cancel := context.WithTimeout(t.Context(), patient)
				err := call(ctx)
				cancel()
				if (damage == "everything" || damage == "the ring") && !errors.Is(err, shmsync.ErrLost) {
					t.Errorf("without %s: %v, want %v", damage, err, shmsync.ErrLost)
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("without %s it hung", damage)
				}
				if damage == "a hole" {
					t.Logf("%s: %v", damage, err)
				}
				w.close()
			}
		})
	}
}

// TestLostWhileWaiting: the file is damaged when all who can wait do.
func TestLostWhileWaiting(t *testing.T) {
	peer := testenv.NewVandal(t)
	var waits []attempt
	for _, a := range attempts {
		for _, name := range []string{"Producer.Reserve", "Producer.Send", "Producer.SendBatch", "Producer.End", "Consumer.Next", "Consumer.Next behind one that is being filled",
			"Consumer.Next of all", "Consumer.NextBatch", "Consumer.All", "Reader.Recv", "Reader.Recv by one who only reads", "Receiver.Recv", "Receiver.RecvBatch",
			"Receiver.All", "StreamWriter.Wait", "StreamWriter.Write", "StreamReader.Wait", "StreamReader.Read"} {
			if a.name == name {
				waits = append(waits, a)
			}
		}
	}
	if len(waits) != 18 {
		t.Fatalf("%d calls wait, not 18", len(waits))
	}
	for _, damage := range []string{"everything", "its data", "a hole"} {
		type end struct {
			who string
			err error
		}
		ends := make(chan end)
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		var wrecks []*wreck
		for _, a := range waits {
			w := newWreck(t)
			wrecks = append(wrecks, w)
			call := a.begin(w)
			go func() { ends <- end{a.name, call(ctx)} }()
		}
		// One who only reads sleeps on a clock.
		for began := time.Now(); sleepers(t) < len(waits)-1; time.Sleep(time.Millisecond) {
			if time.Since(began) > patient {
				t.Fatalf("after %v %d of %d calls sleep", patient, sleepers(t), len(waits)-1)
			}
		}
		for _, w := range wrecks {
			switch damage {
			case "everything":
				peer.Truncate(w.path, 0)
			case "its data":
				peer.Truncate(w.path, w.seg.DataStart()+4096)
			case "a hole":
				peer.Punch(w.path, 0, w.seg.Size())
			}
		}
		began := time.Now()
		for range waits {
			e := <-ends
			switch {
			case damage != "a hole" && !errors.Is(e.err, shmsync.ErrLost):
				t.Errorf("%s, without %s: %v", e.who, damage, e.err)
			case damage == "a hole" && !errors.Is(e.err, ErrCorrupt) && !errors.Is(e.err, shmsync.ErrDamaged):
				t.Errorf("%s, over a hole: %v", e.who, e.err)
			}
		}
		t.Logf("without %s all ended after %v", damage, time.Since(began))
		cancel()
		for _, w := range wrecks {
			w.close()
		}
	}
}

// sleepers counts the threads of this process that wait in futex_waitv(2), which is
// number 449 on all of our platforms (proc_pid_syscall(5)).
func sleepers(t *testing.T) (n int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/syscall")
	if err != nil || len(names) == 0 {
		t.Fatalf("no threads in /proc: %v", err)
	}
	for _, name := range names {
		if call, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(call), "449 ") {
			n++
		}
	}
	return n
}

// TestLostBatch: a batch that met the end leaves no producer that wakes nobody.
func TestLostBatch(t *testing.T) {
	peer := testenv.NewVandal(t)
	w := newWreck(t)
	p := w.full()
	peer.Truncate(w.path, 0)
	if _, err := p.SendBatch(t.Context(), []byte("a")); !errors.Is(err, shmsync.ErrLost) {
		t.Error(err)
	}
	if p.quiet {
		t.Error("it is quiet for ever")
	}
	w.close()
}

// TestMissing: who is about to sleep finds what somebody has taken away by zeros.
func TestMissing(t *testing.T) {
	zeros := map[string]func(r *Ring, seat int){
		"the records": func(r *Ring, _ int) {
			for i := range r.states {
				r.states[i].Store(0)
			}
		},
		"a seat": func(r *Ring, seat int) { r.seatOwner(seat).Store(0) },
	}
	for name, zero := range zeros {
		h := newHarbour(t, 1<<16)
		r := must[*Ring](t)(Create(h.join(), fleet.Data, Options{Slots: 8, Seats: 3}))
		p := producer(t, r)
		for p.TrySend(nil) == nil {
		}
		zero(r, p.number)
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		if err := p.Send(ctx, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, a producer: %v", name, err)
		}
		c := consumer(t, r)
		for {
			if v, err := c.TryNext(); err != nil {
				break
			} else if err := v.Release(); err != nil {
				t.Fatal(err)
			}
		}
		zero(r, c.number)
		if _, err := c.Next(ctx); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, a consumer: %v", name, err)
		}
		cancel()
	}
}

// TestMissingSide is TestMissing for a stream.
func TestMissingSide(t *testing.T) {
	_, sw, sr := newStreamPair(t, 64)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	sr.us.owner.Store(0)
	if _, err := sr.Read(ctx, make([]byte, 9)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a reader: %v", err)
	}
	sw.us.owner.Store(0)
	if _, err := sw.Write(ctx, make([]byte, 65)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a writer: %v", err)
	}
}

// TestCountsBeginAnew: a reader that finds fewer records than there were does not
// count losses.
func TestCountsBeginAnew(t *testing.T) {
	h := newHarbour(t, 1<<16)
	r := must[*Ring](t)(Create(h.join(), fleet.Data, Options{Delivery: Overwrite, Slots: 8}))
	p, rd := producer(t, r), must[*Reader](t)(r.NewReader())
	send := func(n int) {
		for range n {
			ok(t, p.TrySend(nil))
		}
	}
	send(20)
	if _, err := rd.TryRecv(nil); err != nil || rd.Lost() != 12 {
		t.Fatalf("%d lost, %v", rd.Lost(), err)
	}
	for i := range r.counts {
		r.counts[i].Store(0)
	}
	send(5)
	if _, err := rd.TryRecv(nil); !errors.Is(err, ErrCorrupt) || rd.Lost() != 12 {
		t.Errorf("%d lost, %v", rd.Lost(), err)
	}
}

// TestLostAtAnyMoment truncates the file while records and bytes go through it.
func TestLostAtAnyMoment(t *testing.T) {
	if raceDetector {
		testenv.Skip(t, "the race detector makes its accesses in C code, where a fault ends the process")
	}
	peer := testenv.NewVandal(t)
	rng := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	b := make([]byte, 100)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	pairs := map[string]func(w *wreck) (send, recv func() error){
		"to one": func(w *wreck) (send, recv func() error) {
			r, others := w.ring(ToOne)
			p, c := producer(t, r), consumer(t, others)
			return func() error { return p.Send(ctx, b) }, func() error { _, err := c.Recv(ctx, make([]byte, 100)); return err }
		},
		"to all, in place": func(w *wreck) (send, recv func() error) {
			r, others := w.ring(ToAll)
			p, c := producer(t, r), consumer(t, others)
			return func() error {
					v, err := p.Reserve(ctx, 100)
					if err == nil {
						err = v.Commit(50)
					}
					return err
				}, func() error {
					v, err := c.Next(ctx)
					if err == nil {
						err = v.Release()
					}
					return err
				}
		},
		"over others": func(w *wreck) (send, recv func() error) {
			r, others := w.ring(Overwrite)
			p, rd := producer(t, r), must[*Reader](t)(others.NewReader())
			return func() error { return p.Send(ctx, b) }, func() error { _, err := rd.Recv(ctx, make([]byte, 100)); return err }
		},
		"a stream": func(w *wreck) (send, recv func() error) {
			sw, sr := w.stream(0)
			return func() error { _, err := sw.Write(ctx, b); return err }, func() error { _, err := sr.Read(ctx, make([]byte, 100)); return err }
		},
	}
	for name, pair := range pairs {
		for range 3 {
			w := newWreck(t)
			send, recv := pair(w)
			ends := make(chan error)
			for _, call := range []func() error{send, recv} {
				go func() {
					err := call()
					for err == nil {
						err = call()
					}
					ends <- err
				}()
			}
			time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Millisecond))))
			peer.Truncate(w.path, []int64{0, w.seg.DataStart(), w.seg.DataStart() + 4096}[rng.IntN(3)])
			for range 2 {
				if err := <-ends; !errors.Is(err, shmsync.ErrLost) && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s: %v", name, err)
				}
			}
			w.close()
		}
	}
}

package ring

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
)

// stats wants a ring's figures, as somebody sees them who may only read.
func stats(t *testing.T, h *harbour, when string, want Stats) {
	t.Helper()
	r := must[*Ring](t)(Observe(h.Reader(), fleet.Data))
	if got := must[Stats](t)(r.Stats()); got != want {
		t.Errorf("%s:\n got %+v\nwant %+v", when, got, want)
	}
}

func TestStatsToOne(t *testing.T) {
	h, r := makeRing(t, Options{Slots: 8, SlotBytes: 8, Seats: 3})
	stats(t, h, "at first", Stats{})
	p, c := producer(t, r), consumer(t, r)
	for range 3 {
		ok(t, p.TrySend(make([]byte, 10)))
	}
	v := must[Reservation](t)(p.TryReserve(5))
	stats(t, h, "three sent, one claimed", Stats{Sent: 3, SentBytes: 30, Used: 7, Seated: 2})
	ok(t, v.Abort())
	a := next(t, c, string(make([]byte, 10)), false)
	ok(t, a.Release())
	dies := h.another(t, Options{})
	d := consumer(t, dies)
	must[Record](t)(d.TryNext())
	h.kill(dies.space)
	ok(t, r.repair(true))
	a = next(t, c, string(make([]byte, 10)), true)
	ok(t, a.Return())
	a = next(t, c, string(make([]byte, 10)), true)
	ok(t, a.Release())
	want := Stats{Sent: 3, SentBytes: 30, Received: 2, ReceivedBytes: 20, Redelivered: 2, Repairs: 1, Used: 3, Seated: 2}
	stats(t, h, "one comes again", want)
	ok(t, p.Close())
	ok(t, c.Close())
	want.Seated = 0
	stats(t, h, "nobody is there", want)
	p = producer(t, r)
	ok(t, p.TrySend(nil))
	want.Sent, want.Used, want.Seated = 4, 4, 1
	stats(t, h, "who sits there next goes on", want)
}

func TestStatsToAll(t *testing.T) {
	h, r := makeRing(t, Options{Delivery: ToAll, Slots: 8, SlotBytes: 8, Seats: 4})
	p, c, d := producer(t, r), consumer(t, r), consumer(t, r)
	for range 3 {
		ok(t, p.TrySend(make([]byte, 3)))
	}
	for range 2 {
		v := must[Record](t)(c.TryNext())
		ok(t, v.Release())
	}
	v := must[Record](t)(d.TryNext())
	ok(t, v.Release())
	stats(t, h, "one has had two, one one", Stats{Sent: 3, SentBytes: 9, Received: 3, ReceivedBytes: 9, Used: 2, Seated: 3})
}

func TestStatsOverwrite(t *testing.T) {
	h, r := makeRing(t, Options{Delivery: Overwrite, Slots: 4, SlotBytes: 8, Seats: 1})
	p := producer(t, r)
	for range 7 {
		ok(t, p.TrySend(make([]byte, 4)))
	}
	stats(t, h, "three have made room", Stats{Sent: 7, SentBytes: 28, Overwritten: 3, Used: 4, Seated: 1})
	rd := must[*Reader](t)(r.NewReader())
	must[int](t)(rd.TryRecv(make([]byte, 4)))
	ok(t, p.TrySend(make([]byte, 30)[:16]))
	stats(t, h, "one of two slots, behind one of padding, has made three go", Stats{Sent: 8, SentBytes: 44, Overwritten: 6, Used: 4, Seated: 1})
}

// TestStatsWaits: a sleep for want of room, and one for want of a record.
func TestStatsWaits(t *testing.T) {
	h, r := makeRing(t, Options{Slots: 4, Seats: 2})
	p, c := producer(t, r), consumer(t, r)
	wait := func(f func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	wait(func(ctx context.Context) error { _, err := c.Next(ctx); return err })
	for range 4 {
		ok(t, p.TrySend(nil))
	}
	wait(func(ctx context.Context) error { return p.Send(ctx, nil) })
	look := must[*Ring](t)(Observe(h.Reader(), fleet.Data))
	if s := must[Stats](t)(look.Stats()); s.WaitedFull == 0 || s.WaitedEmpty == 0 || s.Sent != 4 {
		t.Errorf("%+v", s)
	}
}

// TestStatsWhileOthersWork: whoever looks disturbs nobody, and what it sees only
// grows.
func TestStatsWhileOthersWork(t *testing.T) {
	h, r := makeRing(t, Options{Slots: 16, SlotBytes: 8, Seats: 2})
	p, c := producer(t, r), consumer(t, r)
	const records = 20000
	done := make(chan error, 1)
	go func() {
		for range records {
			if err := p.Send(t.Context(), make([]byte, 3)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	look := must[*Ring](t)(Observe(h.Reader(), fleet.Data))
	var last Stats
	for i := range records {
		must[int](t)(c.Recv(t.Context(), make([]byte, 3)))
		if i%16 == 0 {
			s := must[Stats](t)(look.Stats())
			if s.Sent < last.Sent || s.SentBytes < last.SentBytes || s.Received != uint64(i+1) || s.Used > 16 {
				t.Fatalf("%+v comes after %+v, when %d have been received", s, last, i+1)
			}
			last = s
		}
	}
	ok(t, <-done)
	if s := must[Stats](t)(look.Stats()); s.Sent != records || s.Received != records || s.SentBytes != 3*records || s.Used != 0 {
		t.Errorf("at the end: %+v", s)
	}
}

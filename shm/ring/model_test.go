//go:build steps

package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/model"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// explore runs a model without deaths and with one, through orders within a few
// preemptions, and at random with two deaths. MMAP_MODEL makes it longer: one more
// preemption each, and a hundred times as many runs.
func explore(t *testing.T, build func(v *voyage)) { exploreFor(t, 2500, build) }

// exploreFor is explore with so many runs without a death.
func exploreFor(t *testing.T, longer int, build func(v *voyage)) {
	t.Helper()
	more, most := 0, 2500
	if os.Getenv("MMAP_MODEL") != "" {
		more, most = 1, 250000
	}
	make := func(w *model.World) {
		v := &voyage{t: t, w: w, begun: map[byte]bool{}, committed: map[byte]bool{}, fresh: map[byte]int{}, again: map[byte]int{}, released: map[byte]bool{}, holding: map[byte]int{}}
		build(v)
		v.f.Launch(w)
		w.Check(func() error {
			if w.Crashes() == 0 && w.TimedOut() > 0 {
				return errors.New("a wake-up was lost")
			}
			return nil
		})
	}
	n := model.Explore(t, model.Options{Preemptions: 2 + more, Runs: max(longer, most)}, make)
	m := model.Explore(t, model.Options{Preemptions: 1 + more, Crashes: 1, Runs: most}, make)
	k := model.Explore(t, model.Options{Random: true, Crashes: 2, Runs: most, Seed: testenv.Seed(t)}, make)
	t.Logf("%d schedules without a death, %d with one, %d at random", n, m, k)
}

// A voyage is one run of a model, and what its processes have done by their own
// account. A record's bytes all are its id.
type voyage struct {
	t *testing.T
	w *model.World
	f *fleet.Fleet
	r *Ring // as somebody sees it who takes no steps and does not die

	begun     map[byte]bool // Commit was called
	committed map[byte]bool // Commit has returned
	fresh     map[byte]int  // deliveries not marked as again
	again     map[byte]int  // and marked
	released  map[byte]bool // Release has returned
	holding   map[byte]int  // who have taken it and not begun to release it
	died      bool          // somebody was dead from the beginning
}

// ring makes the ring, in which slot 0 is v.r's.
func (v *voyage) ring(o Options) {
	size, err := o.Size()
	ok(v.t, err)
	v.f = fleet.New(v.t, 8, size)
	v.r = must[*Ring](v.t)(Create(v.f.Join(0), fleet.Data, o))
}

// crew adds a process that has the ring open.
func (v *voyage) crew(name string, slot int, seated func(r *Ring) (run func())) {
	var run func()
	v.f.Crew(v.w, name, slot, func(*model.Process, *shmsync.Space) { run() })
	// Crew has joined; the ring is opened for it before it takes its first step.
	run = seated(must[*Ring](v.t)(Open(v.f.Ship(slot), fleet.Data, v.r.Options())))
}

// weary is the context of those who wait where somebody may die. It ends when
// time has passed in vain often enough.
type weary struct {
	context.Context
	w *model.World
}

func (c weary) Done() <-chan struct{} { return nil }
func (c weary) Err() error {
	if c.w.TimedOut() > 12 {
		return context.DeadlineExceeded
	}
	return nil
}

func (v *voyage) ctx() context.Context { return weary{context.Background(), v.w} }

// send sends a record. It reports whether it should go on.
func (v *voyage) send(p *Producer, id byte, n int) bool {
	res, err := p.Reserve(v.ctx(), n)
	if errors.Is(err, context.DeadlineExceeded) && v.w.Crashes() > 0 {
		return false
	}
	if err != nil {
		v.w.Failf("reserve %d: %v", id, err)
		return false
	}
	for i := range res.Bytes() {
		res.Bytes()[i] = id
	}
	v.begun[id] = true
	if err := res.Commit(n); err != nil {
		v.w.Failf("commit %d: %v", id, err)
		return false
	}
	v.committed[id] = true
	return true
}

// took notes that a record has come.
func (v *voyage) took(rec *Record) (id byte) {
	b := rec.Bytes()
	if len(b) == 0 {
		v.w.Failf("a record without bytes")
		return 0
	}
	for _, x := range b {
		if x != b[0] {
			v.w.Failf("a torn record: %v", b)
		}
	}
	switch id = b[0]; {
	case !v.begun[id]:
		v.w.Failf("record %d came before its commit", id)
	case v.released[id]:
		v.w.Failf("record %d came after its release", id)
	case rec.Redelivered():
		if v.w.Crashes() == 0 && !v.died {
			v.w.Failf("record %d is marked, and nobody died", id)
		}
		v.again[id]++
	case v.fresh[id] > 0:
		v.w.Failf("record %d came twice", id)
	default:
		v.fresh[id]++
	}
	return id
}

func (v *voyage) release(rec *Record, id byte) {
	if err := rec.Release(); err != nil {
		v.w.Failf("release %d: %v", id, err)
		return
	}
	v.released[id] = true
}

// receive takes up to n records.
func (v *voyage) receive(c *Consumer, n int) {
	for range n {
		rec, err := c.Next(v.ctx())
		switch {
		case err == io.EOF:
			return
		case errors.Is(err, context.DeadlineExceeded) && v.w.Crashes() > 0:
			for id := range v.committed {
				if v.fresh[id]+v.again[id] == 0 {
					v.w.Failf("a consumer waited in vain, and record %d was there", id)
				}
			}
			return
		case err != nil:
			v.w.Failf("next: %v", err)
			return
		}
		v.release(&rec, v.took(&rec))
	}
}

// settled wants, at the end, every record to have come or to come to a newcomer,
// and then the whole ring to be free.
func (v *voyage) settled() {
	v.w.Check(func() error {
		r := v.r
		c, err := r.NewConsumer()
		if err != nil {
			return err
		}
		for {
			rec, err := c.TryNext()
			if err == ErrEmpty || err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			v.release(&rec, v.took(&rec))
		}
		for id := range v.committed {
			if v.fresh[id]+v.again[id] == 0 {
				return fmt.Errorf("record %d is lost", id)
			}
		}
		p, err := r.NewProducer()
		if err != nil {
			return err
		}
		for i := range 3 * r.Slots {
			if err := p.TrySend(nil); err == io.ErrClosedPipe {
				break
			} else if err != nil {
				return fmt.Errorf("record %d after all: %v; head %d, next %d, tail %d", i, err, r.head.Load(), r.next.Load(), r.tail.Load())
			}
			rec, err := c.TryNext()
			if err != nil {
				return fmt.Errorf("next after all: %v; head %d, next %d, tail %d", err, r.head.Load(), r.next.Load(), r.tail.Load())
			}
			if err := rec.Release(); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestModelClaim: two producers claim, one record each shortened at its commit, and
// one through the ring's end.
func TestModelClaim(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 8, SlotBytes: 8, Seats: 6})
		for i := range 2 {
			v.crew(fmt.Sprint("p", i), 1+i, func(r *Ring) func() {
				p := producer(t, r)
				return func() {
					res, err := p.Reserve(v.ctx(), 16)
					if err != nil {
						v.w.Failf("reserve: %v", err)
						return
					}
					id := byte(10 * (1 + i))
					for j := range 8 {
						res.Bytes()[j] = id
					}
					v.begun[id] = true
					if err := res.Commit(8); err != nil {
						v.w.Failf("commit: %v", err)
					}
					v.committed[id] = true
					v.send(p, id+1, 8)
				}
			})
		}
		v.settled()
	})
}

// TestModelTake: two consumers share three records.
func TestModelTake(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 6})
		p := producer(t, v.r)
		for id := range byte(3) {
			v.send(p, id+1, 8)
		}
		ok(t, p.End(t.Context()))
		for i := range 2 {
			v.crew(fmt.Sprint("c", i), 1+i, func(r *Ring) func() {
				c := consumer(t, r)
				return func() { v.receive(c, 3) }
			})
		}
		v.settled()
	})
}

// TestModelWait: a producer waits for room, and a consumer for records.
func TestModelWait(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 6})
		v.crew("p", 1, func(r *Ring) func() {
			p := producer(t, r)
			return func() {
				for id := range byte(3) {
					if !v.send(p, id+1, 16) {
						return
					}
				}
			}
		})
		v.crew("c", 2, func(r *Ring) func() {
			c := consumer(t, r)
			return func() { v.receive(c, 3) }
		})
		v.settled()
	})
}

// TestModelMany: two producers and two consumers, who come and go, in a ring of
// four slots.
func TestModelMany(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 6})
		for i := range 2 {
			v.crew(fmt.Sprint("p", i), 1+i, func(r *Ring) func() {
				p := producer(t, r)
				return func() {
					v.send(p, byte(10+i), 8)
					if err := p.Close(); err != nil {
						v.w.Failf("close: %v", err)
					}
				}
			})
			v.crew(fmt.Sprint("c", i), 3+i, func(r *Ring) func() {
				return func() {
					c, err := r.NewConsumer()
					if err != nil {
						v.w.Failf("a consumer: %v", err)
						return
					}
					v.receive(c, 1)
				}
			})
		}
		v.settled()
	})
}

// TestModelLaps: while a producer is held up anywhere, others fill the ring and
// empty it more than once.
func TestModelLaps(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 6})
		v.crew("p", 1, func(r *Ring) func() {
			p := producer(t, r)
			return func() { v.send(p, 10, 16) }
		})
		v.crew("q", 2, func(r *Ring) func() {
			p, c := producer(t, r), consumer(t, r)
			return func() {
				for id := range byte(6) {
					if !v.send(p, id+1, 8) {
						return
					}
					v.receive(c, 1)
				}
			}
		})
		v.settled()
	})
}

// TestModelRepair: somebody has died with a record taken, before it could move next
// on, and with one claimed. A consumer that does not know goes on,
// and a newcomer finds out.
func TestModelRepair(t *testing.T) {
	exploreFor(t, 20000, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 4})
		p := producer(t, v.r)
		dies := must[*Ring](t)(Open(v.f.Join(5), fleet.Data, v.r.Options()))
		c, q := consumer(t, dies), producer(t, dies)
		v.send(p, 1, 8)
		must[Record](t)(c.TryNext())
		v.r.next.Store(0)
		must[Reservation](t)(q.TryReserve(8))
		v.send(p, 3, 8)
		ok(t, p.Close())
		v.died = true
		take := func(c *Consumer) {
			for range 2 {
				rec, err := c.TryNext()
				if err != nil {
					break
				}
				v.release(&rec, v.took(&rec))
			}
		}
		v.crew("old", 1, func(r *Ring) func() {
			c := consumer(t, r)
			return func() { take(c) }
		})
		v.crew("new", 2, func(r *Ring) func() {
			return func() {
				c, err := r.NewConsumer()
				if err != nil {
					v.w.Failf("a consumer: %v", err)
					return
				}
				take(c)
			}
		})
		v.f.Kill(5)
		v.settled()
	})
}

// TestModelSeat: two newcomers repair the same seat, and one of them sits down on
// it and takes a record before the other has finished.
func TestModelSeat(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 4})
		dies := must[*Ring](t)(Open(v.f.Join(5), fleet.Data, v.r.Options()))
		c := consumer(t, dies)
		p := producer(t, v.r)
		v.send(p, 1, 8)
		must[Record](t)(c.TryNext())
		ok(t, p.Close())
		v.f.Kill(5)
		v.died = true
		for i := range 2 {
			v.crew(fmt.Sprint("c", i), 1+i, func(r *Ring) func() {
				return func() {
					c, err := r.NewConsumer()
					if err != nil {
						v.w.Failf("a consumer: %v", err)
						return
					}
					if rec, err := c.TryNext(); err == nil {
						v.release(&rec, v.took(&rec))
					}
				}
			})
		}
		v.settled()
	})
}

// TestModelSeatAgain: the dead one had a record that had come to somebody before. Two
// newcomers find it, and one of them stops between reading the record's word and
// changing it, while the other frees the seat, sits down on it and takes the same
// record: its word is then again what the first one has read.
func TestModelSeatAgain(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 4})
		dies := must[*Ring](t)(Open(v.f.Join(5), fleet.Data, v.r.Options()))
		c := consumer(t, dies)
		p := producer(t, v.r)
		v.send(p, 1, 8)
		rec := must[Record](t)(c.TryNext())
		ok(t, rec.Return())
		must[Record](t)(c.TryNext())
		ok(t, p.Close())
		v.f.Kill(5)
		v.died = true
		for i := range 2 {
			v.crew(fmt.Sprint("c", i), 1+i, func(r *Ring) func() {
				return func() {
					c, err := r.NewConsumer()
					if err != nil {
						v.w.Failf("a consumer: %v", err)
						return
					}
					if rec, err := c.TryNext(); err == nil {
						id := v.took(&rec)
						if n := v.holding[id]; n > 0 && v.w.Crashes() == 0 {
							v.w.Failf("record %d is with %d others who live", id, n)
						}
						v.holding[id]++
						word.Place("has a record")
						v.release(&rec, id)
						v.holding[id]--
					}
				}
			})
		}
		v.settled()
	})
}

// TestModelPadding: two producers find that their records do not fit before the
// end. One of them has made the padding and not moved tail on when the other moves
// head over it.
func TestModelPadding(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 6})
		p, c := producer(t, v.r), consumer(t, v.r)
		for id := range byte(3) {
			v.send(p, 1+id, 8)
			rec := must[Record](t)(c.TryNext())
			v.release(&rec, v.took(&rec))
		}
		ok(t, p.Close())
		ok(t, c.Close())
		for i := range 2 {
			v.crew(fmt.Sprint("p", i), 1+i, func(r *Ring) func() {
				p := producer(t, r)
				return func() { v.send(p, byte(10+i), 16) }
			})
		}
		v.settled()
	})
}

// restless changes a word before every compare-and-swap.
type restless struct {
	w    *word.U64
	busy bool
}

func (s *restless) Step(what string) {
	if what == "cas" && !s.busy {
		s.busy = true
		s.w.Add(1)
		s.busy = false
	}
}
func (s *restless) Sleep(time.Duration, []word.Wait) (done, timedOut bool) { return false, false }
func (s *restless) Wake(*word.U32, int) (done bool)                        { return false }

// TestModelGoBackGivesUp: where somebody changes next for ever, who gives a record
// back is told, and comes to an end.
func TestModelGoBackGivesUp(t *testing.T) {
	_, r := makeRing(t, Options{Slots: 4})
	p, c := producer(t, r), consumer(t, r)
	ok(t, p.TrySend([]byte("a")))
	rec := must[Record](t)(c.TryNext())
	word.Install(&restless{w: r.next})
	defer word.Install(nil)
	if err := rec.Return(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("return: %v, want ErrCorrupt", err)
	}
}

// A vandal is a peer that changes any word but the slab between any two steps.
type vandal struct {
	t       *testing.T
	rng     *rand.Rand
	control []word.U64 // and the slots, which say where a loan lies
	each    int        // it changes one of so many
	left    int        // steps until a call has none left
	busy    bool
}

func (x *vandal) Step(string) {
	if x.busy {
		return
	}
	if x.left--; x.left == 0 {
		x.t.Fatal("a call does not come to an end")
	}
	if x.rng.IntN(x.each) > 0 {
		return
	}
	x.busy = true
	defer func() { x.busy = false }()
	w := &x.control[x.rng.IntN(len(x.control))]
	switch x.rng.IntN(4) {
	case 0:
		w.Store(x.rng.Uint64())
	case 1:
		w.Store(w.Load() ^ 1<<x.rng.IntN(64))
	case 2:
		w.Store(w.Load() + x.rng.Uint64N(17) - 8)
	case 3:
		w.Store(x.control[x.rng.IntN(len(x.control))].Load())
	}
}
func (x *vandal) Sleep(time.Duration, []word.Wait) (done, timedOut bool) { return true, false }
func (x *vandal) Wake(*word.U32, int) (done bool)                        { return true }

// TestModelVandal: whatever a peer does to the control words, and whenever, each
// call comes to an end, with bytes of the ring or with an error that is listed.
func TestModelVandal(t *testing.T) {
	seed := testenv.Seed(t)
	runs := 3000
	if os.Getenv("MMAP_MODEL") != "" {
		runs = 300000
	}
	for run := range runs {
		o := Options{Delivery: Delivery(run % 3), Slots: 8, SlotBytes: 16, Seats: 4, Blocks: 2, BlockBytes: 200}
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
		inside := func(b []byte) {
			if at, from := mem.AddrOf(b), mem.AddrOf(h.Bytes()); len(b) > 0 && (at < from || at+uintptr(len(b)) > from+uintptr(len(h.Bytes()))) {
				t.Fatalf("%d bytes that are not of the ring", len(b))
			}
		}
		rng := rand.New(rand.NewPCG(seed, uint64(run)))
		x := &vandal{t: t, rng: rng, control: words(h.Bytes(), fleet.Data, r.shape.slab/8), each: 1 + rng.IntN(40)}
		word.Install(x)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		buf := make([]byte, 300)
		for range 60 {
			x.left = 1 << 22
			var err error
			switch rng.IntN(9) {
			case 0, 1:
				var v Reservation
				if v, err = p.TryReserve(rng.IntN(220)); err == nil {
					inside(v.Bytes())
					err = v.Commit(rng.IntN(len(v.Bytes()) + 1))
				}
			case 2, 3:
				err = q.TrySend(buf[:rng.IntN(220)])
			case 4, 5:
				var v Record
				switch {
				case rd != nil:
					_, err = rd.TryRecv(buf)
				default:
					if v, err = c.TryNext(); err == nil {
						inside(v.Bytes())
						if rng.IntN(3) > 0 {
							err = v.Release()
						} else {
							err = v.Return()
						}
					}
				}
			case 6:
				err = r.repair(true)
			case 7:
				var again *Producer
				if again, err = other.NewProducer(); err == nil {
					err = again.Close()
				}
			case 8:
				if _, err = r.Stats(); err == nil {
					err = p.End(ended)
				}
			}
			listed(t, err)
		}
		word.Install(nil)
	}
}

// TestModelLoan: two producers and one block.
func TestModelLoan(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Slots: 4, SlotBytes: 8, Seats: 6, Blocks: 1, BlockBytes: 40})
		for i := range 2 {
			v.crew(fmt.Sprint("p", i), 1+i, func(r *Ring) func() {
				p := producer(t, r)
				return func() { v.send(p, byte(10+i), 30) }
			})
		}
		v.crew("c", 3, func(r *Ring) func() {
			c := consumer(t, r)
			return func() { v.receive(c, 2) }
		})
		v.settled()
	})
}

// TestModelToAll: a producer that waits for the slower of two consumers, one of
// which joins late, and every consumer that lives gets all from its first on.
func TestModelToAll(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Delivery: ToAll, Slots: 4, SlotBytes: 8, Seats: 6})
		v.crew("p", 1, func(r *Ring) func() {
			p := producer(t, r)
			return func() {
				for id := range byte(3) {
					if !v.send(p, id+1, 16) {
						return
					}
				}
				if err := p.End(v.ctx()); err != nil && v.w.Crashes() == 0 {
					v.w.Failf("end: %v", err)
				}
			}
		})
		listen := func(c *Consumer) {
			var last byte
			for {
				rec, err := c.Next(v.ctx())
				if err == io.EOF && last != 0 && last != 3 {
					v.w.Failf("the last was %d", last)
				}
				if err == io.EOF || errors.Is(err, context.DeadlineExceeded) && v.w.Crashes() > 0 {
					return
				}
				if err != nil {
					v.w.Failf("next: %v", err)
					return
				}
				id := rec.Bytes()[0]
				if len(rec.Bytes()) != 16 || rec.Bytes()[15] != id || last != 0 && id != last+1 || !v.begun[id] {
					v.w.Failf("%v came after %d", rec.Bytes(), last)
				}
				last = id
				if err := rec.Release(); err != nil {
					v.w.Failf("release: %v", err)
				}
			}
		}
		v.crew("early", 2, func(r *Ring) func() {
			c := consumer(t, r)
			return func() { listen(c) }
		})
		v.crew("late", 3, func(r *Ring) func() {
			return func() {
				c, err := r.NewConsumer()
				if err != nil {
					v.w.Failf("a consumer: %v", err)
					return
				}
				listen(c)
			}
		})
	})
}

// TestModelOverwrite: two producers overwrite what a reader reads, and it knows
// how many it has missed.
func TestModelOverwrite(t *testing.T) {
	explore(t, func(v *voyage) {
		v.ring(Options{Delivery: Overwrite, Slots: 4, SlotBytes: 8, Seats: 6})
		sent := 0
		for i := range 2 {
			v.crew(fmt.Sprint("p", i), 1+i, func(r *Ring) func() {
				p := producer(t, r)
				return func() {
					for n := range 2 {
						if err := p.Send(v.ctx(), binary.NativeEndian.AppendUint64(nil, 0x0101010101010101*uint64(2*i+n+1))); err != nil {
							if v.w.Crashes() == 0 {
								v.w.Failf("send: %v", err)
							}
							return
						}
						sent++
					}
					// A longer one, over several of the others.
					if err := p.Send(v.ctx(), []byte("................")); err != nil && v.w.Crashes() == 0 {
						v.w.Failf("send: %v", err)
					}
					sent++
				}
			})
		}
		rd := must[*Reader](t)(v.r.NewReader())
		got, seen := 0, map[byte]bool{}
		read := func() bool {
			b := make([]byte, 16)
			n, err := rd.TryRecv(b)
			if err == ErrEmpty {
				return false
			}
			if err != nil {
				v.w.Failf("read: %v", err)
				return false
			}
			for _, x := range b[:n] {
				if x != b[0] || n == 16 != (x == '.') {
					v.w.Failf("a torn record: %v", b[:n])
				}
			}
			if seen[b[0]] && n == 8 {
				v.w.Failf("record %d came twice", b[0])
			}
			seen[b[0]] = true
			got++
			return true
		}
		v.f.Crew(v.w, "r", 3, func(*model.Process, *shmsync.Space) {
			for range 3 {
				read()
			}
		})
		v.w.Check(func() error {
			if err := v.r.repair(true); err != nil {
				return err
			}
			for read() {
			}
			// A producer that died may have committed one more than it told.
			if all := got + int(rd.Lost()); all != sent && (v.w.Crashes() == 0 || all < sent || all > sent+v.w.Crashes()) {
				return fmt.Errorf("%d records were read and %d lost, of %d", got, rd.Lost(), sent)
			}
			return nil
		})
	})
}

// TestModelStream: a writer that fills the stream and closes, and a reader.
func TestModelStream(t *testing.T) {
	explore(t, func(v *voyage) {
		size, err := StreamSize(64)
		ok(t, err)
		v.f = fleet.New(t, 4, size)
		must[*Stream](t)(CreateStream(v.f.Join(0), fleet.Data, 64))
		sent, dead := 0, func() bool { return v.w.Crashes() > 0 }
		message := func(from, n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(from + i)
			}
			return b
		}
		v.f.Crew(v.w, "w", 1, func(_ *model.Process, s *shmsync.Space) {
			st := must[*Stream](t)(OpenStream(s, fleet.Data))
			w, err := st.Writer()
			if err != nil {
				v.w.Failf("writer: %v", err)
				return
			}
			for range 2 {
				n, err := w.Write(v.ctx(), message(sent, 50))
				sent += n
				if err != nil && !dead() {
					v.w.Failf("write: %v", err)
				}
				if err != nil {
					return
				}
			}
			if err := w.Close(); err != nil {
				v.w.Failf("close: %v", err)
			}
			w.Notify()
		})
		got := 0
		v.f.Crew(v.w, "r", 2, func(_ *model.Process, s *shmsync.Space) {
			st := must[*Stream](t)(OpenStream(s, fleet.Data))
			r, err := st.Reader()
			if err != nil {
				v.w.Failf("reader: %v", err)
				return
			}
			for {
				b := make([]byte, 30)
				n, err := r.Read(v.ctx(), b)
				if string(b[:n]) != string(message(got, n)) {
					v.w.Failf("got %v at %d", b[:n], got)
				}
				got += n
				switch {
				case err == nil:
				case err == io.EOF && (got == 100 || dead()):
					return
				case dead() && (err == io.ErrUnexpectedEOF || err == context.DeadlineExceeded):
					if got < sent {
						v.w.Failf("%d bytes came of %d that were written", got, sent)
					}
					return
				default:
					v.w.Failf("read: %v", err)
					return
				}
			}
		})
	})
}

// TestModelHasNoClock: a run of a model on a machine that is busy takes the steps
// of one that is not, however long a process had to wait for its turn.
func TestModelHasNoClock(t *testing.T) {
	h := newHarbour(t, 1<<16)
	p := producer(t, must[*Ring](t)(Create(h.join(), fleet.Data, Options{Slots: 8, Seats: 3})))
	long := time.Now().Add(-time.Hour)
	p.examined = long
	ok(t, p.repair())
	if p.examined != long {
		t.Error("it looked at the clock")
	}
}

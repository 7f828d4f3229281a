//go:build steps

package ring

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
)

// A reaper kills its process before a step, with a signal that nothing withstands.
type reaper struct{ left atomic.Int64 }

func (r *reaper) Step(string) {
	if r.left.Add(-1) == 0 {
		self, err := os.FindProcess(os.Getpid())
		die(err)
		die(self.Kill())
		select {}
	}
}

func (r *reaper) Sleep(time.Duration, []word.Wait) (done, timedOut bool) { return false, false }
func (r *reaper) Wake(*word.U32, int) (done bool)                        { return false }

// deadlyCalls are what a child dies in. Each prepares, and returns the call.
var deadlyCalls = map[string]func(r *Ring) func() error{
	"reserve": func(r *Ring) func() error {
		p := seated(r.NewProducer())
		return func() error { _, err := p.TryReserve(40); return err }
	},
	"loan": func(r *Ring) func() error {
		p := seated(r.NewProducer())
		return func() error { _, err := p.TryReserve(1500); return err }
	},
	"commit": func(r *Ring) func() error {
		p := seated(r.NewProducer())
		v, err := p.TryReserve(40)
		die(err)
		copy(v.Bytes(), "child")
		return func() error { return v.Commit(5) }
	},
	"abort": func(r *Ring) func() error {
		v, err := seated(r.NewProducer()).TryReserve(40)
		die(err)
		return v.Abort
	},
	"next": func(r *Ring) func() error {
		c := seated(r.NewConsumer())
		return func() error { _, err := c.TryNext(); return err }
	},
	"release": func(r *Ring) func() error {
		v, err := seated(r.NewConsumer()).TryNext()
		die(err)
		return v.Release
	},
	"return": func(r *Ring) func() error {
		v, err := seated(r.NewConsumer()).TryNext()
		die(err)
		return v.Return
	},
	"sit":   func(r *Ring) func() error { return func() error { _, err := r.NewProducer(); return err } },
	"leave": func(r *Ring) func() error { return seated(r.NewConsumer()).Close },
}

func seated[T any](v T, err error) T {
	die(err)
	return v
}

var _ = testenv.Register("ring.step", func() {
	s := load{shape: killShape}.attach()
	call := deadlyCalls[os.Getenv("RING_CALL")](s.r)
	n, err := strconv.Atoi(os.Getenv("RING_STEP"))
	die(err)
	fmt.Println("ready")
	r := new(reaper)
	r.left.Store(int64(n))
	word.Install(r)
	die(call())
	word.Install(nil)
})

// TestModelKilledAtEachStep kills a real process before each step of each call.
// Then a newcomer finds exactly what must be there, and all the room.
func TestModelKilledAtEachStep(t *testing.T) {
	for name := range deadlyCalls {
		t.Run(name, func(t *testing.T) {
			for step := 1; ; step++ {
				if step == 500 {
					t.Fatal("the call does not end")
				}
				if killedAt(t, name, step) {
					continue
				}
				t.Logf("killed before each of %d steps", step-1)
				return
			}
		})
	}
}

// killedAt reports whether the call had so many steps.
func killedAt(t *testing.T, name string, step int) bool {
	s := load{shape: killShape}.share(t, 0)
	defer s.seg.Close()
	p := producer(t, s.r)
	ok(t, p.TrySend([]byte("A")))
	ok(t, p.TrySend([]byte("B")))
	child := s.child(t, "ring.step", "RING_CALL="+name, fmt.Sprint("RING_STEP=", step))
	err := child.Wait()

	c := consumer(t, s.r)
	ok(t, p.TrySend([]byte("after")))
	came := map[string]int{}
	for {
		v, err := c.TryNext()
		if err == ErrEmpty {
			break
		}
		ok(t, err)
		came[string(v.Bytes())]++
		if v.Redelivered() && string(v.Bytes()) != "A" {
			t.Errorf("%s, step %d: %q is marked", name, step, v.Bytes())
		}
		ok(t, v.Release())
	}
	// What of A and of the child's own record may be either way.
	least := map[string]int{"A": 1, "B": 1, "after": 1}
	most := map[string]int{"A": 1, "B": 1, "after": 1}
	switch name {
	case "release":
		least["A"] = 0
	case "commit":
		most["child"] = 1
	}
	for id, n := range came {
		if n > most[id] {
			t.Errorf("%s, step %d: %q came %d times", name, step, id, n)
		}
	}
	for id, n := range least {
		if came[id] < n {
			t.Errorf("%s, step %d: %q is lost", name, step, id)
		}
	}
	for i := range s.r.Slots { // all the room is there, in blocks too
		if err := p.TrySend(make([]byte, 16)); err != nil {
			t.Fatalf("%s, step %d: record %d of %d: %v", name, step, i, s.r.Slots, err)
		}
	}
	for range s.r.Slots {
		v, err := c.TryNext()
		ok(t, err)
		ok(t, v.Release())
	}
	for range s.r.Blocks {
		ok(t, p.TrySend(make([]byte, 1500)))
	}
	return err != nil
}

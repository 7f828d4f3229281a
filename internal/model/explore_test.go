//go:build steps

package model_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/model"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// failing is a testing.TB that keeps the failure instead of failing.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	panic(f)
}

// found is the failure that exploring the world meets, or "".
func found(t *testing.T, o model.Options, build func(w *model.World)) (why string) {
	f := &failing{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(f) {
			panic(r)
		}
		why = f.why
	}()
	model.Explore(f, o, build)
	return ""
}

// TestFinds shows that each kind of failure is found, with as few preemptions and
// crashes as it needs and not with fewer.
func TestFinds(t *testing.T) {
	tests := []struct {
		name  string
		o     model.Options
		build func(w *model.World)
		want  string
	}{
		{"an update that is lost", model.Options{Preemptions: 1}, lostUpdate, "the sum is 1"},
		{"an update that is lost, at random", model.Options{Random: true, Runs: 100}, lostUpdate, "the sum is 1"},
		{"nothing without a preemption", model.Options{}, lostUpdate, ""},
		{"a wake-up that is lost", model.Options{Preemptions: 1}, lostWake, "sleeps have timed out"},
		{"no wake-up is lost without a preemption", model.Options{}, lostWake, ""},
		{"a step that only one who dies leaves out", model.Options{Crashes: 1}, twoStores, "1 is not 0"},
		{"nothing without a crash", model.Options{Preemptions: 2}, twoStores, ""},
		{"a loop without an end", model.Options{}, func(w *model.World) {
			b := new(word.U32)
			w.Process("p", func(*model.Process) {
				for b.Load() == 0 {
				}
			})
		}, "and no end"},
		{"a panic", model.Options{}, func(w *model.World) {
			w.Process("p", func(*model.Process) { panic("at the disco") })
		}, "at the disco"},
	}
	for _, tt := range tests {
		if why := found(t, tt.o, tt.build); tt.want == "" && why != "" || !strings.Contains(why, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.name, why, tt.want)
		}
	}
}

func lostUpdate(w *model.World) {
	sum := new(word.U32)
	for range 2 {
		w.Process("p", func(*model.Process) { sum.Store(sum.Load() + 1) })
	}
	w.Check(func() error {
		if got := sum.Load(); got != 2 {
			return fmt.Errorf("the sum is %d", got)
		}
		return nil
	})
}

// lostWake looks for sleepers before it changes what they wait for.
func lostWake(w *model.World) {
	flag, asleep := new(word.U32), new(word.U32)
	w.Process("sleeper", func(*model.Process) {
		asleep.Store(1)
		for flag.Load() == 0 {
			word.Sleep(time.Second, word.Wait{Word: flag})
		}
	})
	w.Process("waker", func(*model.Process) {
		waits := asleep.Load() != 0
		flag.Store(1)
		if waits {
			word.Wake(flag, 1)
		}
	})
	w.Check(func() error {
		if w.TimedOut() > 0 {
			return fmt.Errorf("%d sleeps have timed out", w.TimedOut())
		}
		return nil
	})
}

func twoStores(w *model.World) {
	a, b := new(word.U32), new(word.U32)
	w.Process("p", func(*model.Process) { a.Store(1); b.Store(1) })
	w.Check(func() error {
		if a.Load() != b.Load() {
			return fmt.Errorf("%d is not %d", a.Load(), b.Load())
		}
		return nil
	})
}

// TestEverySchedule counts: two processes of three steps, all orders.
func TestEverySchedule(t *testing.T) {
	orders := map[string]bool{}
	runs := model.Explore(t, model.Options{Preemptions: 10}, func(w *model.World) {
		var order []string
		words := [2]word.U32{}
		for i, name := range []string{"a", "b"} {
			w.Process(name, func(*model.Process) {
				for range 3 {
					words[i].Load()
					order = append(order, name)
				}
			})
		}
		w.Check(func() error { orders[strings.Join(order, "")] = true; return nil })
	})
	if len(orders) != 20 { // 6 over 3
		t.Errorf("%d of 20 orders in %d runs", len(orders), runs)
	}
}

// TestKilled sees that one who is killed does nothing more, its deferred calls
// neither, that death tells those who wait, and that every step is tried.
func TestKilled(t *testing.T) {
	var lengths []uint32
	model.Explore(t, model.Options{Crashes: 1}, func(w *model.World) {
		count, bell := new(word.U32), new(word.U32)
		p := w.Process("p", func(*model.Process) {
			defer count.Store(100)
			for range 3 {
				count.Add(1)
			}
		})
		w.Process("q", func(*model.Process) {
			for !p.Dead() && count.Load() != 100 {
				word.Sleep(time.Second, word.Wait{Word: bell})
			}
		})
		w.Dies(func(*model.Process) func() { return func() { bell.Store(1); word.Wake(bell, 1) } })
		w.Check(func() error {
			if p.Dead() && !slices.Contains(lengths, count.Load()) {
				lengths = append(lengths, count.Load())
			}
			return nil
		})
	})
	slices.Sort(lengths)
	if !slices.Equal(lengths, []uint32{0, 1, 2, 3}) {
		t.Errorf("killed after %d of its steps, want after each", lengths)
	}
}

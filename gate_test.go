package mmap

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func always() bool { return true }
func never() bool  { return false }

func TestGateStates(t *testing.T) {
	ctx := context.Background()
	g := &gate{id: newGate()}
	view, err := g.enter(aView)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.exclude(ctx, stateExcluded, always); err != ErrBusy {
		t.Errorf("exclusion with a view out: %v, want ErrBusy", err)
	}
	if s, err := g.enter(anAccess); err != nil {
		t.Errorf("after a refused exclusion the gate is not open: %v", err)
	} else {
		g.leave(s, anAccess)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := g.exclude(ended, stateClosing, never); !errors.Is(err, context.Canceled) {
		t.Errorf("closing with an ended context and a view out: %v", err)
	}
	g.leave(view, aView)
	if err := g.exclude(ctx, stateClosing, never); err != nil {
		t.Fatal(err)
	}
	if _, err := g.enter(anAccess); err != fs.ErrClosed {
		t.Errorf("access while closing: %v, want fs.ErrClosed", err)
	}
	g.reopen(nil)
	if s, err := g.enter(anAccess); err != nil {
		t.Errorf("access after a close that gave up: %v", err)
	} else {
		g.leave(s, anAccess)
	}
	if err := g.exclude(ctx, stateClosing, never); err != nil {
		t.Fatal(err)
	}
	g.shut()
	if _, err := g.enter(anAccess); err != fs.ErrClosed {
		t.Errorf("access after close: %v", err)
	}
	if err := g.exclude(ctx, stateExcluded, always); err != fs.ErrClosed {
		t.Errorf("exclusion after close: %v", err)
	}
}

// TestGateExcludes has accesses, views and excluders at work together. Whoever
// is inside reads what an excluder changes; an overlap shows as a torn pair, and
// under the race detector as a race. A lost wake-up shows as a test that hangs.
func TestGateExcludes(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		old := runtime.GOMAXPROCS(procs)
		t.Cleanup(func() { runtime.GOMAXPROCS(old) })
		g := &gate{id: newGate()}
		var a, b int // equal whenever somebody may look
		var entered, excluded atomic.Int64
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				what := anAccess
				if i%2 == 1 {
					what = aView
				}
				for range 5000 {
					s, err := g.enter(what)
					if err != nil {
						t.Error(err)
						return
					}
					if a != b {
						t.Errorf("inside together with an excluder: %d, %d", a, b)
					}
					entered.Add(1)
					g.leave(s, what)
				}
			})
		}
		for i := range 2 {
			wg.Go(func() {
				refuse := never
				if i == 1 {
					refuse = always
				}
				for range 500 {
					switch err := g.exclude(context.Background(), stateExcluded, refuse); err {
					case nil:
						a++
						runtime.Gosched()
						b++
						excluded.Add(1)
						g.reopen(nil)
					case ErrBusy:
						runtime.Gosched()
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if entered.Load() != 4*5000 || excluded.Load() < 500 {
			t.Errorf("GOMAXPROCS %d: %d accesses, %d exclusions", procs, entered.Load(), excluded.Load())
		}
	}
}

func TestGateOneOfManyClosersWins(t *testing.T) {
	g := &gate{id: newGate()}
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	view, err := g.enter(aView)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		wg.Go(func() {
			switch err := g.exclude(context.Background(), stateClosing, never); err {
			case nil:
				won.Add(1)
				g.shut()
			case fs.ErrClosed:
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	runtime.Gosched()
	g.leave(view, aView)
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d closed, %d were told that it is closed", won.Load(), lost.Load())
	}
}

// TestExcluderLooksAgainByItself has somebody leave as a processor may let it
// happen: the seat is free after the look at the state, which was still open. Nobody
// wakes the excluder.
func TestExcluderLooksAgainByItself(t *testing.T) {
	for what, enter := range map[string]uint64{"an access": anAccess, "a view": aView} {
		g := &gate{id: newGate()}
		s, err := g.enter(enter)
		if err != nil || s == nil {
			t.Fatalf("%s: seat %p, %v", what, s, err)
		}
		excluded := make(chan error)
		go func() { excluded <- g.exclude(context.Background(), stateExcluded, never) }()
		for {
			g.slow.Lock()
			waits := g.slow.drained != nil
			g.slow.Unlock()
			if waits {
				break
			}
			runtime.Gosched()
		}
		time.Sleep(10 * time.Millisecond) // by now it sleeps too; if not, it will see the free seat at once
		atomic.StoreUint64(&s.held, 0)
		if err := <-excluded; err != nil {
			t.Errorf("%s: %v", what, err)
		}
		g.shut()
	}
}

// TestEverySeatTaken fills the table: whoever comes then is counted in the gate, and is
// waited for as well.
func TestEverySeatTaken(t *testing.T) {
	other, g := &gate{id: newGate()}, &gate{id: newGate()}
	for i := range seats {
		if !atomic.CompareAndSwapUint64(&seats[i].held, 0, other.id<<1) {
			t.Fatalf("seat %d is held by somebody", i)
		}
	}
	defer func() {
		for i := range seats {
			atomic.StoreUint64(&seats[i].held, 0)
		}
	}()
	if all, views := other.inside(); all != uint64(len(seats)) || views != 0 {
		t.Errorf("%d are inside, %d views; want %d, 0", all, views, len(seats))
	}
	a, errA := g.enter(anAccess)
	v, errV := g.enter(aView)
	stay, errS := g.enter(aStay)
	if a != nil || v != nil || stay != nil || errA != nil || errV != nil || errS != nil {
		t.Fatalf("entered as %p %p %p: %v %v %v", a, v, stay, errA, errV, errS)
	}
	if all, views := g.inside(); all != 3 || views != 2 {
		t.Errorf("%d are inside, %d views; want 3, 2", all, views)
	}
	if n := g.entries(nil); n != 3 {
		t.Errorf("%d have come in, want 3", n)
	}
	if err := g.exclude(context.Background(), stateClosing, always); err != ErrBusy {
		t.Errorf("exclusion with views out: %v", err)
	}
	g.leave(v, aView)
	g.leave(stay, aStay)
	excluded := make(chan error)
	go func() { excluded <- g.exclude(context.Background(), stateClosing, never) }()
	for g.state.Load() != stateClosing {
		runtime.Gosched()
	}
	select {
	case err := <-excluded:
		t.Errorf("an access in the crowd was not waited for: %v", err)
	default:
	}
	g.leave(a, anAccess)
	if err := <-excluded; err != nil {
		t.Error(err)
	}
}

func TestStaysLeaveTheSeatsFree(t *testing.T) {
	g := &gate{id: newGate()}
	s, err := g.enter(aStay)
	if s != nil || err != nil {
		t.Fatalf("%p, %v", s, err)
	}
	if all, views := g.inside(); all != 1 || views != 1 {
		t.Errorf("%d are inside, %d views; want 1, 1", all, views)
	}
	g.leave(s, aStay)
	if all, _ := g.inside(); all != 0 {
		t.Errorf("%d are inside", all)
	}
}

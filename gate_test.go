package mmap

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func always() bool { return true }
func never() bool  { return false }

func TestGateStates(t *testing.T) {
	ctx := context.Background()
	g := new(gate)
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
	g.reopen()
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
		g := new(gate)
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
						g.reopen()
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
	g := new(gate)
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

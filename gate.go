package mmap

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/memwright/mmap/internal/mem"
)

// A gate counts who is inside a mapping, so that Close and Resize can keep
// everyone out while they change it.
//
// The count is spread over shards: an access adds to one shard and then looks
// at the state; an excluder stores the state and then looks at every shard.
// Both are sequentially consistent, so either the access sees the state and
// backs out, or the excluder sees the access and waits.
//
//	shard word   63      40 39       20 19              0
//	            +----------+-----------+----------------+
//	            | entries  | views out | short accesses |
//	            +----------+-----------+----------------+
//
// Entries only count up, and wrap: they cost nothing here and let an access do
// now and then what each can't afford, such as looking at a clock. The two
// others hold a million each; a shard has its share of the program's goroutines.
//
//	state        open      -> accesses go through
//	             draining  -> somebody wants to change the mapping and waits for those
//	                          inside; accesses wait, unless their goroutine is inside a
//	                          View: that one is what is being waited for
//	             excluded  -> it is being changed; accesses wait
//	             closing   -> accesses get fs.ErrClosed; back to open if the Close gives up
//	             closed    -> for ever
type gate struct {
	state  atomic.Uint32
	_      [64]byte  // what lies before is read by everybody, and shares no line with a shard
	shards [32]shard // two goroutines at once meet in one of them once in 32 times
	slow   struct {
		sync.Mutex
		excluder bool                 // somebody is excluding, or has closed for ever
		holders  map[uint64][]uintptr // in debug builds: the stacks of the views that are out
		lastView uint64
		drained  chan struct{} // made by an excluder that has to wait; a leaver puts a token in
		opened   chan struct{} // closed when the exclusion ends
	}
}

type shard struct {
	n atomic.Uint64
	_ [56]byte // a cache line each
}

const (
	stateOpen uint32 = iota
	stateDraining
	stateExcluded
	stateClosing
	stateClosed
)

const (
	anAccess uint64 = 1
	aView    uint64 = 1 << 20
	anEntry  uint64 = 1 << 40

	accessBits = aView - 1
	viewBits   = anEntry - aView
)

// enter lets one access or view in. It waits while the mapping is being changed,
// which lasts as long as some system calls.
func (g *gate) enter(what uint64) (*shard, error) {
	s := &g.shards[mem.StackHint()%uintptr(len(g.shards))]
	s.n.Add(what + anEntry)
	if g.state.Load() == stateOpen {
		return s, nil
	}
	return g.enterSlowly(s, what)
}

// enterSlowly goes on where enter found that the gate is not open.
func (g *gate) enterSlowly(s *shard, what uint64) (*shard, error) {
	for {
		switch g.state.Load() {
		case stateOpen:
			return s, nil
		case stateDraining, stateExcluded:
			if g.state.Load() == stateDraining && insideView() {
				return s, nil // counted since before the look at the state: the excluder waits for this too
			}
			g.leave(s, what)
			g.awaitOpen()
			s.n.Add(what)
		default:
			g.leave(s, what)
			return nil, fs.ErrClosed
		}
	}
}

// entries counts what has come in by this shard, modulo 2^24.
func (s *shard) entries() uint64 { return s.n.Load() / anEntry }

// leave lets out what enter let in.
func (g *gate) leave(s *shard, what uint64) {
	s.n.Add(-what)
	if g.state.Load() != stateOpen {
		g.wake()
	}
}

// wake tells an excluder that somebody has left.
func (g *gate) wake() {
	g.slow.Lock()
	defer g.slow.Unlock()
	if g.slow.drained != nil {
		select {
		case g.slow.drained <- struct{}{}:
		default: // a token is waiting already
		}
	}
}

func (g *gate) awaitOpen() {
	g.slow.Lock()
	opened := g.slow.opened
	state := g.state.Load()
	g.slow.Unlock()
	if state == stateDraining || state == stateExcluded {
		<-opened
	}
}

// exclude keeps new accesses out and waits until those inside have left. With
// a view out, which may last as long as its user likes, it gives up at once with
// ErrBusy if refuse says so. It gives up when ctx ends, with its error. On
// success the caller ends the exclusion by reopen or shut.
func (g *gate) exclude(ctx context.Context, state uint32, refuse func() bool) error {
	// Asked before anybody is kept out, and before waiting for another excluder,
	// who may be waiting for the very view that the caller is inside of.
	if _, views := g.inside(); views > 0 && refuse() {
		return ErrBusy
	}
	if err := g.claim(ctx, state); err != nil {
		return err
	}
	for {
		inside, views := g.inside()
		switch {
		case inside == 0 && g.settle(state):
			return nil
		case views > 0 && refuse():
			g.reopen()
			return ErrBusy
		}
		drained, fresh := g.drainSignal()
		if fresh {
			if state == stateClosing {
				statistics.closeWaits.Add(1)
			}
			continue // who left before the signal existed did not give one: look again
		}
		select {
		case <-drained:
		case <-ctx.Done():
			g.reopen()
			return ctx.Err()
		}
	}
}

// settle goes from waiting for those inside to having nobody inside. It reports
// false when one more has come in by a View that was still out.
func (g *gate) settle(state uint32) bool {
	if state == stateClosing {
		return true // nobody comes in by then
	}
	g.state.Store(stateExcluded)
	if inside, _ := g.inside(); inside == 0 {
		return true
	}
	g.state.Store(stateDraining)
	return false
}

// claim makes the caller the one excluder, who waits until those inside have
// left.
func (g *gate) claim(ctx context.Context, state uint32) error {
	for {
		g.slow.Lock()
		if g.state.Load() == stateClosed {
			g.slow.Unlock()
			return fs.ErrClosed
		}
		if !g.slow.excluder {
			g.slow.excluder = true
			g.slow.opened = nil
			if state == stateExcluded {
				g.slow.opened = make(chan struct{})
				state = stateDraining
			}
			g.state.Store(state)
			g.slow.Unlock()
			return nil
		}
		if g.slow.opened == nil {
			g.slow.opened = make(chan struct{})
		}
		opened := g.slow.opened
		g.slow.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) drainSignal() (drained chan struct{}, fresh bool) {
	g.slow.Lock()
	defer g.slow.Unlock()
	if g.slow.drained == nil {
		g.slow.drained = make(chan struct{}, 1)
		return g.slow.drained, true
	}
	return g.slow.drained, false
}

// inside counts the accesses and views that are in, and the views alone. While
// the state is not open, a shard once seen empty stays so but for accesses that
// are backing out.
func (g *gate) inside() (all, views uint64) {
	for i := range g.shards {
		n := g.shards[i].n.Load()
		all += n&accessBits + n&viewBits/aView
		views += n & viewBits / aView
	}
	return all, views
}

// reopen ends an exclusion.
func (g *gate) reopen() { g.end(stateOpen) }

// shut ends an exclusion for ever.
func (g *gate) shut() { g.end(stateClosed) }

func (g *gate) end(state uint32) {
	g.slow.Lock()
	g.slow.excluder = false
	g.slow.drained = nil
	g.state.Store(state)
	if g.slow.opened != nil {
		close(g.slow.opened)
		g.slow.opened = nil
	}
	g.slow.Unlock()
}

// hold notes who holds a view out, in debug builds. The function that it returns
// takes the note away.
func (g *gate) hold() func() {
	pcs := make([]uintptr, 32)
	pcs = pcs[:runtime.Callers(4, pcs)]
	g.slow.Lock()
	defer g.slow.Unlock()
	if g.slow.holders == nil {
		g.slow.holders = make(map[uint64][]uintptr)
	}
	g.slow.lastView++
	id := g.slow.lastView
	g.slow.holders[id] = pcs
	return func() {
		g.slow.Lock()
		delete(g.slow.holders, id)
		g.slow.Unlock()
	}
}

// explain adds to the error of an exclusion that failed who is inside: how many,
// and in debug builds which stacks hold the views.
func (g *gate) explain(err error) error {
	if err == fs.ErrClosed {
		return err
	}
	all, views := g.inside()
	held := fmt.Sprintf("%d views are out, %d accesses inside", views, all-views)
	g.slow.Lock()
	defer g.slow.Unlock()
	for _, pcs := range g.slow.holders {
		held += "\na view is held by\n" + stackText(pcs)
	}
	return because(err, "%s", held)
}

func stackText(pcs []uintptr) string {
	var b strings.Builder
	for frames := runtime.CallersFrames(pcs); len(pcs) > 0; {
		f, more := frames.Next()
		fmt.Fprintf(&b, "\t%s\n\t\t%s:%d\n", f.Function, f.File, f.Line)
		if !more {
			break
		}
	}
	return b.String()
}

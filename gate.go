package mmap

import (
	"context"
	"fmt"
	"io/fs"
	"math/bits"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
)

// A gate knows who is inside a mapping, so that Close and Resize can keep
// everyone out while they change it.
//
// Whoever comes in takes a seat: a cache line of a table that all mappings share,
// found by where the goroutine's stack lies, so that two goroutines seldom meet
// there. That is one compare-and-swap, after which it looks at the state. An
// excluder stores the state and then looks at every seat. Both are sequentially
// consistent, so either the one who comes in sees the state and backs out, or the
// excluder sees the seat taken and waits.
//
// A seat is left by a plain store, half the price of coming in. On a machine that
// lets a load pass an earlier store, the look at the state that follows may be
// older than the store, and then nobody wakes the excluder. So it does not depend
// on that: it looks again by itself, at intervals that start at pollFirst.
//
//	seat         0            -> free
//	             id<<1        -> one short access is inside the gate id
//	             id<<1 | 1    -> one view is
//
// Who finds its seat and the neighbours taken, or means to stay, is counted
// in the gate instead, by locked additions:
//
//	crowd word   63      40 39       20 19              0
//	            +----------+-----------+----------------+
//	            | entries  | views out | short accesses |
//	            +----------+-----------+----------------+
//
// Entries only count up, and wrap. They let an access do now and then what each
// can't afford, such as looking at a clock.
//
//	state        open      -> accesses go through
//	             draining  -> somebody wants to change the mapping and waits for those
//	                          inside; accesses wait, unless their goroutine is inside a
//	                          View: that one is what is being waited for
//	             excluded  -> it is being changed; accesses wait
//	             closing   -> accesses get fs.ErrClosed; back to open if the Close gives up
//	             closed    -> for ever
//
// shown is the area as long as the state is open, for those who look at it
// without coming in: a copy that never changes, and that is another one after each
// exclusion. Who finds the same pointer before and after knows that the area was
// not changed in between. The collector sees to it that no address comes twice.
type gate struct {
	id    uint64 // of this gate alone in the process; not 0
	state atomic.Uint32
	shown atomic.Pointer[area] // nil while the state is not open
	crowd atomic.Uint64
	slow  struct {
		sync.Mutex
		excluder bool                 // somebody is excluding, or has closed for ever
		hidden   *area                // what was shown before
		holders  map[uint64][]uintptr // in debug builds: the stacks of the views that are out
		lastView uint64
		drained  chan struct{} // made by an excluder that has to wait; a leaver puts a token in
		opened   chan struct{} // closed when the exclusion ends
	}
}

// A seat is a cache line.
type seat struct {
	held    uint64 // see gate; written by compare-and-swap, and by its holder's store
	entries uint32 // those who have sat here, modulo 2^32; the holder's alone
	glances uint32 // those who did not sit down, about: see Mapping.glance
	_       [48]byte
}

// seats has room for eight a processor, up to 32 processors. An excluder looks at all of them, a
// nanosecond or so each.
var seats = make([]seat, 1<<bits.Len(uint(min(max(8*runtime.GOMAXPROCS(0), 32), 256)-1)))

// nearSeats is how many seats are tried before the crowd is joined.
const nearSeats = 3

var lastGate atomic.Uint64

// newGate is the id of another gate.
func newGate() uint64 { return lastGate.Add(1) }

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
	aStay    uint64 = aView | 1<<63 // a view that may wait for others, and leaves the seats to those who don't

	accessBits = aView - 1
	viewBits   = anEntry - aView
	countBits  = anEntry - 1
)

const (
	pollFirst = 50 * time.Microsecond // by then what a processor still had to store is stored
	pollMost  = 50 * time.Millisecond // when it has doubled so far
)

// enter lets one access or view in. It waits while the mapping is being changed,
// which lasts as long as some system calls. leave wants back what it returns; nil
// is a place in the crowd.
func (g *gate) enter(what uint64) (*seat, error) {
	s := nearestSeat()
	if what == aStay || !atomic.CompareAndSwapUint64(&s.held, 0, g.id<<1|what/aView) {
		s = g.findSeat(what)
	} else {
		s.entries++
	}
	if g.state.Load() == stateOpen {
		return s, nil
	}
	return g.enterSlowly(s, what)
}

// nearestSeat is the seat of the calling goroutine, and of some others.
func nearestSeat() *seat { return &seats[mem.StackHint()&uintptr(len(seats)-1)] }

// findSeat is for those who don't get the nearest seat: one beside it, or a place
// in the crowd.
func (g *gate) findSeat(what uint64) *seat {
	if what != aStay {
		first := mem.StackHint()
		for i := range uintptr(nearSeats) {
			s := &seats[(first+i)%uintptr(len(seats))]
			if atomic.LoadUint64(&s.held) == 0 && atomic.CompareAndSwapUint64(&s.held, 0, g.id<<1|what/aView) {
				s.entries++
				return s
			}
		}
	}
	g.crowd.Add(what&countBits + anEntry)
	return nil
}

// enterSlowly goes on where enter found that the gate is not open.
func (g *gate) enterSlowly(s *seat, what uint64) (*seat, error) {
	for {
		switch g.state.Load() {
		case stateOpen:
			return s, nil
		case stateDraining, stateExcluded:
			if g.state.Load() == stateDraining && insideView() {
				return s, nil // seated since before the look at the state: the excluder waits for this too
			}
			g.leave(s, what)
			g.awaitOpen()
			s = g.findSeat(what)
		default:
			g.leave(s, what)
			return nil, fs.ErrClosed
		}
	}
}

// passed counts one who goes by without sitting down, and is true of about every
// accessPeriod-th. Two at once may be counted as one: there is no order here, and
// none is needed.
func (s *seat) passed() bool {
	s.glances++
	return s.glances%accessPeriod == 0
}

// entries counts those who have come in where s did.
func (g *gate) entries(s *seat) uint64 {
	if s == nil {
		return g.crowd.Load() / anEntry
	}
	return uint64(s.entries)
}

// leave lets out what enter let in.
func (g *gate) leave(s *seat, what uint64) {
	switch {
	case s == nil:
		g.crowd.Add(-(what & countBits))
	case sys.StoresInOrder:
		s.held = 0
	default:
		atomic.StoreUint64(&s.held, 0)
	}
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
	poll := pollFirst
	for {
		inside, views := g.inside()
		switch {
		case inside == 0 && g.settle(state):
			return nil
		case views > 0 && refuse():
			g.giveUp()
			return ErrBusy
		}
		drained, fresh := g.drainSignal()
		if fresh {
			if state == stateClosing {
				statistics.closeWaits.Add(1)
			}
			continue // who left before the signal existed did not give one: look again
		}
		look := time.NewTimer(poll)
		poll = min(2*poll, pollMost)
		select {
		case <-drained:
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			g.giveUp()
			return ctx.Err()
		}
		look.Stop()
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
			g.slow.hidden = g.shown.Swap(nil)
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
// the state is not open, none is missed but those that are backing out.
func (g *gate) inside() (all, views uint64) {
	n := g.crowd.Load()
	views = n & viewBits / aView
	all = n&accessBits + views
	for i := range seats {
		if held := atomic.LoadUint64(&seats[i].held); held>>1 == g.id {
			all++
			views += held & 1
		}
	}
	return all, views
}

// reopen ends an exclusion and shows a, which is as it was or is new.
func (g *gate) reopen(a *area) { g.end(stateOpen, a) }

// giveUp ends an exclusion that has changed nothing.
func (g *gate) giveUp() { g.end(stateOpen, g.slow.hidden) }

// shut ends an exclusion for ever.
func (g *gate) shut() { g.end(stateClosed, nil) }

func (g *gate) end(state uint32, shown *area) {
	g.slow.Lock()
	g.slow.excluder = false
	g.slow.hidden = nil
	g.slow.drained = nil
	g.shown.Store(shown)
	g.state.Store(state)
	if g.slow.opened != nil {
		close(g.slow.opened)
		g.slow.opened = nil
	}
	g.slow.Unlock()
}

// closing is the area of a mapping while a Close waits or works, and whether one
// has succeeded.
func (g *gate) closing() (a *area, closed bool) {
	g.slow.Lock()
	defer g.slow.Unlock()
	switch g.state.Load() {
	case stateClosing:
		return g.slow.hidden, false
	case stateClosed:
		return nil, true
	}
	return nil, false
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

package mmap

import (
	"context"
	"io/fs"
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
//	shard word   63            32 31             0
//	            +----------------+----------------+
//	            | views out      | short accesses |
//	            +----------------+----------------+
//
//	state        open      -> accesses go through
//	             excluded  -> accesses wait: a Resize is at work, or about to refuse
//	             closing   -> accesses get fs.ErrClosed; back to open if the Close gives up
//	             closed    -> for ever
type gate struct {
	state  atomic.Uint32
	shards [8]shard
	slow   struct {
		sync.Mutex
		excluder bool          // somebody is excluding, or has closed for ever
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
	stateExcluded
	stateClosing
	stateClosed
)

const (
	anAccess uint64 = 1
	aView    uint64 = 1 << 32
)

// enter lets one access or view in. It waits while a Resize is at work, which
// lasts as long as its system calls.
func (g *gate) enter(what uint64) (*shard, error) {
	s := &g.shards[mem.StackHint()%uintptr(len(g.shards))]
	for {
		s.n.Add(what)
		switch g.state.Load() {
		case stateOpen:
			return s, nil
		case stateExcluded:
			g.leave(s, what)
			g.awaitOpen()
		default:
			g.leave(s, what)
			return nil, fs.ErrClosed
		}
	}
}

// leave lets out what enter let in.
func (g *gate) leave(s *shard, what uint64) {
	s.n.Add(-what)
	if g.state.Load() != stateOpen {
		g.slow.Lock()
		if g.slow.drained != nil {
			select {
			case g.slow.drained <- struct{}{}:
			default: // a token is waiting already
			}
		}
		g.slow.Unlock()
	}
}

func (g *gate) awaitOpen() {
	g.slow.Lock()
	opened := g.slow.opened
	excluded := g.state.Load() == stateExcluded
	g.slow.Unlock()
	if excluded {
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
		case inside == 0:
			return nil
		case views > 0 && refuse():
			g.reopen()
			return ErrBusy
		}
		drained, fresh := g.drainSignal()
		if fresh {
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

// claim makes the caller the one excluder.
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
		all += n&(aView-1) + n>>32
		views += n >> 32
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

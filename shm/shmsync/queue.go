package shmsync

import (
	"context"
	"io/fs"
	"runtime"
	"sync/atomic"
)

// A queue is a mutex among the goroutines of this process, with a context. It
// stands before each place in shared memory to wait at: its holder alone waits
// for the process there.
//
// n counts the holder and those who wait. Whoever unlocks while somebody waits
// sends a token instead of freeing the queue; while it is on its way there is no
// holder, and n counts those who wait, one of whom will receive it.
type queue struct {
	n    atomic.Int32
	turn chan struct{} // holds the token on its way
}

func newQueue() queue { return queue{turn: make(chan struct{}, 1)} }

func (q *queue) tryLock() bool { return q.n.CompareAndSwap(0, 1) }

// lock waits for the queue until ctx ends or done is closed.
func (q *queue) lock(ctx context.Context, done <-chan struct{}) error {
	if q.n.Add(1) == 1 {
		return nil
	}
	return q.wait(ctx, done)
}

func (q *queue) unlock() {
	if q.n.Add(-1) > 0 {
		q.turn <- struct{}{}
	}
}

func (q *queue) wait(ctx context.Context, done <-chan struct{}) (err error) {
	select {
	case <-q.turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-done:
		err = fs.ErrClosed
	}
	// To leave is to count down, unless the token is on its way and nobody else is
	// there to receive it. It comes at once then: the one who unlocks has counted
	// down already.
	for {
		select {
		case <-q.turn:
			q.unlock()
			return err
		default:
		}
		if n := q.n.Load(); n > 1 && q.n.CompareAndSwap(n, n-1) {
			return err
		}
		runtime.Gosched()
	}
}

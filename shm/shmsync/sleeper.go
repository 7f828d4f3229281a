package shmsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/memwright/mmap/internal/word"
)

// A Sleeper is where a process waits for something in shared memory: first
// spinning, then asleep in the kernel. Each thing to wait for has one Sleeper in
// a process, and one goroutine uses it at a time: the others queue before it, in
// the process, so that a process costs one thread however many of its goroutines
// wait.
type Sleeper struct {
	space  *Space
	spin   Spinner
	cancel word.U32 // bumped to end a sleep; no other process sees it
}

// Rearm is how long a Sleep lasts at most: whoever was woken in somebody's stead
// and died, or died between a store and the wake that belongs to it, is made up
// for by then.
const Rearm = 250 * time.Millisecond

// examineAgain is how long to wait for a process that is ending to have ended.
const examineAgain = time.Millisecond

// NewSleeper makes one. The Space knows it only while it sleeps, so that it needs
// no end of its own.
func (s *Space) NewSleeper() *Sleeper { return &Sleeper{space: s} }

// Spin is [Spinner.Spin]: to be tried before Sleep.
func (sl *Sleeper) Spin(done func() bool) bool { return sl.spin.Spin(done) }

// Sleep sleeps while w holds old. It returns nil when it is time to look again:
// w has changed or somebody woke it, owner (who has what is waited for; 0 for
// nobody) has ended, Rearm is over, or for no reason. It returns ctx's error, or
// fs.ErrClosed after [Space.Close].
//
// When owner has ended, [Space.Alive] says so as soon as its last thread is gone.
//
// The kernel wakes one of those who wait for a dead owner, and that one wakes the
// others. Where there is no futex_waitv(2) (before Linux 5.16) a death, a
// cancellation and a Close may be noticed 5 ms late.
func (sl *Sleeper) Sleep(ctx context.Context, owner Owner, w *word.U32, old uint32) error {
	owners := [1]Owner{owner}
	return sl.SleepAll(ctx, owners[:], w, old)
}

// SleepAll is Sleep for what several participants may have, any of whom may end.
// It sleeps on the words of 100 of them at most: the death of another is noticed
// within Rearm.
func (sl *Sleeper) SleepAll(ctx context.Context, owners []Owner, w *word.U32, old uint32) (err error) {
	s := sl.space
	defer s.Guard().End(&err)
	cancel := sl.cancel.Peek()
	s.sleepers.enter(sl)
	defer s.sleepers.leave(sl)
	if ctx.Done() != nil {
		defer afterFunc(ctx, sl.interrupt)()
	}
	// After the word was read, and whoever may interrupt knows of this: nothing is
	// missed.
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Closed() {
		return fs.ErrClosed
	}
	began := now()
	timedOut, err := sl.sleep(owners, word.Wait{Word: w, Value: old}, word.Wait{Word: &sl.cancel, Value: cancel})
	sl.spin.Slept(time.Duration(now() - began))
	if err != nil {
		return err
	}
	for _, owner := range owners {
		if owner != 0 && owner != s.self && (timedOut || s.marked(owner)) {
			if _, err := s.Examine(owner); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	taken := s.self != 0 && !s.alive(s.self)
	if s.Closed() { // asked last: it may be no longer the shared memory that says so
		return fs.ErrClosed
	}
	if taken {
		return fmt.Errorf("this participant is not in the table any more: %w", ErrDamaged)
	}
	return nil
}

// sleep is one sleep in the kernel.
func (sl *Sleeper) sleep(owners []Owner, w, cancel word.Wait) (timedOut bool, err error) {
	s, limit := sl.space, Rearm
	var few [4]word.Wait
	on := append(few[:0], w, cancel)
	for _, owner := range owners {
		if owner == 0 || owner == s.self || len(on) > mostLives {
			continue
		}
		slot := owner.Slot()
		if slot < 0 || slot >= s.mem.Slots {
			return false, nil // nobody
		}
		// The word, then the table: who comes next in the slot stores them the other
		// way round.
		live := &s.slot(slot).live
		mark := live.Load()
		if !s.alive(owner) {
			return false, nil
		}
		if mark&diedMark != 0 {
			// Its process is ending. There is no word for its end: look again soon.
			if alive, err := s.Examine(owner); !alive || err != nil {
				return false, err
			}
			limit = examineAgain
		}
		on = append(on, word.Wait{Word: live, Value: mark})
	}
	timedOut, err = word.Sleep(limit, on...)
	for _, live := range on[2:] {
		if live.Word.Load() != live.Value { // marked, or the next one's in the slot already
			err = errors.Join(err, word.Wake(live.Word, word.All))
		}
	}
	return timedOut, err
}

// mostLives is how many owners' words one sleep is on.
const mostLives = 100

// afterFunc is context.AfterFunc, without a goroutine where ctx can call f itself.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// sleepers are the Sleepers of a Space that sleep, or are about to: those that
// Close interrupts.
type sleepers struct {
	sync.Mutex // guards all
	all        map[*Sleeper]bool
}

func (s *sleepers) enter(sl *Sleeper) {
	s.Lock()
	defer s.Unlock()
	s.all[sl] = true
}

func (s *sleepers) leave(sl *Sleeper) {
	s.Lock()
	defer s.Unlock()
	delete(s.all, sl)
}

// interrupt ends every sleep. Who enters from now on finds the Space closed.
func (s *sleepers) interrupt() {
	s.Lock()
	asleep := slices.Collect(maps.Keys(s.all))
	s.Unlock()
	for _, sl := range asleep {
		sl.interrupt()
	}
}

// interrupt ends a sleep.
func (sl *Sleeper) interrupt() {
	sl.cancel.Bump()
	word.Wake(&sl.cancel, word.All)
}

package shmsync

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/word"
)

// A Mutex is a lock in shared memory that belongs to a process: any goroutine of
// it may unlock. Its zero is unlocked.
//
// # States
//
//	free ──Lock──▶ held ──Unlock──▶ free
//	held ──its owner ends──▶ held, by a dead owner
//	     ──Lock, with ErrOwnerDied──▶ in repair
//	in repair ──MarkConsistent──▶ held
//	          ──its owner ends──▶ held, by a dead owner
//	          ──Unlock──▶ broken, for ever: ErrNotRecoverable
//	          ──a writer of an RWMutex gives up──▶ to be repaired ──Lock, with ErrOwnerDied──▶ in repair
//
// A dead owner's lock is not free: only who takes it over learns of the death.
type Mutex struct {
	space   *Space
	word    *word.U64
	mine    uint64 // the word while this process holds the lock and nobody waits
	wakes   int    // how many an Unlock wakes
	queue   queue  // who waits, of this process: its holder looks at the word
	sleeper *Sleeper

	// While this process holds the lock, the one who holds the queue waits for an
	// Unlock here and not in the kernel.
	waiting atomic.Bool
	bell    chan struct{}
}

// MutexBytes is the size of a Mutex in shared memory; its offset is a multiple of
// 8. Put it on a cache line of its own, 64 bytes, where that matters.
const MutexBytes = 8

// The word of a lock: docs/format/locks.md.
//
//	63        54 53           32 31 30 29 28       10 9        0
//	┌───────────┬───────────────┬──┬──┬──┬───────────┬──────────┐
//	│ zero      │ epoch         │W │D │B │ zero      │ slot + 1 │
//	└───────────┴───────────────┴──┴──┴──┴───────────┴──────────┘
//
// The low half is what the kernel compares: with W in it, a sleep can't begin
// after an unlock that nobody was told of.
const (
	waitersBit = 1 << 31 // W: somebody sleeps, or is about to
	diedBit    = 1 << 30 // D: in repair
	brokenBit  = 1 << 29 // B: broken, and nothing else
	lockSlots  = slotMask
	lockZeros  = ^uint64(waitersBit | diedBit | lockSlots | maxEpoch<<32) // in every word but B alone
)

func lockWord(o Owner) uint64 { return uint64(o.epoch())<<32 | uint64(o&slotMask) }

// lockOwner is whose a word is, B alone excepted. It fails for a word that no lock
// ever has.
func (s *Space) lockOwner(w uint64) (Owner, error) {
	if w&lockZeros != 0 || w&lockSlots > uint64(s.mem.Slots) || w&lockSlots == 0 && w>>32 != 0 {
		return 0, ErrDamaged
	}
	return Owner(w>>32<<slotBits | w&lockSlots), nil
}

// Mutex is the mutex at a byte offset, a multiple of 8.
func (s *Space) Mutex(off int64) (*Mutex, error) {
	w, err := s.Word64(off)
	if err != nil {
		return nil, err
	}
	if s.self == 0 {
		return nil, ErrNoParticipant
	}
	return local(s, off, func() (*Mutex, error) { return s.newMutex(w, 1), nil })
}

func (s *Space) newMutex(w *word.U64, wakes int) *Mutex {
	return &Mutex{space: s, word: w, mine: lockWord(s.self), wakes: wakes, queue: newQueue(), sleeper: s.NewSleeper(),
		bell: make(chan struct{}, 1)}
}

// Lock locks m. With nil the lock is held, and with an error that is ErrOwnerDied:
// what it guards may be half changed, so repair that and call MarkConsistent
// before Unlock. With any other error it is not held: ctx's, ErrNotRecoverable,
// fs.ErrClosed, ErrDamaged, ErrLost.
//
// A lock that is free is taken even if ctx has ended.
func (m *Mutex) Lock(ctx context.Context) error {
	if m.space.Fragile() { // even a function that may defer is a fifth of the price
		return m.lockGuarded(ctx)
	}
	return m.lock(ctx)
}

func (m *Mutex) lockGuarded(ctx context.Context) (err error) {
	defer m.space.Guard().End(&err)
	return m.lock(ctx)
}

// lock is Lock without a guard.
func (m *Mutex) lock(ctx context.Context) error {
	if m.word.CompareAndSwap(0, m.mine) {
		if !m.space.Closed() {
			return nil
		}
		m.word.CompareAndSwap(m.mine, 0) // perhaps it was the shared one still
	}
	return m.lockSlow(ctx)
}

// TryLock is Lock that never waits: ErrLocked where it would.
func (m *Mutex) TryLock() (err error) {
	defer m.space.Guard().End(&err)
	return m.tryLock()
}

func (m *Mutex) tryLock() error {
	for range patience {
		w, owner, err := m.take(0)
		if owner == 0 || err != nil {
			return err
		}
		if !m.space.marked(owner) {
			return ErrLocked
		}
		alive, err := m.space.Examine(owner)
		if err != nil {
			return err
		}
		if alive || m.word.Load() != w {
			return ErrLocked
		}
	}
	return errRestless
}

// lockSlow waits for the lock.
func (m *Mutex) lockSlow(ctx context.Context) error {
	if err := m.queue.lock(ctx, m.space.done); err != nil {
		return err
	}
	defer m.queue.unlock()
	defer runtime.KeepAlive(m.space)
	var slept uint64 // waitersBit once this process has slept: others may sleep still
	spun := false
	for {
		w, owner, err := m.take(slept)
		switch {
		case err != nil || owner == 0:
			return m.passOn(err, slept)
		case ctx.Err() != nil: // not only asleep: a peer can keep us from that
			return m.passOn(ctx.Err(), slept)
		case !spun:
			spun = true
			m.sleeper.Spin(func() bool { return (m.word.Load()^w)&^(waitersBit|diedBit) != 0 })
		case owner == m.space.self:
			if err := m.awaitUnlock(ctx); err != nil {
				return m.passOn(err, slept)
			}
		case w&waitersBit == 0:
			m.word.CompareAndSwap(w, w|waitersBit)
		default:
			slept = waitersBit
			if err := m.sleeper.Sleep(ctx, owner, m.word.Low(), uint32(w)); err != nil {
				return m.passOn(err, slept)
			}
		}
	}
}

// passOn ends a wait, with the lock or without. If this process has slept, an
// Unlock may have woken it and no other, so it wakes another: to take the lock, or to
// sleep on the liveness word of the owner that it has now. One who watches is enough:
// it takes the lock over when that owner dies, and passes on.
func (m *Mutex) passOn(err error, slept uint64) error {
	if slept == 0 {
		return err
	}
	if failed := word.Wake(m.word.Low(), 1); failed != nil {
		err = errors.Join(err, failed)
	}
	return err
}

// awaitUnlock waits for an Unlock of this process, for as long as a sleep may last:
// others can change the word, too. The caller holds the queue.
func (m *Mutex) awaitUnlock(ctx context.Context) error {
	m.waiting.Store(true)
	defer m.waiting.Store(false)
	// Announce, then look: an Unlock looks after having unlocked.
	if m.word.Load()&^(waitersBit|diedBit) != m.mine {
		return nil
	}
	again := time.NewTimer(Rearm)
	defer again.Stop()
	select {
	case <-m.bell: // perhaps for one who waited before
		return nil
	case <-again.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.space.done:
		return fs.ErrClosed
	}
}

// take takes the lock if it is free (owner 0, no error), or a dead owner's (with
// ErrOwnerDied), setting the bits of flags with it. Otherwise it answers whose it
// is.
func (m *Mutex) take(flags uint64) (w uint64, owner Owner, err error) {
	s := m.space
	for range patience {
		w = m.word.Load()
		if s.Closed() {
			return w, 0, fs.ErrClosed
		}
		if w == brokenBit {
			return w, 0, ErrNotRecoverable
		}
		if owner, err = s.lockOwner(w); err != nil {
			return w, 0, err
		}
		switch {
		case w == 0:
			if m.word.CompareAndSwap(0, m.mine|flags) {
				return w, 0, nil
			}
		case w == diedBit:
			if m.word.CompareAndSwap(w, m.mine|diedBit|waitersBit) {
				return w, 0, ErrOwnerDied
			}
		case owner == 0:
			return w, 0, ErrDamaged
		case !s.alive(owner):
			// Others may have slept on the word for as long as the owner lived.
			if m.word.CompareAndSwap(w, m.mine|diedBit|waitersBit) {
				return w, 0, ErrOwnerDied
			}
		default:
			return w, owner, nil
		}
	}
	return w, 0, errRestless
}

// Unlock gives the lock to whoever comes first. ErrNotOwner where this process
// does not hold it.
func (m *Mutex) Unlock() error {
	if m.space.Fragile() {
		return m.unlockGuarded()
	}
	return m.unlock()
}

func (m *Mutex) unlockGuarded() (err error) {
	defer m.space.Guard().End(&err)
	return m.unlock()
}

// unlock is Unlock without a guard.
func (m *Mutex) unlock() error {
	if m.word.CompareAndSwap(m.mine, 0) {
		if m.waiting.Load() {
			m.ring()
		}
		return nil
	}
	return m.giveBack(brokenBit)
}

// giveBack unlocks, and leaves a lock in repair as repair says.
func (m *Mutex) giveBack(repair uint64) error {
	defer runtime.KeepAlive(m.space)
	for range patience {
		w := m.word.Load()
		if w&^(waitersBit|diedBit) != m.mine {
			return m.notMine()
		}
		next, wake := uint64(0), m.wakes
		if w&diedBit != 0 {
			next, wake = repair, word.All
		}
		if !m.word.CompareAndSwap(w, next) {
			continue
		}
		if m.waiting.Load() {
			m.ring()
		}
		if w&waitersBit != 0 {
			return word.Wake(m.word.Low(), wake)
		}
		return nil
	}
	return errRestless
}

// ring ends an awaitUnlock.
func (m *Mutex) ring() {
	select {
	case m.bell <- struct{}{}:
	default: // it has rung
	}
}

// MarkConsistent says that what the lock guards is whole again, after a Lock with
// ErrOwnerDied. It changes nothing where there was none. ErrNotOwner where this
// process does not hold the lock.
func (m *Mutex) MarkConsistent() (err error) {
	defer m.space.Guard().End(&err)
	return m.markConsistent()
}

func (m *Mutex) markConsistent() error {
	for range patience {
		w := m.word.Load()
		if w&^(waitersBit|diedBit) != m.mine {
			return m.notMine()
		}
		if w&diedBit == 0 || m.word.CompareAndSwap(w, w&^diedBit) {
			return nil
		}
	}
	return errRestless
}

func (m *Mutex) notMine() error {
	if m.space.Closed() {
		return fs.ErrClosed
	}
	return ErrNotOwner
}

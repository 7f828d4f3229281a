package shmsync

import (
	"context"
	"errors"
	"io/fs"

	"github.com/memwright/mmap/internal/word"
)

// An RWMutex is a lock in shared memory that any number of readers hold, or one
// writer. Its zero is unlocked. A writer who waits keeps new readers out, so a
// goroutine that holds it for reading must not lock it for reading again.
//
// Its word is a Mutex's, and belongs to the writer; the readers are counted, each
// process's in a word of its own:
//
//	reader: counts itself, looks at the writer's word; if that is taken, counts
//	        itself out again and waits
//	writer: takes its word, looks at every count, and waits for each to be zero
//
// One of them sees the other, whatever the order. A reader who died is no reader:
// its count says whose it was. A writer who died leaves the lock to the next
// writer, with ErrOwnerDied; until one has repaired, readers get ErrNeedsRepair.
type RWMutex struct {
	space   *Space
	writer  *Mutex
	readers counts
	drain   *Sleeper // where the writer waits for readers
}

// countsOffset is how far the counts stand behind the words before them.
const countsOffset = 64

// RWMutexBytes is the size of an RWMutex in this Space; its offset is a multiple
// of 8, and better one of 64.
func (s *Space) RWMutexBytes() int { return countsOffset + s.mem.Slots*countBytes }

// RWMutex is the lock at a byte offset, a multiple of 8.
func (s *Space) RWMutex(off int64) (*RWMutex, error) {
	w, err := s.Word64(off)
	if err != nil {
		return nil, err
	}
	readers, err := s.countsAt(off + countsOffset)
	if err != nil {
		return nil, err
	}
	if s.self == 0 {
		return nil, ErrNoParticipant
	}
	return local(s, off, func() (*RWMutex, error) {
		return &RWMutex{space: s, writer: s.newMutex(w, word.All), readers: readers, drain: s.NewSleeper()}, nil
	})
}

// Lock locks for writing. Its errors are those of [Mutex.Lock].
func (rw *RWMutex) Lock(ctx context.Context) (err error) {
	defer rw.space.Guard().End(&err)
	return rw.exclude(rw.writer.lock(ctx), func(owner Owner, count *word.U32, n uint32) error {
		return rw.drain.Sleep(ctx, owner, count, n)
	})
}

// TryLock is Lock that never waits: ErrLocked where it would.
func (rw *RWMutex) TryLock() (err error) {
	defer rw.space.Guard().End(&err)
	return rw.exclude(rw.writer.tryLock(), func(owner Owner, _ *word.U32, _ uint32) error {
		if rw.space.marked(owner) {
			if alive, err := rw.space.Examine(owner); !alive || err != nil {
				return err
			}
		}
		return ErrLocked
	})
}

// exclude is called with the writer's word taken, and waits for the readers.
func (rw *RWMutex) exclude(locked error, wait func(owner Owner, count *word.U32, n uint32) error) error {
	if locked != nil && !errors.Is(locked, ErrOwnerDied) {
		return locked
	}
	err := rw.awaitReaders(wait)
	if rw.space.Closed() { // then the counts were not the shared ones any more
		err = fs.ErrClosed
	}
	if err != nil {
		// What needs repair still does.
		rw.writer.giveBack(diedBit) // an error says that the Space is closed
		return err
	}
	return locked
}

// awaitReaders waits until no count is left. It has a guard of its own: if the
// counts are gone, and the writer's word is not, that must be given back.
func (rw *RWMutex) awaitReaders(wait func(owner Owner, count *word.U32, n uint32) error) (err error) {
	defer rw.space.Guard().End(&err)
	for slot := range rw.space.mem.Slots {
		for {
			owner, n := rw.readers.of(slot)
			if owner == 0 {
				break
			}
			if err := wait(owner, rw.readers.words[slot].Low(), n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unlock ends what Lock began. Its errors are those of [Mutex.Unlock].
func (rw *RWMutex) Unlock() error { return rw.writer.Unlock() }

// MarkConsistent is that of [Mutex.MarkConsistent], for a writer.
func (rw *RWMutex) MarkConsistent() error { return rw.writer.MarkConsistent() }

// RLock locks for reading. It is held only if the error is nil: ctx's,
// ErrNeedsRepair, ErrNotRecoverable, fs.ErrClosed, ErrDamaged, ErrLost.
//
// A lock that no writer has is taken even if ctx has ended.
func (rw *RWMutex) RLock(ctx context.Context) (err error) {
	defer rw.space.Guard().End(&err)
	if ok, err := rw.tryRLock(); ok || err != nil {
		return err
	}
	// One goroutine of this process waits for the writer.
	if err := rw.writer.queue.lock(ctx, rw.space.done); err != nil {
		return err
	}
	defer rw.writer.queue.unlock()
	for {
		if err := rw.awaitWriter(ctx); err != nil {
			return err
		}
		if ok, err := rw.tryRLock(); ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil { // not only where there is a writer: a peer can pretend
			return err
		}
	}
}

// TryRLock is RLock that never waits: ErrLocked where it would.
func (rw *RWMutex) TryRLock() (err error) {
	defer rw.space.Guard().End(&err)
	ok, err := rw.tryRLock()
	if ok || err != nil {
		return err
	}
	owner, err := rw.writerNow()
	if err != nil {
		return err
	}
	if owner != 0 && rw.space.marked(owner) {
		alive, err := rw.space.Examine(owner)
		if err != nil {
			return err
		}
		if !alive {
			return ErrNeedsRepair
		}
	}
	return ErrLocked
}

// tryRLock counts this reader in, and out again if there is a writer.
func (rw *RWMutex) tryRLock() (bool, error) {
	if err := rw.readers.add(1); err != nil {
		return false, err
	}
	if rw.space.Closed() {
		return false, fs.ErrClosed
	}
	if rw.writer.word.Load() == 0 {
		return true, nil
	}
	return false, rw.runlock()
}

// RUnlock ends what RLock began. ErrNotOwner where this process holds no read
// lock.
func (rw *RWMutex) RUnlock() (err error) {
	defer rw.space.Guard().End(&err)
	return rw.runlock()
}

func (rw *RWMutex) runlock() error {
	left, err := rw.readers.sub(1)
	if err == nil && left == 0 && rw.writer.word.Load() != 0 {
		err = word.Wake(rw.readers.words[rw.space.self.Slot()].Low(), word.All)
	}
	return err
}

// writerNow is who has the writer's word, nobody if it is free.
func (rw *RWMutex) writerNow() (Owner, error) {
	w := rw.writer.word.Load()
	switch w {
	case 0:
		return 0, nil
	case brokenBit:
		return 0, ErrNotRecoverable
	case diedBit:
		return 0, ErrNeedsRepair
	}
	owner, err := rw.space.lockOwner(w)
	if err == nil && !rw.space.alive(owner) {
		err = ErrNeedsRepair
	}
	return owner, err
}

// awaitWriter waits until there is no writer. The caller holds the queue.
func (rw *RWMutex) awaitWriter(ctx context.Context) error {
	if rw.writer.sleeper.Spin(func() bool { return rw.writer.word.Load() == 0 }) {
		return nil
	}
	for {
		owner, err := rw.writerNow()
		if owner == 0 || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil { // not only asleep: a peer can keep us from that
			return err
		}
		w := rw.writer.word.Load()
		if now, err := rw.space.lockOwner(w); err != nil || now != owner {
			continue
		}
		if w&waitersBit == 0 {
			rw.writer.word.CompareAndSwap(w, w|waitersBit)
			continue
		}
		if err := rw.writer.sleeper.Sleep(ctx, owner, rw.writer.word.Low(), uint32(w)); err != nil {
			return err
		}
	}
}

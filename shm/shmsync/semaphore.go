package shmsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"

	"github.com/memwright/mmap/internal/word"
)

// A Semaphore has a number of permits in shared memory. A permit belongs to the
// process that acquired it: that process gives it back, and when it ends its
// permits come back by themselves.
//
// There is no count of free permits that a death could falsify. What each
// process has is one word, and what is free is what is left; the words are added
// up under a Mutex, so that two who acquire do not both take the last one.
//
//	0        8          12       16        64
//	┌────────┬──────────┬────────┬─────────┬───────────────────────────┐
//	│ Mutex  │ permits  │ bell   │ zero    │ counts, one a participant │
//	└────────┴──────────┴────────┴─────────┴───────────────────────────┘
//
// bell is what those sleep on who wait for permits: bit 0 says that somebody
// does, and who gives permits back then adds 1.
type Semaphore struct {
	space   *Space
	mutex   *Mutex
	permits uint32
	bell    *word.U32
	held    counts
	queue   queue
	sleeper *Sleeper
}

// SemaphoreBytes is the size of a Semaphore in this Space; its offset is a
// multiple of 8, and better one of 64.
func (s *Space) SemaphoreBytes() int { return countsOffset + s.mem.Slots*countBytes }

// Semaphore is the semaphore at a byte offset, a multiple of 8. Whoever asks for
// it first says how many permits there are, 1 to 2³¹-1; fs.ErrInvalid where
// somebody has said otherwise.
func (s *Space) Semaphore(off int64, permits int) (sem *Semaphore, err error) {
	if permits < 1 || permits > math.MaxInt32 {
		return nil, fmt.Errorf("%d permits: %w", permits, fs.ErrInvalid)
	}
	w, err := s.Word64(off)
	if err != nil {
		return nil, err
	}
	held, err := s.countsAt(off + countsOffset)
	if err != nil {
		return nil, err
	}
	if s.self == 0 {
		return nil, ErrNoParticipant
	}
	total, _ := s.Word32(off + 8)
	bell, _ := s.Word32(off + 12)
	defer s.Guard().End(&err)
	sem, err = local(s, off, func() (*Semaphore, error) {
		if total.CompareAndSwap(0, uint32(permits)); total.Load() != uint32(permits) {
			return nil, fmt.Errorf("%d permits, and there are %d: %w", permits, total.Load(), fs.ErrInvalid)
		}
		return &Semaphore{space: s, mutex: s.newMutex(w, 1), permits: uint32(permits), bell: bell, held: held,
			queue: newQueue(), sleeper: s.NewSleeper()}, nil
	})
	if err == nil && sem.permits != uint32(permits) {
		return nil, fmt.Errorf("%d permits, and there are %d: %w", permits, sem.permits, fs.ErrInvalid)
	}
	return sem, err
}

// Acquire waits for n permits and takes them, all at once. n is 1 to the number
// of all permits. One who waits for many can be overtaken by those who want few.
// Permits that are free are taken even if ctx has ended.
func (m *Semaphore) Acquire(ctx context.Context, n int) (err error) {
	defer m.space.Guard().End(&err)
	if err := m.queue.lock(ctx, m.space.done); err != nil {
		return err
	}
	defer m.queue.unlock()
	for {
		bell, holders, err := m.try(n, func() error { return m.mutex.lock(ctx) })
		if err != ErrLocked {
			return err
		}
		if err := ctx.Err(); err != nil { // not only asleep: a peer can keep us from that
			return err
		}
		if m.sleeper.Spin(func() bool { return m.bell.Load() != bell }) {
			continue
		}
		if err := m.sleeper.SleepAll(ctx, holders, m.bell, bell); err != nil {
			return err
		}
	}
}

// looks is how often a Try looks whether the Mutex is free: it is held for some
// stores at a time, unless its owner was stopped.
const looks = 100

// TryAcquire is Acquire that does not wait: ErrLocked where it would. It may say
// so, too, where others acquire at that moment.
func (m *Semaphore) TryAcquire(n int) (err error) {
	defer m.space.Guard().End(&err)
	if !m.queue.tryLock() {
		return ErrLocked
	}
	defer m.queue.unlock()
	lock := func() error {
		for range looks {
			if err := m.mutex.tryLock(); err == nil || !errors.Is(err, ErrLocked) {
				return err
			}
			runtime.Gosched()
		}
		return ErrLocked
	}
	_, holders, err := m.try(n, lock)
	if err != ErrLocked {
		return err
	}
	ended := false
	for _, o := range holders {
		if m.space.marked(o) {
			alive, err := m.space.Examine(o)
			if err != nil {
				return err
			}
			ended = ended || !alive
		}
	}
	if ended {
		_, _, err = m.try(n, lock)
	}
	return err
}

// try takes n permits if they are there, under the Mutex that lock locks.
// Otherwise, with ErrLocked, somebody will ring the bell, or is among the holders
// and ends; or the ErrLocked was lock's.
func (m *Semaphore) try(n int, lock func() error) (bell uint32, holders []Owner, err error) {
	if n < 1 || uint64(n) > uint64(m.permits) {
		return 0, nil, fmt.Errorf("%d of %d permits: %w", n, m.permits, fs.ErrInvalid)
	}
	if err := lock(); errors.Is(err, ErrOwnerDied) {
		err = m.mutex.markConsistent() // each word is whole at every step
		if err != nil {
			return 0, nil, err
		}
	} else if err != nil {
		return 0, nil, err
	}
	defer func() {
		if e := m.mutex.unlock(); e != nil && err == nil {
			err = e
		}
	}()
	// Announce, then look: who gives permits back looks after having done so.
	for range patience {
		bell = m.bell.Load()
		free, holders := m.free()
		switch {
		case free >= uint64(n):
			return 0, nil, m.held.add(uint32(n))
		case bell&1 != 0:
			return bell, holders, ErrLocked
		}
		m.bell.CompareAndSwap(bell, bell|1)
	}
	return 0, nil, errRestless
}

// free adds up what is held.
func (m *Semaphore) free() (free uint64, holders []Owner) {
	free = uint64(m.permits)
	for slot := range m.space.mem.Slots {
		if owner, n := m.held.of(slot); owner != 0 {
			free -= min(free, uint64(n))
			holders = append(holders, owner)
		}
	}
	return free, holders
}

// Release gives n permits back. ErrNotOwner where this process has less.
func (m *Semaphore) Release(n int) (err error) {
	defer m.space.Guard().End(&err)
	if n < 1 || uint64(n) > uint64(m.permits) {
		return fmt.Errorf("%d of %d permits: %w", n, m.permits, fs.ErrInvalid)
	}
	if _, err := m.held.sub(uint32(n)); err != nil {
		return err
	}
	for range patience {
		bell := m.bell.Load()
		if bell&1 == 0 {
			return nil
		}
		if m.bell.CompareAndSwap(bell, bell+1) {
			return word.Wake(m.bell, word.All)
		}
	}
	return errRestless
}

// Free is how many permits nobody has, at some moment during the call. Where the
// memory is lost, or the Space closed, it is 0, and Acquire says so.
func (m *Semaphore) Free() int {
	var err error
	defer m.space.Guard().End(&err)
	free, _ := m.free()
	if m.space.Closed() { // perhaps those were no longer the shared words
		return 0
	}
	return int(free)
}

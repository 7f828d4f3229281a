package shmsync

import (
	"context"

	"github.com/memwright/mmap/internal/word"
)

// An Event is a number in shared memory that Signal counts up, and that can be
// waited for. Nothing is missed by one who first reads the number, then looks for
// what they wait for, and then waits for another number:
//
//	for g := ev.Generation(); !ready(); g = ev.Generation() {
//		if err := ev.Wait(ctx, g); err != nil {
//			return err
//		}
//	}
//
// It belongs to nobody: whose death is to end the wait must be looked for by
// ready. The number has 31 bits and wraps.
type Event struct {
	space   *Space
	word    *word.U32 // the number, shifted by one; bit 0: somebody sleeps, or is about to
	queue   queue
	sleeper *Sleeper
}

// EventBytes is the size of an Event; its offset is a multiple of 8.
const EventBytes = 8

// Event is the event at a byte offset, a multiple of 8.
func (s *Space) Event(off int64) (*Event, error) {
	w, err := s.Word64(off)
	if err != nil {
		return nil, err
	}
	if s.self == 0 {
		return nil, ErrNoParticipant
	}
	return local(s, off, func() (*Event, error) {
		return &Event{space: s, word: w.Low(), queue: newQueue(), sleeper: s.NewSleeper()}, nil
	})
}

// Generation is the number. Where the memory is lost it is 0, and Wait says so.
func (e *Event) Generation() (generation uint32) {
	var err error
	defer e.space.Guard().End(&err)
	return e.number()
}

func (e *Event) number() uint32 { return e.word.Load() >> 1 }

// Signal counts up and wakes everybody who waits, in all processes. If nobody
// does, it enters no kernel.
func (e *Event) Signal() (err error) {
	defer e.space.Guard().End(&err)
	for range patience {
		v := e.word.Load()
		if !e.word.CompareAndSwap(v, (v|1)+1) {
			continue
		}
		if v&1 != 0 {
			err = word.Wake(e.word, word.All)
		}
		return e.space.unlessClosed(err)
	}
	return errRestless
}

// Wait waits until the number is another than generation. If it is so already, that
// is no error even if ctx has ended.
//
// One who signals and dies before the wake may be noticed 250 ms late.
func (e *Event) Wait(ctx context.Context, generation uint32) (err error) {
	defer e.space.Guard().End(&err)
	return e.space.unlessClosed(e.wait(ctx, generation))
}

// wait is Wait as long as the Space is open.
func (e *Event) wait(ctx context.Context, generation uint32) error {
	if e.number() != generation {
		return nil
	}
	if err := e.queue.lock(ctx, e.space.done); err != nil {
		return err
	}
	defer e.queue.unlock()
	if e.sleeper.Spin(func() bool { return e.number() != generation }) {
		return nil
	}
	for {
		v := e.word.Load()
		switch {
		case v>>1 != generation:
			return nil
		case ctx.Err() != nil: // not only asleep: a peer can keep us from that
			return ctx.Err()
		case v&1 == 0:
			e.word.CompareAndSwap(v, v|1)
		default:
			if err := e.sleeper.Sleep(ctx, 0, e.word, v); err != nil {
				return err
			}
		}
	}
}

package shmsync

import (
	"fmt"
	"io/fs"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/word"
)

// counts is how many of something each participant has: one word a slot, with the
// epoch of whose it is. So what one has who died is told from what the next one
// in the slot has, and is taken back by one store, exactly.
//
//	63                     32 31                      0
//	┌────────────────────────┬────────────────────────┐
//	│ epoch                  │ count                  │
//	└────────────────────────┴────────────────────────┘
type counts struct {
	space *Space
	words []word.U64 // one a slot
}

// countBytes is the size of one participant's count.
const countBytes = 8

// countsAt is the counts of all participants at a byte offset.
func (s *Space) countsAt(off int64) (counts, error) {
	if _, err := s.Word64(off); err != nil {
		return counts{}, err
	}
	b, err := s.Memory(off, s.mem.Slots*countBytes)
	if err != nil {
		return counts{}, err
	}
	return counts{s, mem.Slice[word.U64](mem.AddrOf(b), s.mem.Slots)}, nil
}

// of is how many the participant of a slot has, and who it is: nobody where
// there is none, or only what a dead one had, which it takes back.
func (c counts) of(slot int) (owner Owner, n uint32) {
	w := &c.words[slot]
	for range patience {
		v := w.Load()
		if n = uint32(v); n == 0 {
			return 0, 0
		}
		if epoch := v >> 32; epoch <= maxEpoch {
			owner = ownerOf(slot, uint32(epoch))
		}
		if c.space.alive(owner) {
			return owner, n
		}
		if w.CompareAndSwap(v, v>>32<<32) {
			return 0, 0
		}
	}
	return 0, 0 // whatever it is, nobody has it who lives
}

// add gives this participant n more. A number that can't be is damage.
func (c counts) add(n uint32) error {
	w := &c.words[c.space.self.Slot()]
	for range patience {
		v := w.Load()
		has := uint32(v)
		if uint32(v>>32) != c.space.self.epoch() {
			has = 0 // of one who died in this slot
		}
		if has+n < has {
			return fmt.Errorf("%d and %d more: %w", has, n, ErrDamaged)
		}
		if w.CompareAndSwap(v, uint64(c.space.self.epoch())<<32|uint64(has+n)) {
			return nil
		}
	}
	return errRestless
}

// sub takes n from this participant, and answers how many are left. ErrNotOwner
// where it has less.
func (c counts) sub(n uint32) (left uint32, err error) {
	w := &c.words[c.space.self.Slot()]
	for range patience {
		v := w.Load()
		if c.space.Closed() {
			return 0, fs.ErrClosed
		}
		if uint32(v>>32) != c.space.self.epoch() || uint32(v) < n {
			return 0, ErrNotOwner
		}
		if w.CompareAndSwap(v, v-uint64(n)) {
			return uint32(v) - n, nil
		}
	}
	return 0, errRestless
}

package ring

import (
	"fmt"
	"math"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// A record that is too long for the slots lies in a block of the slab. The block's
// word names the record that has it on loan, by slot and lap:
//
//	63  62      55 54     32 31        0
//	+---+----------+---------+----------+
//	| 1 | unused   | lap     | slot     |
//	+---+----------+---------+----------+
//
// So a block needs no state of its own: it is free when that record is over, and
// a record ends exactly once, whatever happens to those who use it. Lap and slot
// are the loan's generation: no second loan has the same.
//
//	free ──a record is claimed, and takes it──▶ on loan ──the record is over──▶ free
//
// The record's own slot holds the number of the block.
type loanWord uint64

func (r *Ring) loanFor(i uint64) loanWord { return loanWord(1<<63 | r.lap(i)<<32 | i&r.mask) }

// lendable goes to a free block, or fails with ErrFull and tells who is in the way.
func (p *Producer) lendable() (who shmsync.Owner, err error) {
	r := p.r
	if p.free() {
		return 0, nil
	}
	if r.Delivery != Overwrite {
		if who, err = r.reclaim(math.MaxUint64); err == nil && !p.free() {
			err = ErrFull
		}
		return who, err
	}
	// Over as many records as it takes to come to one that had a block.
	for range r.Slots {
		h := r.head.Load()
		b := r.lentTo(h).Load() // before it is passed, if it is a loan
		isLoan := record(r.state(h).Load()).kind() == loan
		if who, err = r.reclaim(h + 1); err != nil {
			return 0, err
		}
		if r.head.Load() == h {
			return who, ErrFull
		}
		if isLoan && b < uint64(r.Blocks) && r.repaid(loanWord(r.loans[b].Load())) {
			p.block = int(b)
			return 0, nil
		}
	}
	return 0, ErrFull // they are many, and were faster every time
}

// free goes to a free block, and reports whether there is one.
func (p *Producer) free() bool {
	for range p.r.Blocks {
		if p.r.repaid(loanWord(p.r.loans[p.block].Load())) {
			return true
		}
		p.nextBlock()
	}
	return false
}

func (p *Producer) nextBlock() {
	if p.block++; p.block >= p.r.Blocks {
		p.block = 0
	}
}

// borrow takes a free block for the record at i, which the caller has claimed.
// Others may have been faster since lendable.
func (p *Producer) borrow(i uint64) ([]byte, error) {
	r := p.r
	for range r.Blocks {
		b := p.block
		p.nextBlock()
		w := loanWord(r.loans[b].Load())
		if r.repaid(w) && r.loans[b].CompareAndSwap(uint64(w), uint64(r.loanFor(i))) {
			r.lentTo(i).Store(uint64(b))
			return r.blockBytes(b), nil
		}
	}
	return nil, ErrFull
}

// repaid reports whether the record that a block is on loan to is over.
func (r *Ring) repaid(w loanWord) bool {
	slot, lap := uint64(w&(1<<32-1)), uint64(w>>32)&(1<<lapBits-1)
	if w>>63 == 0 || slot > r.mask {
		return true
	}
	if rec := record(r.states[slot].Load()); rec.lap() != lap || rec.state() == done {
		return true
	}
	// It may be committed for ever where nobody takes records, until head has passed it.
	head := r.head.Load()
	return r.lap(head+(slot-head)&r.mask) != lap
}

// lent is the block that the record at i has on loan. Everything is read once, and
// checked: the number of the block, and that the block is lent to this record.
func (r *Ring) lent(i uint64, w record) ([]byte, error) {
	b := r.lentTo(i).Load()
	if b >= uint64(r.Blocks) || w.length() > r.BlockBytes || loanWord(r.loans[b].Load()) != r.loanFor(i) {
		return nil, fmt.Errorf("%w: the record at %d has no block on loan", ErrCorrupt, i)
	}
	return r.blockBytes(int(b))[:w.length():w.length()], nil
}

// lentTo is the number of the block that the record at i has on loan.
func (r *Ring) lentTo(i uint64) *word.U64 { return &words(r.data, int(i&r.mask)*r.SlotBytes, 1)[0] }

func (r *Ring) blockBytes(b int) []byte {
	return r.slab[b*up(r.BlockBytes, lineBytes):][:r.BlockBytes:r.BlockBytes]
}

// bytesOf is where the bytes of a committed record lie.
func (r *Ring) bytesOf(i uint64, w record) ([]byte, error) {
	if w.kind() == loan {
		return r.lent(i, w)
	}
	if w.kind() != plain {
		return nil, fmt.Errorf("%w: the record at %d is of kind %d", ErrCorrupt, i, w.kind())
	}
	from := int(i&r.mask) * r.SlotBytes
	return r.data[from : from+w.length() : from+w.length()], nil
}

package ring

import (
	"fmt"
	"io/fs"
	"math"
	"math/bits"

	"github.com/memwright/mmap/internal/word"
)

// The memory of a ring. Words that different sides store stand on lines of their
// own.
//
//	0    header: magic, shape     fixed when the ring is made
//	128  tail    how many slots have been claimed; may lag behind one record
//	256  next    where consumers look next, if every record goes to one of them
//	384  head    how many slots are free again; beyond tail by the record that tail lags
//	             behind at most, nor is tail beyond head + slots
//	512  readers consumers sleep here
//	640  writers producers sleep here
//	768  seats   128 bytes each: who sits there, up to where it has read, what was done from there
//	     states  8 bytes each: what became of the record that begins in a slot
//	     counts  8 bytes each: how many records lie before, if the oldest are overwritten
//	     blocks  8 bytes each: which record has the block on loan
//	     data    on a line boundary
//	     slab    on a page boundary
//
// tail, next, head and a seat's cursor count slots from the beginning and only
// grow, but for next, which goes back for a record that is delivered again.
const (
	ringMagic = 0x32307365676e6972 // "ringes02", the lowest byte first

	tailAt    = 1 * lineBytes
	nextAt    = 2 * lineBytes
	headAt    = 3 * lineBytes
	readersAt = 4 * lineBytes
	writersAt = 5 * lineBytes
	seatsAt   = 6 * lineBytes

	blockAlign = 4096

	mostSeats = 1<<seatBits - 1
	mostSlots = 1 << 28
	mostBytes = 1 << 28 // of the data; a record's length has as many bits
)

// Delivery says who gets a record.
type Delivery uint8

const (
	// ToOne: each record goes to one consumer. A consumer that dies before Release
	// has not had it: another gets it again. A full ring keeps producers waiting.
	ToOne Delivery = iota
	// ToAll: each record goes to every consumer that had joined before it was
	// claimed. The slowest of them keeps producers waiting; one that dies does not.
	ToAll
	// Overwrite: a full ring loses its oldest record. Readers copy, hold nobody up,
	// may be read-only, and count exactly what they have missed.
	Overwrite
)

// Options is the shape of a ring. What is zero gets the default in brackets.
type Options struct {
	Delivery   Delivery
	Slots      int    // a power of two from 4; all slots have 2^28 bytes at most [1024]
	SlotBytes  int    // a multiple of 8; a record takes as many slots as hold it [64]
	Seats      int    // producers and consumers at a time, 1 to 255 [32]
	Blocks     int    // blocks of the slab, for records of more than half the ring [0]
	BlockBytes int    // bytes of each [0]
	Type       uint64 // a number both sides must agree on, such as shm.ABI of the records' type [0]
}

// shape is Options made complete and checked, and where everything stands.
type shape struct {
	Options
	states, counts, blocks, data, slab, size int
}

func (o Options) shape() (shape, error) {
	o.Slots = either(o.Slots, 1024)
	o.SlotBytes = either(o.SlotBytes, 64)
	o.Seats = either(o.Seats, 32)
	s := shape{Options: o}
	switch {
	case o.Delivery > Overwrite:
		return s, fmt.Errorf("ring: there is no delivery %d: %w", o.Delivery, fs.ErrInvalid)
	case o.Slots < 4 || o.Slots > mostSlots || bits.OnesCount(uint(o.Slots)) != 1:
		return s, fmt.Errorf("ring: %d slots: not a power of two from 4 to %d: %w", o.Slots, mostSlots, fs.ErrInvalid)
	case o.SlotBytes < 8 || o.SlotBytes%8 != 0 || o.SlotBytes > mostBytes/o.Slots:
		return s, fmt.Errorf("ring: slots of %d bytes: not a multiple of 8, or more than %d bytes in all: %w", o.SlotBytes, mostBytes, fs.ErrInvalid)
	case o.Seats < 1 || o.Seats > mostSeats:
		return s, fmt.Errorf("ring: %d seats, not 1 to %d: %w", o.Seats, mostSeats, fs.ErrInvalid)
	case o.Blocks < 0 || o.Blocks > mostSlots || o.BlockBytes < 0 || o.BlockBytes >= 1<<lengthBits || (o.Blocks == 0) != (o.BlockBytes == 0):
		return s, fmt.Errorf("ring: a slab of %d blocks of %d bytes, not both or neither, or not below %d bytes: %w", o.Blocks, o.BlockBytes, 1<<lengthBits, fs.ErrInvalid)
	}
	s.states = seatsAt + o.Seats*lineBytes
	s.counts = s.states + 8*o.Slots
	s.blocks = s.counts
	if o.Delivery == Overwrite {
		s.blocks += 8 * o.Slots
	}
	s.data = up(s.blocks+8*o.Blocks, lineBytes)
	s.slab = s.data + o.Slots*o.SlotBytes
	s.size = s.slab
	if o.Blocks > 0 {
		s.slab = up(s.slab, blockAlign)
		most := uint64(math.MaxInt) - uint64(s.slab)
		if uint64(o.Blocks)*uint64(up(o.BlockBytes, lineBytes)) > most {
			return s, fmt.Errorf("ring: a slab of %d blocks of %d bytes: %w", o.Blocks, o.BlockBytes, fs.ErrInvalid)
		}
		s.size = s.slab + o.Blocks*up(o.BlockBytes, lineBytes)
	}
	return s, nil
}

// Size is how many bytes of a segment a ring of this shape takes.
func (o Options) Size() (int, error) {
	s, err := o.shape()
	return s.size, err
}

// longest is the most bytes that a record in the slots may have: half of them.
// One that does not fit before the end goes to the beginning, and padding of
// less than its own length is left behind.
func (s *shape) longest() int { return s.Slots * s.SlotBytes / 2 }

// The header's words. Both sides work on checked copies.
const (
	hMagic = iota
	hDelivery
	hSlots
	hSlotBytes
	hSeats
	hBlocks
	hBlockBytes
	hType
	headerWords
)

// write stores the shape, and the magic last.
func (s *shape) write(h []word.U64) {
	for i, v := range []int{hDelivery: int(s.Delivery), hSlots: s.Slots, hSlotBytes: s.SlotBytes, hSeats: s.Seats,
		hBlocks: s.Blocks, hBlockBytes: s.BlockBytes} {
		h[i].Store(uint64(v))
	}
	h[hType].Store(s.Type)
	h[hMagic].Store(ringMagic)
}

// readShape reads each word once and checks it.
func readShape(h []word.U64) (shape, error) {
	if magic := h[hMagic].Load(); magic != ringMagic {
		return shape{}, fmt.Errorf("%w: no ring stands there", ErrCorrupt)
	}
	var v [headerWords]int
	for i := hDelivery; i < hType; i++ {
		n := h[i].Load()
		if n > mostBytes { // beyond everything that is allowed
			return shape{}, fmt.Errorf("%w: word %d of the header is %#x", ErrCorrupt, i, n)
		}
		v[i] = int(n)
	}
	if v[hDelivery] > int(Overwrite) || v[hSlots] == 0 || v[hSlotBytes] == 0 || v[hSeats] == 0 {
		return shape{}, fmt.Errorf("%w: the header has no shape", ErrCorrupt)
	}
	s, err := Options{Delivery(v[hDelivery]), v[hSlots], v[hSlotBytes], v[hSeats], v[hBlocks], v[hBlockBytes], h[hType].Load()}.shape()
	if err != nil {
		return s, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return s, nil
}

func either(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func up(n, to int) int { return (n + to - 1) / to * to }

// suits compares with what somebody expects. Zeros expect nothing.
func (s *shape) suits(o Options) error {
	differs := func(want, is int) bool { return want != 0 && want != is }
	if o.Delivery != s.Delivery || differs(o.Slots, s.Slots) || differs(o.SlotBytes, s.SlotBytes) || differs(o.Seats, s.Seats) ||
		differs(o.Blocks, s.Blocks) || differs(o.BlockBytes, s.BlockBytes) || o.Type != 0 && o.Type != s.Type {
		return fmt.Errorf("ring: the ring is %+v, not %+v: %w", s.Options, o, fs.ErrInvalid)
	}
	return nil
}

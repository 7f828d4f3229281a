package shmsync

import "fmt"

// An Owner names a participant of a Space for as long as it takes part: its slot
// in the table and the slot's epoch. Zero is nobody. It is how a word in shared
// memory says whose it is: process ids mean nothing across containers, and they
// come back.
//
//	31              10 9         0
//	┌─────────────────┬───────────┐
//	│ epoch, 22 bits  │ slot + 1  │
//	└─────────────────┴───────────┘
//
// No two participants of a Space ever have the same Owner: a slot whose epochs
// are used up is not given out again.
type Owner uint32

const (
	slotBits  = 10
	slotMask  = 1<<slotBits - 1
	epochBits = 22

	// MaxSlots is the most participants that a Space can have at once.
	MaxSlots = slotMask
	// maxEpoch is the last epoch of a slot.
	maxEpoch = 1<<epochBits - 1
)

func ownerOf(slot int, epoch uint32) Owner { return Owner(epoch<<slotBits | uint32(slot+1)) }

// Slot is the participant's place in the table, -1 for nobody. It was read from
// shared memory: compare it with Slots before use.
func (o Owner) Slot() int { return int(o&slotMask) - 1 }

func (o Owner) epoch() uint32 { return uint32(o >> slotBits) }

// String is "slot.epoch".
func (o Owner) String() string {
	if o.Slot() < 0 {
		return "nobody"
	}
	return fmt.Sprintf("%d.%d", o.Slot(), o.epoch())
}

package ring

// Every slot of a ring has a word that says what became of the record that
// begins there. It is the only truth about the record: each change is one
// compare-and-swap, and whoever holds a record up is named in it.
//
//	63   41 40  39  38   37  36 35   28 27      0
//	+------+-------+------+------+------+--------+
//	| lap  | state | seen | kind | seat | length |
//	+------+-------+------+------+------+--------+
//
//	lap     how often the ring had been filled when the record was claimed, plus 1, modulo 2^23
//	seen    a consumer that died, or gave the record back, has had it
//	seat    who has claimed or taken it; 0 when nobody has
//	length  bytes of the record. It takes as many slots as hold them, and one at least
//
//	done      -> claimed    a producer wants to fill it. It was free: its lap lies behind
//	done      -> done       padding in front of the ring's end, done from the beginning
//	done      -> committed  the end of the ring's life, which nothing follows
//	claimed   -> committed  the producer has filled it
//	claimed   -> done       the producer gave up, or died
//	committed -> taken      a consumer has it
//	taken     -> done       the consumer has released it
//	taken     -> committed  the consumer gave it back, or died: seen is set
//
// Where every consumer gets every record, and where the oldest are overwritten,
// no record is taken: it stays committed until its slots are claimed anew.
//
// A record of several slots uses the word of the first. The others keep what
// they had, with laps of long ago. So that no such lap comes round again, who
// claims renews them in one lap of 2^16.
type record uint64

const (
	lengthBits = 28
	seatBits   = 8
	lapBits    = 23

	seatShift  = lengthBits
	kindShift  = seatShift + seatBits
	seenShift  = kindShift + 2
	stateShift = seenShift + 1
	lapShift   = stateShift + 2

	renewLaps = 1 << 16
)

type state uint8

const (
	done state = iota
	claimed
	committed
	taken
)

type kind uint8

const (
	plain kind = iota // the bytes lie in the record's own slots
	loan              // they lie in a block of the slab, which is named in the record's slots
	pad               // there are none
	end               // the ring ends here
)

func newRecord(lap uint64, s state, k kind, seat, length int) record {
	return record(lap<<lapShift) | record(s)<<stateShift | record(k)<<kindShift |
		record(seat)<<seatShift | record(length)
}

func (r record) lap() uint64  { return uint64(r >> lapShift) }
func (r record) state() state { return state(r >> stateShift & 3) }
func (r record) seen() bool   { return r>>seenShift&1 != 0 }
func (r record) kind() kind   { return kind(r >> kindShift & 3) }
func (r record) seat() int    { return int(r >> seatShift & (1<<seatBits - 1)) }
func (r record) length() int  { return int(r & (1<<lengthBits - 1)) }

// becomes is r in state s, held by seat.
func (r record) becomes(s state, seat int) record {
	return r&^(3<<stateShift|(1<<seatBits-1)<<seatShift) | record(s)<<stateShift | record(seat)<<seatShift
}

// again is r committed anew after somebody has had it.
func (r record) again() record { return r.becomes(committed, 0) | 1<<seenShift }

// shortened is r with n bytes.
func (r record) shortened(n int) record { return r&^(1<<lengthBits-1) | record(n) }

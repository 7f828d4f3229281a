package vmem

// An EventKind says what happened inside a step.
type EventKind uint8

// The events, in the order in which a reader meets them. Faults first, each
// with the process and the address; then what moved bytes, N of them; then
// what changed a page's state.
const (
	FaultMinor  EventKind = iota // the page was in memory: an entry was missing
	FaultMajor                   // the page came from the Store
	FaultZero                    // a read of untouched private memory: the page of zeros
	FaultFresh                   // a write of untouched memory: a page of its own
	FaultCopy                    // a write to a private page that others see: a copy
	FaultReuse                   // a write to a private page that nobody else has any more
	FaultNotify                  // the first write to a clean shared page: it is dirty now
	FaultSegv                    // no area, or it forbids this
	FaultBus                     // an area, and nothing behind it

	BytesIn      // from a Store into a page
	BytesOut     // from a page into its Store
	BytesCopied  // from page to page: copy-on-write
	BytesRead    // from a page to a reader's memory, by the call read
	BytesWritten // from a writer's memory to a page, by the call write
	BytesZeroed  // a page, or a part of one, was filled with zeros

	Evicted // a page left memory
	Synced  // a Store was told to make what it has durable
	eventKinds
)

var eventNames = [eventKinds]string{
	"minor fault", "major fault", "zero page", "fresh page", "copy-on-write", "reuse", "write notify",
	"SIGSEGV", "SIGBUS", "store to page", "page to store", "page to page", "page to reader",
	"writer to page", "zero fill", "evict", "sync",
}

// String names the kind in a few words.
func (k EventKind) String() string { return eventNames[k] }

// An Event is told to [Machine.Trace]. Fields that do not apply are zero.
type Event struct {
	Kind    EventKind
	Process *Process // whose fault it is
	Addr    Addr     // the page's address there, or the fault's
	Object  *Object  // whose page it is; nil for private memory
	Off     int64    // where in the object, in bytes
	N       int      // bytes that moved
	Frame   int      // the frame that the step filled, wrote, or dropped
	From    int      // the frame that was copied, for BytesCopied
}

// Counters say how often each thing happened.
type Counters struct {
	Events [eventKinds]int   // how often, by kind
	Bytes  [eventKinds]int64 // how many bytes, by kind
	Calls  map[string]int    // calls by their system call's name
}

// tell counts an event and passes it on.
func (m *Machine) tell(e Event) {
	m.counters.Events[e.Kind]++
	m.counters.Bytes[e.Kind] += int64(e.N)
	if m.Trace != nil {
		m.Trace(e)
	}
}

func (m *Machine) call(name string) { m.counters.Calls[name]++ }

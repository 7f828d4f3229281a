package shmnet

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/ring"
	"github.com/memwright/mmap/shm/shmsync"
)

// A lane is one direction of a connection at one end: who uses it, until when, and
// how it waits. The states of the word in which it says how it is to be woken:
//
//	none ──nothing found, waits are short──▶ futex ──found, or a millisecond is over──▶ none
//	none ──nothing found──────────────────▶ bell  ──found, or not to wait any more──▶ none
//	                          futex, bell ──the peer, before it wakes us──▶ none
type lane struct {
	sync.Mutex // held by the call that uses side, for as long as it waits too
	side       side
	look       func() bool // whether there is something to do in the ring, or to tell

	until deadline
	over  atomic.Bool // nothing comes any more: look at Conn

	spin   shmsync.Spinner
	bell   chan struct{} // a token: look again
	cancel word.U32      // bumped to end a doze; no other process sees it
	dozing atomic.Bool
}

// side is what lane needs of a [ring.StreamReader] and a [ring.StreamWriter].
type side interface {
	Arm(ring.Wake)
	Word() *word.U32
	Notify() (bool, error)
}

const (
	// dozeMost is how long a doze lasts at most, and how long waits may have lasted
	// of late for one to begin: a thread for so long is a price worth paying.
	dozeMost = time.Millisecond / 4
	// dozersMost is how many threads may be spent so at once.
	dozersMost = 4
)

// dozers counts the goroutines of this process that doze. They hold a P until the
// runtime takes it away from them, so one is left, as from spinners.
var dozers atomic.Int64

func (l *lane) begin(s side, look func() bool) {
	l.side, l.look, l.bell, l.until.kick = s, look, make(chan struct{}, 1), l.kick
}

// wait waits until there is something to do in the ring, until kick, or for no
// reason.
func (l *lane) wait() {
	if l.spin.Spin(l.look) {
		return
	}
	began := now()
	if !l.doze() {
		l.park()
	}
	l.side.Arm(ring.WakeNone)
	l.spin.Slept(time.Duration(now() - began))
}

// news reports whether it is time to look again.
func (l *lane) news() bool { return l.over.Load() || l.until.passed() || l.look() }

// doze sleeps in the kernel, if that is worth a thread. It reports false when
// there is no news yet.
func (l *lane) doze() bool {
	if l.spin.Recent() > dozeMost {
		return false
	}
	defer dozers.Add(-1)
	if dozers.Add(1) > min(dozersMost, int64(runtime.GOMAXPROCS(0)-1)) {
		return false
	}
	l.dozing.Store(true)
	defer l.dozing.Store(false)
	for end := now() + int64(dozeMost); ; {
		mark := l.cancel.Peek()
		l.side.Arm(ring.WakeFutex)
		if l.news() {
			return true
		}
		left := end - now()
		if left <= 0 {
			return false
		}
		_, err := word.Sleep(time.Duration(left), word.Wait{Word: l.side.Word(), Value: uint32(ring.WakeFutex)}, word.Wait{Word: &l.cancel, Value: mark})
		if err != nil {
			return false
		}
	}
}

// park waits for the bell. It costs no thread.
func (l *lane) park() {
	for {
		select {
		case <-l.bell: // for what we have seen already
		default:
		}
		l.side.Arm(ring.WakeBell)
		if l.news() {
			return
		}
		<-l.bell
	}
}

// ring has a wait that has parked look again. It touches no shared memory.
func (l *lane) ring() {
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// kick has any wait look again: over was set, or the deadline has passed. It
// touches no shared memory.
func (l *lane) kick() {
	l.ring()
	l.cancel.Bump()
	if l.dozing.Load() {
		word.Wake(&l.cancel, word.All)
	}
}

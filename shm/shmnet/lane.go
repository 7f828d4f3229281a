package shmnet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/ring"
	"github.com/memwright/mmap/shm/shmsync"
)

// A lane is one direction of a connection at one end: who uses it, until when, and
// how it waits. The states of the word in which it says how it is to be woken:
//
//	none ──nothing found, in a spin neither──▶ bell
//	bell ──the peer, before it rings────────▶ none
//	bell ──found, or not to wait any more───▶ none
type lane struct {
	sync.Mutex // held by the call that uses side, for as long as it waits too
	side       side
	look       func() bool // whether there is something to do in the ring, or to tell

	until deadline
	over  atomic.Bool // nothing comes any more: Conn says why

	spin   shmsync.Spinner
	bell   *bell
	number uint32        // of the bell's lanes: 1 or 2
	waits  word.U32      // 1: parked, and a ring may be meant for it
	token  chan struct{} // holds one: look again

	// Made once, so that to ring allocates nothing. Who holds the lane uses it.
	ringing func(fd uintptr) bool
	rang    error
}

// side is what lane needs of a [ring.StreamReader] and a [ring.StreamWriter].
type side interface {
	Arm(ring.Wake)
	Armed() ring.Wake
	Notify() (bool, error)
}

// begin makes a lane of a side and its connection's bell.
func (l *lane) begin(s side, b *bell, look func() bool) {
	l.side, l.bell, l.look, l.token = s, b, look, make(chan struct{}, 1)
	l.until.kick = func() { b.kick(l) }
	l.ringing = func(fd uintptr) bool {
		l.rang = sys.SendNow(int(fd), oneByte[:])
		return true
	}
}

// wait waits until there is something to do in the ring, until ring, or for no
// reason. A spin looks at nothing but the ring: it is over so soon that a deadline
// can wait.
func (l *lane) wait() {
	if l.spin.Spin(l.look) {
		return
	}
	began := now()
	l.park()
	l.spin.Slept(time.Duration(now() - began))
}

// park waits for the bell. It costs no thread.
func (l *lane) park() {
	l.waits.Store(1)
	for {
		select {
		case <-l.token: // for what we have seen already
		default:
		}
		if !l.bell.admit(l) {
			l.follow()
			continue
		}
		l.side.Arm(ring.WakeBell)
		news := l.news()
		if !news {
			l.bell.wait(l)
		}
		if l.side.Armed() != ring.WakeNone {
			l.side.Arm(ring.WakeNone) // no ring comes but one that is on its way
		}
		if news {
			break
		}
	}
	l.waits.Store(0)
}

// news reports whether it is time to look again.
func (l *lane) news() bool { return l.over.Load() || l.until.passed() || l.look() }

// rung reports whether l waits and need not: the peer has seen that it is armed,
// or there was a kick. Who asks holds a lane, so that the memory is mapped.
func (l *lane) rung() bool {
	return l.waits.Load() == 1 && (l.side.Armed() != ring.WakeBell || l.over.Load() || l.until.passed())
}

// ring has l look again if it follows. It touches no shared memory.
func (l *lane) ring() {
	word.Place("token")
	select {
	case l.token <- struct{}{}:
	default: // there is a token
	}
}

// follow waits for a token.
func (l *lane) follow() {
	word.Place("follow")
	<-l.token
}

var oneByte [1]byte

// ringPeer rings at the other end. It fails where no ring can be sent, which leaves
// a peer asleep that waits for it: the peer is gone, or does not empty its socket,
// or the kernel has no memory for a byte.
func (l *lane) ringPeer() error {
	if l.bell.raw.Write(l.ringing) != nil {
		return nil // closed by us
	}
	return l.rang
}

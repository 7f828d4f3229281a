package shmnet

import (
	"sync"
	"sync/atomic"
	"time"

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

	spin shmsync.Spinner
	bell chan struct{} // a token: look again
}

// side is what lane needs of a [ring.StreamReader] and a [ring.StreamWriter].
type side interface {
	Arm(ring.Wake)
	Armed() ring.Wake
	Notify() (bool, error)
}

func (l *lane) begin(s side, look func() bool) {
	l.side, l.look, l.bell, l.until.kick = s, look, make(chan struct{}, 1), l.ring
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
	for {
		select {
		case <-l.bell: // for what we have seen already
		default:
		}
		l.side.Arm(ring.WakeBell)
		if l.news() {
			break
		}
		<-l.bell
	}
	if l.side.Armed() != ring.WakeNone {
		l.side.Arm(ring.WakeNone)
	}
}

// news reports whether it is time to look again.
func (l *lane) news() bool { return l.over.Load() || l.until.passed() || l.look() }

// ring has a wait look again: the peer has rung, over was set, or the deadline has
// passed. It touches no shared memory.
func (l *lane) ring() {
	select {
	case l.bell <- struct{}{}:
	default: // there is a token
	}
}

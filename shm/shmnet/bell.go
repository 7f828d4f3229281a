package shmnet

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

// A bell is the socket of a connection: a byte on it, of any value, is a ring, and
// says that it is time to look again, in both directions. Of the two lanes that may
// wait the first waits on the socket, so that nothing stands between the ring and
// its call. It leads. The other waits for a token, and may lead next:
//
//	idle ──parked──▶ leads ──rung, kicked───▶ idle    and the other gets a token
//	idle ──parked, the other leads──▶ follows ──token──▶ idle
type bell struct {
	socket *net.UnixConn // no other process has this end of it
	raw    syscall.RawConn
	lanes  [2]*lane

	leader atomic.Pointer[lane]

	// The leader's.
	began     bool // it has looked whether it was rung for already
	hearing   func(fd uintptr) bool
	receiving func(fd uintptr)
	heard     [2 * unreadRings]byte // what was received: nobody looks at it

	// Rings that may lie in the socket. Each arming of a word brings one at most.
	// They are left there: the poller tells of each that comes, and to receive one
	// wakes the peer's poller, since there is room again.
	unread atomic.Int32
}

// unreadRings is after how many rings the socket is emptied. The smallest buffer
// that a socket can have holds 5 (socket(7), SO_SNDBUF; the kernel counts some 768
// bytes for each), and one more can be on its way.
const unreadRings = 4

// hang makes a bell of a socket.
func (b *bell) hang(socket *net.UnixConn, lanes ...*lane) (err error) {
	b.socket, b.lanes, b.hearing = socket, [2]*lane(lanes), b.hear
	b.receiving = func(fd uintptr) { sys.ReceiveNow(int(fd), b.heard[:]) }
	b.raw, err = socket.SyscallConn()
	return err
}

// wait waits, for a lane that has armed its word, until somebody rings or kicks,
// or for no reason.
func (b *bell) wait(l *lane) {
	if !b.leader.CompareAndSwap(nil, l) {
		<-l.token
		return
	}
	b.began = false
	if b.raw.Read(b.hearing) != nil {
		b.socket.SetReadDeadline(time.Time{}) // kicked: only who leads takes that back
	}
	b.pass(l)
}

// hear is called by the poller: once it has forgotten what came before, and each
// time something has come since.
func (b *bell) hear(uintptr) bool {
	if b.began {
		wakeMonitor()
		return true
	}
	b.began = true
	l := b.leader.Load()
	if other := b.other(l); other.rung() {
		other.ring()
	}
	return l.rung()
}

// pass ends the lead of l. The other lane may have been rung for, and may lead.
func (b *bell) pass(l *lane) {
	b.leader.Store(nil)
	if other := b.other(l); other.waits.Load() {
		other.ring()
	}
}

// empty takes the rings out of the socket once there may be too many.
func (b *bell) empty(l *lane) {
	if b.unread.Add(1) <= unreadRings || !b.leader.CompareAndSwap(nil, l) {
		return // not so many, or who leads does it when it parks again
	}
	b.unread.Store(1)
	b.raw.Control(b.receiving)
	b.pass(l)
}

// kick has l look again, though nobody has rung: over is set or its deadline has
// passed.
func (b *bell) kick(l *lane) {
	l.ring()
	if b.leader.Load() == l {
		b.socket.SetReadDeadline(past)
	}
}

func (b *bell) other(l *lane) *lane {
	if b.lanes[0] == l {
		return b.lanes[1]
	}
	return b.lanes[0]
}

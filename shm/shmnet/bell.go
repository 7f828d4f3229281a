package shmnet

import (
	"syscall"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
)

// A bell is the socket of a connection: a byte on it, of any value, is a ring, and
// says that it is time to look again, in both directions. Of the two lanes that may
// wait the first waits on the socket, so that nothing stands between the ring and
// its call. It leads. The other waits for a token, and may lead next:
//
//	idle ──parked──▶ leads ──rung, kicked───▶ idle    and the other gets a token
//	idle ──parked, the other leads──▶ follows ──token──▶ idle
type bell struct {
	socket socket // no other process has this end of it
	raw    syscall.RawConn
	lanes  [2]*lane

	leader word.U32 // the number of the lane that leads, or 0

	// The leader's.
	began     bool // it has looked whether it was rung for already
	hearing   func(fd uintptr) bool
	receiving func(fd uintptr)
	heard     [unreadRings + 2]byte // what was received: nobody looks at it

	// Rings that may lie in the socket, or come: each arming of a word brings one at
	// most, and an arming that would be one too many waits. They are left there: the
	// poller tells of each that comes, and to receive one wakes the peer's poller,
	// since there is room again.
	unread word.U32
}

// A socket is what a bell needs of a *net.UnixConn.
type socket interface {
	syscall.Conn
	SetReadDeadline(time.Time) error
	Close() error
}

// unreadRings is how many rings lie in the socket at most, but for 2 that were on
// their way when it was emptied last, one for each lane. The smallest buffer that a
// socket can have holds 6 (socket(7), SO_SNDBUF; the kernel counts some 768 bytes for
// each).
const unreadRings = 4

// hang makes a bell of a socket.
func (b *bell) hang(s socket, lanes ...*lane) (err error) {
	b.socket, b.lanes, b.hearing = s, [2]*lane(lanes), b.hear
	b.receiving = func(fd uintptr) { sys.ReceiveNow(int(fd), b.heard[:]) }
	for i, l := range lanes {
		l.number = uint32(i + 1)
	}
	b.raw, err = s.SyscallConn()
	return err
}

// wait waits, for a lane that has armed its word, until somebody rings or kicks,
// or for no reason.
func (b *bell) wait(l *lane) {
	if !b.leader.CompareAndSwap(0, l.number) {
		l.follow()
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
	l := b.lanes[b.leader.Load()-1]
	if other := b.other(l); other.rung() {
		other.ring()
	}
	return l.rung()
}

// pass ends the lead of l. The other lane may have been rung for, and may lead.
func (b *bell) pass(l *lane) {
	b.leader.Store(0)
	if other := b.other(l); other.waits.Load() == 1 {
		other.ring()
	}
}

// admit counts a ring that l may bring, and takes those out of the socket that lie
// there when it would be one too many. That is for who leads alone: what is received
// may be what its poller was about to tell. Where another leads, l is not admitted,
// that one's lead ends, and l gets a token.
func (b *bell) admit(l *lane) bool {
	if b.unread.Add(1) <= unreadRings {
		return true
	}
	if !b.leader.CompareAndSwap(0, l.number) {
		b.socket.SetReadDeadline(past)
		return false
	}
	b.unread.Store(unreadRings) // nobody is admitted meanwhile, if another has emptied it
	b.raw.Control(b.receiving)
	b.unread.Store(2) // l's, and one that the other lane was admitted for
	b.pass(l)
	return true
}

// kick has l look again, though nobody has rung: over is set or its deadline has
// passed.
func (b *bell) kick(l *lane) {
	l.ring()
	if b.leader.Load() == l.number {
		b.socket.SetReadDeadline(past)
	}
}

func (b *bell) other(l *lane) *lane { return b.lanes[2-l.number] }

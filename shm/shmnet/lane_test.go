package shmnet

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/shm/ring"
)

// lateSide is a ring whose peer commits just before it can see that we are armed.
type lateSide struct {
	armed     ring.Wake
	committed bool
}

func (s *lateSide) Arm(how ring.Wake)     { s.armed, s.committed = how, true }
func (s *lateSide) Armed() ring.Wake      { return s.armed }
func (s *lateSide) Notify() (bool, error) { return false, nil }

// laneOf is a lane of s on a bell of its own, and how to ring that.
func laneOf(t *testing.T, s side, look func() bool) (l *lane, ring func()) {
	l, _, ring = lanesOf(t, s, s, look)
	return l, ring
}

func lanesOf(t *testing.T, s, otherSide side, look func() bool) (l, other *lane, ring func()) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ours, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	b := new(bell)
	l, other = new(lane), new(lane)
	l.begin(s, b, look)
	other.begin(otherSide, b, look)
	if err := b.hang(ours.(*net.UnixConn), l, other); err != nil {
		t.Fatal(err)
	}
	peer, err := theirs.(*net.UnixConn).SyscallConn()
	if err == nil {
		err = theirs.(*net.UnixConn).SetWriteBuffer(1) // the smallest that there is
	}
	if err != nil {
		t.Fatal(err)
	}
	return l, other, func() {
		var rang error
		err := peer.Control(func(fd uintptr) { rang = sys.SendNow(int(fd), oneByte[:]) })
		if err := errors.Join(err, rang); err != nil {
			t.Errorf("it can't be rung for: %v", err)
		}
	}
}

// TestParkLooksOnceMore: what comes between the look and the word rings no bell.
func TestParkLooksOnceMore(t *testing.T) {
	s := new(lateSide)
	l, _ := laneOf(t, s, func() bool { return s.committed })
	parked := make(chan error, 1)
	go func() { l.park(); parked <- nil }()
	for len(parked) == 0 {
		if l.bell.leader.Load() != 0 {
			t.Fatal("it waits, and it is there")
		}
		runtime.Gosched()
	}
	<-parked
	if s.armed != ring.WakeNone {
		t.Errorf("it wants to be woken still: %v", s.armed)
	}
}

// TestARingBeforeTheWait: the peer has seen the word and rung, and the poller has
// told of it to nobody, before the wait begins.
func TestARingBeforeTheWait(t *testing.T) {
	s := new(lateSide)
	looks := 0
	var rung func()
	l, rung := laneOf(t, s, func() bool {
		if looks++; looks == 1 {
			s.armed = ring.WakeNone
			rung()
			time.Sleep(20 * time.Millisecond)
		}
		return looks > 1
	})
	parked := make(chan error, 1)
	go func() { l.park(); parked <- nil }()
	soon(t, "park", parked)
	if looks != 2 {
		t.Errorf("%d looks for one ring", looks)
	}
}

// TestALeaderLooksWhoWasRungFor: the ring came before anybody led, and the poller
// has forgotten it.
func TestALeaderLooksWhoWasRungFor(t *testing.T) {
	for _, tt := range []struct {
		ours, theirs ring.Wake
		waits        uint32 // 1: the other does
		ends         bool   // the wait of who leads
		token        int    // for the other
	}{
		{ours: ring.WakeBell, theirs: ring.WakeBell, waits: 1},
		{ours: ring.WakeNone, theirs: ring.WakeBell, waits: 1, ends: true},
		{ours: ring.WakeBell, theirs: ring.WakeNone, waits: 1, token: 1},
		{ours: ring.WakeNone, theirs: ring.WakeNone, waits: 1, ends: true, token: 1},
		{ours: ring.WakeBell, theirs: ring.WakeNone},
	} {
		l, other, _ := lanesOf(t, &lateSide{armed: tt.ours}, &lateSide{armed: tt.theirs}, func() bool { return false })
		l.waits.Store(1)
		other.waits.Store(tt.waits)
		l.bell.leader.Store(l.number)
		if ends := l.bell.hear(0); ends != tt.ends || len(other.token) != tt.token {
			t.Errorf("%+v: the wait ends: %v, tokens: %d", tt, ends, len(other.token))
		}
	}
}

// TestRingsAreTakenOut: there is always room for one ring more.
func TestRingsAreTakenOut(t *testing.T) {
	s := new(lateSide)
	var rung func()
	l, rung := laneOf(t, s, func() bool {
		s.armed = ring.WakeNone
		rung()
		return true
	})
	for range 10 * unreadRings {
		l.park()
	}
}

// TestALeaderPassesARingOn: it ends, and the ring that comes next may be meant for who
// follows.
func TestALeaderPassesARingOn(t *testing.T) {
	waits := &lateSide{armed: ring.WakeBell}
	l, other, _ := lanesOf(t, new(lateSide), waits, func() bool { return false })
	l.waits.Store(1)
	other.waits.Store(1)
	l.bell.wait(l) // it finds that it was rung for
	if l.bell.leader.Load() != 0 || len(other.token) != 1 {
		t.Error("who follows is left asleep, and nobody listens")
	}
}

// TestWhoFollowsLeadsNext: a Read leads and a Write follows. The Read ends, and nobody
// parks after it. The Write returns once there is room.
func TestWhoFollowsLeadsNext(t *testing.T) {
	d, a := connect(t, Options{Buffer: leastBuffer})
	if _, err := d.Write(make([]byte, d.memory.room)); err != nil {
		t.Fatal(err)
	}
	read, wrote := make(chan error, 1), make(chan error, 1)
	go func() { read <- second(d.Read(make([]byte, 1))) }()
	waitParked(t, &d.in)
	go func() { wrote <- second(d.Write([]byte{1})) }()
	waitParked(t, &d.out)
	if err := d.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "the Read", read); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the Read ended with %v", err)
	}
	if _, err := a.Read(make([]byte, leastBuffer)); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "the Write", wrote); err != nil {
		t.Errorf("the Write ended with %v", err)
	}
}

// TestBothDirectionsWait: reads and writes of both ends wait for each other, often,
// behind one socket. None sleeps on, with deadlines that come and go, which would
// hide that, and without.
func TestBothDirectionsWait(t *testing.T) {
	t.Run("without deadlines", func(t *testing.T) { bothWays(t, 2<<20, nil) })
	t.Run("with deadlines", func(t *testing.T) {
		bothWays(t, 128<<10, []time.Duration{-1, time.Millisecond, time.Hour})
	})
}

// bothWays sends so many bytes each way, while one deadline after the other is set.
func bothWays(t *testing.T, bytes int, deadlines []time.Duration) {
	d, a := connect(t, Options{Buffer: leastBuffer})
	guard := time.AfterFunc(6*tooLong, func() {
		t.Error("a call sleeps on")
		d.Close()
		a.Close()
	})
	defer guard.Stop()
	var calls, setters sync.WaitGroup
	stop := make(chan struct{})
	for _, c := range []*Conn{d, a} {
		for what, call := range map[string]func([]byte) (int, error){"read": c.Read, "write": c.Write} {
			calls.Go(func() {
				p := make([]byte, 3000)
				for left := bytes; left > 0; {
					n, err := call(p[:min(left, len(p))])
					if left -= n; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("%s: %v", what, err)
						return
					}
				}
			})
		}
		if len(deadlines) == 0 {
			continue
		}
		setters.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
				}
				c.SetDeadline(time.Now().Add(deadlines[i%len(deadlines)]))
			}
		})
	}
	calls.Wait()
	close(stop)
	setters.Wait()
}

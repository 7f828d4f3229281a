package shmnet

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm/ring"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// listenAt listens in a directory of the test.
func listenAt(t testing.TB, o Options) net.Listener {
	t.Helper()
	l, err := o.Listen(filepath.Join(t.TempDir(), "socket"))
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect is both ends of a connection.
func connect(t testing.TB, o Options) (dialer, accepted *Conn) {
	t.Helper()
	l := listenAt(t, o)
	d, err := o.DialContext(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); a.Close(); l.Close() })
	return d.(*Conn), a.(*Conn)
}

// soon is how a call ends that must not sleep on.
func soon(t *testing.T, call string, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(tooLong):
		t.Fatalf("%s sleeps on", call)
		return nil
	}
}

// tooLong is after how long a call that should have ended sleeps for ever.
const tooLong = 5 * time.Second

func TestNettest(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		d, a := connect(t, Options{})
		return d, a, func() { d.Close(); a.Close() }, nil
	})
}

// TestLargestBuffer: the memory of the largest connection is as long as it must be, or
// is refused where it can't be addressed; its length does not come round.
func TestLargestBuffer(t *testing.T) {
	p, err := planFor(mostBuffer)
	if err == nil && (p.second < mostBuffer || int64(p.size) < p.second+mostBuffer) || err != nil && !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("%+v: %v", p, err)
	}
}

// rings takes the rings out of a bell and counts them.
func rings(t *testing.T, b *bell) (n int) {
	t.Helper()
	err := b.raw.Control(func(fd uintptr) { n, _ = sys.ReceiveNow(int(fd), make([]byte, 100)) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWhoWantsABellIsRungFor: by each call that gives it something to do, and once.
func TestWhoWantsABellIsRungFor(t *testing.T) {
	d, a := connect(t, Options{Buffer: leastBuffer})
	for _, tt := range []struct {
		what string
		side side // of a, which wants a bell
		does func() error
	}{
		{"a Write", a.memory.in, func() error { return second(d.Write(make([]byte, 10))) }},
		{"a Read", a.memory.out, func() error { a.Write(make([]byte, 10)); return second(d.Read(make([]byte, 5))) }},
		{"CloseWrite", a.memory.in, d.CloseWrite},
	} {
		tt.side.Arm(ring.WakeBell)
		if err := tt.does(); err != nil {
			t.Fatal(err)
		}
		if n := rings(t, &a.bell); n != 1 || tt.side.Armed() != ring.WakeNone {
			t.Errorf("%s has rung %d times", tt.what, n)
		}
	}
}

// TestAWriteOfMoreThanTheBuffer: it wakes a reader that has parked before it is
// written whole.
func TestAWriteOfMoreThanTheBuffer(t *testing.T) {
	d, a := connect(t, Options{})
	p := make([]byte, 4*defaultBuffer)
	a.memory.in.Arm(ring.WakeBell) // as a reader that has parked
	wrote := make(chan error, 1)
	go func() { wrote <- second(d.Write(p)) }()
	waitParked(t, &d.out)
	if rings(t, &a.bell) == 0 {
		t.Fatal("the reader is left asleep, and the writer waits for it")
	}
	if _, err := io.ReadFull(a, make([]byte, len(p))); err != nil {
		t.Error(err)
	}
	if err := soon(t, "the write", wrote); err != nil {
		t.Error(err)
	}
}

// TestAMessageFitsWithItsFrames: nobody reads, and a message as long as the buffer
// is written with what a protocol puts around it. The memory has no page more for it.
func TestAMessageFitsWithItsFrames(t *testing.T) {
	for _, buffer := range []int{leastBuffer, defaultBuffer, takenBuffer} {
		d, a := connect(t, Options{Buffer: buffer})
		for what, c := range map[string]*Conn{"dialer": d, "listener": a} {
			c.SetDeadline(time.Now().Add(5 * time.Second))
			for _, n := range []int{9, 200, buffer, 800} {
				if _, err := c.Write(make([]byte, n)); err != nil {
					t.Errorf("a buffer of %d bytes, the %s writes %d: %v", buffer, what, n, err)
				}
			}
		}
		page := os.Getpagesize()
		if most := (2*buffer + firstStream + 2*640 + page - 1) / page * page; len(d.memory.bytes) > most {
			t.Errorf("a buffer of %d bytes takes %d, not %d", buffer, len(d.memory.bytes), most)
		}
	}
}

// TestDeadlineKicks: when it is over, at once if it is already, and not before.
func TestDeadlineKicks(t *testing.T) {
	kicked := make(chan error, 10)
	d := deadline{kick: func() { kicked <- nil }}
	for _, at := range []time.Time{past, time.Now().Add(time.Hour), {}} {
		d.set(at)
		if passed := at == past; d.passed() != passed || passed != (len(kicked) == 1) {
			t.Fatalf("a deadline at %v has passed: %v; kicks: %d", at, d.passed(), len(kicked))
		}
		if at == past {
			<-kicked
		}
	}
	d.set(time.Now().Add(time.Millisecond))
	soon(t, "who has a deadline", kicked)
	if !d.passed() {
		t.Error("a kick before the deadline has passed")
	}
}

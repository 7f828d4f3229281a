package shmnet

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/nettest"

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

// TestAWriteOfMoreThanTheBuffer: it wakes a reader that has parked before it is
// written whole.
func TestAWriteOfMoreThanTheBuffer(t *testing.T) {
	d, a := connect(t, Options{})
	p := make([]byte, 4*defaultBuffer)
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(a, make([]byte, len(p)))
		read <- err
	}()
	for a.memory.in.Armed() == ring.WakeNone {
		runtime.Gosched()
	}
	d.SetDeadline(time.Now().Add(20 * time.Second))
	if n, err := d.Write(p); err != nil {
		t.Errorf("%d bytes written: %v", n, err)
		d.Close()
	}
	if err := <-read; err != nil {
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

package shmnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm/ring"
)

// What a process at the other end does, by the name in MMAP_TEST_PEER. It dials
// MMAP_TEST_ADDRESS, and writes the byte 'r' before it begins.
var peers = map[string]func(c net.Conn){
	"writes and waits": func(c net.Conn) {
		c.Write([]byte("last"))
		select {}
	},
	"echoes": func(c net.Conn) { io.Copy(c, c) },
}

var _ = testenv.Register("shmnet.peer", func() {
	c, err := Dial(os.Getenv("MMAP_TEST_ADDRESS"))
	if err == nil {
		_, err = c.Write([]byte{'r'})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	peers[os.Getenv("MMAP_TEST_PEER")](c)
})

// peer starts a process and answers the connection to it.
func peer(t *testing.T, what string) (c *Conn, kill func()) {
	t.Helper()
	l := listenAt(t, Options{})
	cmd := testenv.Child{Name: "shmnet.peer", Env: []string{"MMAP_TEST_ADDRESS=" + l.Addr().String(), "MMAP_TEST_PEER=" + what}}.Command(t)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got := a.(*Conn).Peer(); got.Pid != cmd.Process.Pid || got.Uid != os.Getuid() || got.Gid != os.Getgid() {
		t.Errorf("the peer is %+v, want process %d of user %d", got, cmd.Process.Pid, os.Getuid())
	}
	return a.(*Conn), func() { cmd.Process.Kill(); cmd.Wait() }
}

// TestPeerIsKilled: what it has written is read, then its death is told, to who
// waits and to who comes afterwards.
func TestPeerIsKilled(t *testing.T) {
	t.Run("while we read", func(t *testing.T) {
		c, kill := peer(t, "writes and waits")
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() { read <- second(c.Read(make([]byte, 1))) }()
		waitParked(t, &c.in)
		kill()
		if err := soon(t, "the read", read); err != io.ErrUnexpectedEOF {
			t.Errorf("read ended with %v", err)
		}
		if n, err := c.Write([]byte("too late")); n != 0 || err != io.ErrUnexpectedEOF {
			t.Errorf("a write after that: %d, %v", n, err)
		}
	})
	t.Run("before we read", func(t *testing.T) {
		c, kill := peer(t, "writes and waits")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // the rest was written with it
			t.Fatal(err)
		}
		kill()
		<-c.watched
		if got, err := io.ReadAll(c); string(got) != "ast" || err != io.ErrUnexpectedEOF {
			t.Errorf("read %q, then %v", got, err)
		}
	})
	t.Run("while we write", func(t *testing.T) {
		c, kill := peer(t, "writes and waits")
		wrote := make(chan error, 1)
		go func() {
			n, err := c.Write(make([]byte, 1<<20))
			if n != c.memory.room {
				err = fmt.Errorf("%d bytes, then %v", n, err)
			}
			wrote <- err
		}()
		waitParked(t, &c.out)
		kill()
		if err := soon(t, "the write", wrote); err != io.ErrUnexpectedEOF {
			t.Errorf("write ended with %v", err)
		}
	})
	t.Run("while it echoes", func(t *testing.T) {
		c, kill := peer(t, "echoes")
		sent := bytes.Repeat([]byte("0123456789abcdef"), 20000)
		go c.Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("the echo differs, or failed: %v", err)
		}
		kill()
		if n, err := c.Read(got); n != 0 || err != io.ErrUnexpectedEOF {
			t.Errorf("read %d, %v", n, err)
		}
	})
}

// waitParked returns when somebody waits in the lane, parked.
func waitParked(t *testing.T, l *lane) {
	t.Helper()
	for began := time.Now(); l.side.Armed() != ring.WakeBell; {
		if time.Since(began) > tooLong {
			t.Fatal("nobody parks")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestEndsOfAConnection(t *testing.T) {
	d, a := connect(t, Options{Buffer: leastBuffer})
	if _, err := d.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.CloseWrite(), d.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(a); string(got) != "question" || err != nil {
		t.Errorf("read %q, %v before the end of what was written", got, err)
	}
	if _, err := d.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write after CloseWrite: %v", err)
	}
	if _, err := a.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(d); string(got) != "answer" || err != nil {
		t.Errorf("read %q, %v of a peer that has closed", got, err)
	}
	for what, err := range map[string]error{
		"Close":         a.Close(),
		"CloseWrite":    a.CloseWrite(),
		"SetDeadline":   a.SetDeadline(time.Time{}),
		"Read":          second(a.Read(make([]byte, 1))),
		"an empty Read": second(a.Read(nil)),
		"Write":         second(a.Write([]byte{1})),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

func second(_ int, err error) error { return err }

// TestWriteToAPeerThatHasClosed: it fails at once, room or not, parked or not.
func TestWriteToAPeerThatHasClosed(t *testing.T) {
	d, a := connect(t, Options{})
	wrote := make(chan error, 1)
	go func() { wrote <- second(d.Write(make([]byte, 1<<20))) }()
	waitParked(t, &d.out)
	a.Close()
	if err := soon(t, "the write", wrote); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write that waited: %v", err)
	}
	d, a = connect(t, Options{})
	a.Close()
	<-d.watched
	if n, err := d.Write([]byte{1}); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write with room: %d, %v", n, err)
	}
}

// TestCloseEndsWhatWaits: a Write that waits for room does not keep CloseWrite and
// Close waiting, nor a Read.
func TestCloseEndsWhatWaits(t *testing.T) {
	for end, want := range map[string]error{"CloseWrite": syscall.EPIPE, "Close": net.ErrClosed} {
		t.Run(end, func(t *testing.T) {
			d, _ := connect(t, Options{})
			wrote, read, ended := make(chan error, 1), make(chan error, 1), make(chan error, 1)
			go func() { wrote <- second(d.Write(make([]byte, 1<<20))) }()
			go func() { read <- second(d.Read(make([]byte, 1))) }()
			waitParked(t, &d.out)
			waitParked(t, &d.in)
			go func() {
				if end == "Close" {
					ended <- d.Close()
				} else {
					ended <- d.CloseWrite()
				}
			}()
			if err := soon(t, end, ended); err != nil {
				t.Error(err)
			}
			if err := soon(t, "the write", wrote); !errors.Is(err, want) {
				t.Errorf("the write ended with %v, want %v", err, want)
			}
			d.Close()
			if err := soon(t, "the read", read); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the read ended with %v", err)
			}
		})
	}
}

func TestDial(t *testing.T) {
	l := listenAt(t, Options{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := Dial(l.Addr().String()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := (Options{Buffer: 5000}).DialContext(t.Context(), "x"); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a buffer of 5,000 bytes: %v", err)
	}

	// One that listens and does not answer.
	name := filepath.Join(t.TempDir(), "socket")
	silent, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := silent.Accept()
		cancel()
		if err == nil {
			defer c.Close()
			io.Copy(io.Discard, c)
		}
	}()
	if _, err := DialContext(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("a dial that was cancelled: %v", err)
	}
	if _, err := Dial(name + strconv.Itoa(1)); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a name that is not there: %v", err)
	}
}

// TestListenerClosesWhatNobodyAccepted is also a listener with more dialers than
// it has places.
func TestListenerClosesWhatNobodyAccepted(t *testing.T) {
	l := listenAt(t, Options{Buffer: leastBuffer})
	var ends []net.Conn
	for range 10 {
		c, err := (Options{Buffer: leastBuffer}).DialContext(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ends = append(ends, c)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range ends {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("nobody accepted it, and a read says %v", err)
		}
	}
}

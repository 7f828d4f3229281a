package shmnet

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
)

var _ = testenv.Register("shmnet.busy", func() {
	runtime.GOMAXPROCS(1)
	c, err := Dial(os.Getenv("MMAP_TEST_ADDRESS"))
	if err != nil {
		os.Exit(1)
	}
	answerBusily(c)
})

// answerBusily answers 'p' at once, and 'b' when another goroutine has run beside
// one that does nothing but run: 'y', or 'n' where that takes too long.
func answerBusily(c net.Conn) {
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if b[0] == 'b' {
			var ran atomic.Bool
			go ran.Store(true)
			b[0] = 'n'
			for began := time.Now(); !ran.Load() && time.Since(began) < tooLong; {
			}
			if ran.Load() {
				b[0] = 'y'
			}
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// TestWhoWasRungForIsPreempted: a process that was idle, and hears nothing but
// rings, shares its one processor among its goroutines.
func TestWhoWasRungForIsPreempted(t *testing.T) {
	l := listenAt(t, Options{})
	cmd := testenv.Child{Name: "shmnet.busy", Env: []string{"MMAP_TEST_ADDRESS=" + l.Addr().String()}}.Command(t)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(what byte) byte {
		b := []byte{what}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		return b[0]
	}
	for range 8 {
		for range 15 { // it is idle in between: the runtime's monitor sleeps
			ask('p')
			time.Sleep(time.Millisecond)
		}
		if got := ask('b'); got != 'y' {
			t.Fatalf("a goroutine that runs kept another from running: %q", got)
		}
	}
}

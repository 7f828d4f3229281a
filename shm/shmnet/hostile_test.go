package shmnet

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/ring"
)

// TestHostileGreetings: whatever a dialer says, it is turned away, and the next
// one is served.
func TestHostileGreetings(t *testing.T) {
	l := listenAt(t, Options{})
	p, err := planFor(defaultBuffer)
	if err != nil {
		t.Fatal(err)
	}
	memfd := func(size int, seal bool, content ...uint64) int {
		fd, err := sys.Memfd("hostile", false, 0)
		if err == nil {
			err = sys.Extend(fd, 0, int64(size))
		}
		for i, v := range content {
			if err == nil {
				_, err = sys.Pwrite(fd, binary.NativeEndian.AppendUint64(nil, v), int64(8*i))
			}
		}
		if err == nil && seal {
			err = sys.SealSize(fd)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	file, err := os.CreateTemp(testenv.TmpfsDir(t), "hostile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(int64(p.size)); err != nil {
		t.Fatal(err)
	}
	onTmpfs, err := sys.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	good, goodFD, err := createMemory(defaultBuffer, func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	open := memfd(p.size, false)
	for _, fd := range []int{open, onTmpfs} {
		if _, err := sys.Pwrite(fd, good.bytes, 0); err != nil {
			t.Fatal(err)
		}
	}
	sys.Close(goodFD)
	if err := good.unmap(); err != nil {
		t.Fatal(err)
	}
	asMade := func() int {
		m, fd, err := createMemory(defaultBuffer, func() bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if err := m.unmap(); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	line, end, err := sys.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(line)
	defer sys.Close(end)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		name, says string
		fd         int
		line       []int
	}{
		{"it says nothing", "", -1, nil},
		{"another protocol", "GET / HT", -1, nil},
		{"no descriptor", greeting, -1, nil},
		{"a file that can be truncated", greeting, onTmpfs, []int{line}},
		{"memory that can be truncated", greeting, open, []int{line}},
		{"too little memory", greeting, memfd(64, true), []int{line}},
		{"too much memory", greeting, memfd(64<<20, true), []int{line}},
		{"memory of zeros", greeting, memfd(p.size, true), []int{line}},
		{"a buffer that is none", greeting, memfd(p.size, true, memoryMagic, 65535), []int{line}},
		{"a buffer beyond the memory", greeting, memfd(p.size, true, memoryMagic, 1<<20), []int{line}},
		{"a buffer beyond everything", greeting, memfd(p.size, true, memoryMagic, 1<<63), []int{line}},
		{"no streams", greeting, memfd(p.size, true, memoryMagic, defaultBuffer), []int{line}},
		{"a size of its own", greeting, memfd(4096, true, memoryMagic, defaultBuffer), []int{line}},
		{"no line", greeting, asMade(), nil},
		{"a line that is no socket", greeting, asMade(), []int{int(null.Fd())}},
	} {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		var control []byte
		if tt.fd >= 0 {
			control = sys.Rights(append([]int{tt.fd}, tt.line...)...)
		}
		if tt.says != "" {
			_, _, err = c.(*net.UnixConn).WriteMsgUnix([]byte(tt.says), control, nil)
		} else {
			err = c.(*net.UnixConn).CloseWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(tooLong)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: it was not turned away: %v", tt.name, err)
		}
		c.Close()
		if tt.fd >= 0 {
			sys.Close(tt.fd)
		}
	}
	d, err := DialContext(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := d.Write([]byte("fine")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(a, make([]byte, 4)); err != nil {
		t.Error(err)
	}
	if _, err := (Options{Buffer: 2 * takenBuffer}).DialContext(t.Context(), l.Addr().String()); !errors.Is(err, errNoPeer) {
		t.Errorf("a dialer that wants more than the listener gives: %v", err)
	}
}

// TestHostileWords: a peer that stores anything into the words that both share, and
// rings all the time, can keep calls waiting and make them fail. They end.
func TestHostileWords(t *testing.T) {
	random := rand.New(rand.NewPCG(uint64(testenv.Seed(t)), 0))
	for range 20 {
		d, a := connect(t, Options{Buffer: leastBuffer})
		p, err := planFor(leastBuffer)
		if err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { // the dialer means harm; its Conn is not used, so that it keeps the memory mapped
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				stream := firstStream
				if random.IntN(2) == 0 {
					stream = int(p.second)
				}
				w := mem.At[word.U64](d.memory.bytes, stream+8*random.IntN(5*128/8))
				v := random.Uint64() >> random.IntN(64)
				if random.IntN(4) == 0 {
					v = uint64(ring.WakeBell)
				}
				w.Store(v)
				if random.IntN(8) == 0 {
					d.in.ringPeer()
				}
			}
		}()
		if err := a.SetDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		wrote := make(chan error)
		go func() {
			var err error
			for err == nil {
				_, err = a.Write(make([]byte, 100))
			}
			wrote <- err
		}()
		for err == nil {
			_, err = a.Read(make([]byte, 100))
		}
		for what, err := range map[string]error{"read": err, "write": <-wrote} {
			if err != io.EOF && !errors.As(err, new(*net.OpError)) {
				t.Errorf("the %s ended with %v", what, err)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		close(stop)
		<-stopped
	}
}

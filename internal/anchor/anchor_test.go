package anchor_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/anchor"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
)

func TestMain(m *testing.M) {
	// The thread stays for good: it is no leak of a test.
	if fd, err := sys.Memfd("anchor", false, 0); err == nil {
		if sys.Truncate(fd, pageBytes) == nil {
			if e, err := anchor.Hold(fd, 0); err == nil {
				e.Release()
			}
		}
		sys.Close(fd)
	}
	testenv.Main(m)
}

const (
	pageBytes = 1 << 16 // a page at least, anywhere
	died      = 0x40000000
)

// shared is a file of one page and its memory.
func shared(t *testing.T) (f *os.File, at func(off int) *word.U32) {
	t.Helper()
	fd, err := sys.Memfd("anchor", false, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err == nil {
		err = sys.Truncate(fd, pageBytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	f = os.NewFile(uintptr(fd), "anchor")
	addr, err := sys.Mmap(0, pageBytes, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED, fd, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if err := sys.Munmap(addr, pageBytes); err != nil {
			t.Error(err)
		}
	})
	return f, func(off int) *word.U32 { return mem.At[word.U32](mem.Bytes(addr, pageBytes), off) }
}

const held = 3

// The child holds words 0 to 2, gives word 1 back, and waits for its end.
var _ = testenv.Register("anchor.child", func() {
	var entries [held]*anchor.Entry
	for i := range entries {
		e, err := anchor.Hold(3, int64(64*i))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		entries[i] = e
	}
	if err := entries[1].Release(); err != nil {
		fmt.Println(err)
	}
	fmt.Println("holding")
	select {}
})

// TestEndIsMarked kills a process that holds words: those are marked, and those
// who sleep on them are woken.
func TestEndIsMarked(t *testing.T) {
	f, at := shared(t)
	cmd := testenv.Child{Name: "anchor.child", Files: []*os.File{f}}.Command(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 64)
	if n, _ := out.Read(said); string(said[:n]) != "holding\n" {
		t.Fatalf("the child says %q", said[:n])
	}
	woken := make(chan error)
	alive := at(128).Load()
	go func() {
		var err error
		for err == nil && at(128).Load() == alive {
			var late bool
			if late, err = word.Sleep(10*time.Second, word.Wait{Word: at(128), Value: alive}); late {
				err = errors.New("nobody was woken")
			}
		}
		woken <- err
	}()
	cmd.Process.Kill()
	if err := <-woken; err != nil {
		t.Error(err)
	}
	cmd.Wait()
	for i, want := range []bool{true, false, true} {
		if got := at(64*i).Load()&died != 0; got != want {
			t.Errorf("word %d is marked: %v, want %v", i, got, want)
		}
	}
}

// TestRefusedLeavesNoHole: what can't be mapped leaves the reservation whole. A
// socket refuses once the kernel has taken away what was there (tcp_mmap).
func TestRefusedLeavesNoHole(t *testing.T) {
	f, _ := shared(t)
	e, err := anchor.Hold(int(f.Fd()), 0) // now there is a reservation
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Release(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := anchor.Hold(int(socket.Fd()), 0); err == nil {
		t.Fatal("a word of a socket")
	}
	addr, length := anchor.Reserved()
	if err := sys.Mincore(addr, length, make([]byte, anchor.Max)); err != nil { // ENOMEM: a page is not mapped
		t.Errorf("there is a hole: %v", err)
	}
}

// TestFileEndsBeforeTheWord: what was truncated away is an error.
func TestFileEndsBeforeTheWord(t *testing.T) {
	f, _ := shared(t)
	if _, err := anchor.Hold(int(f.Fd()), 2*pageBytes); !errors.Is(err, sys.EFAULT) {
		t.Errorf("a word behind the end: %v", err)
	}
	e, err := anchor.Hold(int(f.Fd()), 0)
	if err != nil {
		t.Fatalf("the next one: %v", err)
	}
	if err := e.Release(); err != nil {
		t.Error(err)
	}
}

// TestMax holds as many words as the kernel walks, and not one more.
func TestMax(t *testing.T) {
	f, _ := shared(t)
	var entries []*anchor.Entry
	defer func() {
		for _, e := range entries {
			if err := e.Release(); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range anchor.Max {
		e, err := anchor.Hold(int(f.Fd()), int64(i%100*8))
		if err != nil {
			t.Fatalf("word %d: %v", i, err)
		}
		entries = append(entries, e)
	}
	if _, err := anchor.Hold(int(f.Fd()), 0); !errors.Is(err, anchor.ErrFull) {
		t.Errorf("one word too many: %v", err)
	}
	if err := entries[7].Release(); err != nil {
		t.Error(err)
	}
	e, err := anchor.Hold(int(f.Fd()), 8)
	if err != nil {
		t.Fatalf("in a place that is free again: %v", err)
	}
	entries[7] = e
}

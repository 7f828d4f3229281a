package mmap_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// A heldChild is a process in which one goroutine is inside an access that does
// not end before the test lets it.
type heldChild struct {
	t   testing.TB
	pid int
	in  io.Writer
	out chan string // lines; closed at its end
}

// startHeld starts one. release lets the access go on; a process that is killed in
// it does not end before that.
func startHeld(t *testing.T, name, access string, procs int, release func()) *heldChild {
	t.Helper()
	c := testenv.Child{Name: "held", Env: []string{"NAME=" + name, "ACCESS=" + access, "GOMAXPROCS=" + strconv.Itoa(procs)}}
	cmd := c.Command(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &heldChild{t, cmd.Process.Pid, in, make(chan string, 100)}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			h.out <- s.Text()
		}
		close(h.out)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		release()
		for range h.out { // until the pipe ends
		}
		cmd.Wait()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("the child wrote\n%s", stderr.String())
		}
	})
	h.want("opened")
	return h
}

// want waits for the next line.
func (h *heldChild) want(line string) {
	h.t.Helper()
	select {
	case got := <-h.out:
		if !strings.HasPrefix(got, line) {
			h.t.Fatalf("the child said %q, want %q", got, line)
		}
	case <-time.After(childPatience):
		h.t.Fatalf("the child does not come to %q", line)
	}
}

// say gives the child its next line.
func (h *heldChild) say(line string) {
	h.t.Helper()
	if _, err := io.WriteString(h.in, line+"\n"); err != nil {
		h.t.Fatal(err)
	}
}

// awaitFrozen returns when a thread of the child waits for a file system to
// thaw, in a system call or in a page fault.
func (h *heldChild) awaitFrozen() {
	h.t.Helper()
	for end := time.Now().Add(childPatience); ; time.Sleep(time.Millisecond) {
		places, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", h.pid))
		if err != nil || len(places) == 0 {
			h.t.Fatalf("the child's threads: %v", err)
		}
		seen := ""
		for _, p := range places {
			where, _ := os.ReadFile(p) // the thread may have ended
			if strings.Contains(string(where), "percpu_rwsem_wait") {
				return
			}
			seen += " " + string(where)
		}
		if time.Now().After(end) {
			h.t.Fatalf("no thread waits for the thaw:%s", seen)
		}
	}
}

// heldAccesses read or write the second page of the file.
var heldAccesses = map[string]func(m *mmap.Mapping) error{
	"ReadAt": func(m *mmap.Mapping) error { _, err := m.ReadAt(make([]byte, 10), int64(pageSize)); return err },
	"View": func(m *mmap.Mapping) error {
		return m.View(int64(pageSize), 10, func(p []byte) error { _ = bytes.Clone(p); return nil })
	},
	"Reader": func(m *mmap.Mapping) error {
		r := m.NewReader()
		if _, err := r.Seek(int64(pageSize), io.SeekStart); err != nil {
			return err
		}
		_, err := r.ReadByte()
		return err
	},
	"WriteAt":      func(m *mmap.Mapping) error { _, err := m.WriteAt([]byte("late"), int64(pageSize)); return err },
	"a bare load":  func(m *mmap.Mapping) error { loaded = m.Bytes()[pageSize]; return nil },
	"a bare store": func(m *mmap.Mapping) error { m.Bytes()[pageSize] = 'l'; return nil },
}

var loaded byte

// In the child, the main goroutine stands for all others.
var _ = testenv.Register("held", func() {
	lines := bufio.NewScanner(os.Stdin)
	m, err := mmap.OpenFile(os.Getenv("NAME"), mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		panic(err)
	}
	other, err := mmap.Anonymous(1<<20, mmap.Options{})
	if err != nil {
		panic(err)
	}
	access := heldAccesses[os.Getenv("ACCESS")]
	done := make(chan error, 1)
	fmt.Println("opened")
	go func() { done <- access(m) }()
	for lines.Scan() {
		switch line := lines.Text(); line {
		case "run others":
			if err := runOthers(other); err != nil {
				panic(err)
			}
			if len(done) != 0 {
				panic("the access was not held")
			}
		case "change":
			tryToChange(m)
			continue
		case "end":
			if err := <-done; err != nil {
				panic(err)
			}
			if err := errors.Join(m.Protect(0, m.Len(), mmap.ProtRead), m.Close()); err != nil {
				panic(err)
			}
		}
		fmt.Println("done", lines.Text())
	}
})

// runOthers is what a program does meanwhile: goroutines that wait for each
// other, collections, a change of the address space, another mapping.
func runOthers(other *mmap.Mapping) error {
	var wg sync.WaitGroup
	var failed [4]error
	for i := range failed {
		ping := make(chan []byte)
		wg.Go(func() {
			for range 100 {
				ping <- make([]byte, 10_000)
			}
			close(ping)
		})
		wg.Go(func() {
			for p := range ping {
				if _, err := other.WriteAt(p, int64(i)<<18); err != nil {
					failed[i] = err
				}
			}
		})
	}
	wg.Wait()
	runtime.GC()
	fresh, err := mmap.Anonymous(4<<20, mmap.Options{Populate: true})
	if err != nil {
		return err
	}
	return errors.Join(errors.Join(failed[:]...), fresh.Close(), other.Protect(0, other.Len(), mmap.ProtRead|mmap.ProtWrite))
}

// tryToChange prints how calls give up that wait for who is inside.
func tryToChange(m *mmap.Mapping) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	for what, change := range map[string]func() error{
		"close":   func() error { return m.CloseContext(ctx) },
		"protect": func() error { return m.ProtectContext(ctx, 0, pageSize, mmap.ProtRead) },
		"lock":    func() error { return m.LockContext(ctx, 0, pageSize, mmap.LockOnFault) },
		"resize":  func() error { return m.ResizeContext(ctx, pageSize) },
	} {
		err := change()
		said := err != nil && strings.Contains(err.Error(), "1 accesses inside")
		if !errors.Is(err, context.DeadlineExceeded) || !said || errors.Is(err, fs.ErrClosed) {
			fmt.Printf("%s: %v\n", what, err)
			return
		}
	}
	fmt.Println("done change")
}

// TestNobodyElseWaitsForARead has reads of a page held for as long as all others
// take for their work.
func TestNobodyElseWaitsForARead(t *testing.T) {
	for _, procs := range []int{1, 2} {
		for _, access := range []string{"ReadAt", "View", "Reader", "WriteAt"} {
			t.Run(fmt.Sprintf("%s, GOMAXPROCS %d", access, procs), func(t *testing.T) {
				disk := testenv.SlowFS(t, testenv.SlowFile{Size: int64(4 * pageSize)})
				disk.Set(testenv.Fault{Op: testenv.Read, Delay: testenv.Hold})
				h := startHeld(t, disk.Path, access, procs, func() { disk.Set() })
				disk.Await(testenv.Read, 1)
				h.say("run others")
				h.want("done run others")
				disk.Set()
				h.say("end")
				h.want("done end")
			})
		}
	}
}

// TestNobodyElseWaitsForAWriter has a writer wait for a file system to thaw.
func TestNobodyElseWaitsForAWriter(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprintf("GOMAXPROCS %d", procs), func(t *testing.T) {
			testenv.Need(t, proc)
			root := testenv.LoopFS(t, "ext4", 16<<20)
			name := newFileIn(t, root, pattern(4*pageSize))
			thaw := testenv.Freeze(t, root)
			h := startHeld(t, name, "WriteAt", procs, thaw)
			h.awaitFrozen()
			h.say("run others")
			h.want("done run others")
			h.say("change")
			h.want("done change")
			h.say("run others")
			h.want("done run others")
			thaw()
			h.say("end")
			h.want("done end")
			want := pattern(4 * pageSize)
			copy(want[pageSize:], "late")
			wantFile(t, name, want)
		})
	}
}

// TestABareAccessHoldsUpAllOthers shows that the rig would notice an access that
// takes a page fault: the others do not come through before it is released.
func TestABareAccessHoldsUpAllOthers(t *testing.T) {
	const longEnough = 300 * time.Millisecond
	held := func(t *testing.T, h *heldChild) { // until the child is killed
		t.Helper()
		h.say("run others")
		select {
		case line := <-h.out:
			t.Errorf("the others came through: %q", line)
		case <-time.After(longEnough):
		}
	}
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprintf("a load, GOMAXPROCS %d", procs), func(t *testing.T) {
			disk := testenv.SlowFS(t, testenv.SlowFile{Size: int64(4 * pageSize)})
			disk.Set(testenv.Fault{Op: testenv.Read, Delay: testenv.Hold})
			h := startHeld(t, disk.Path, "a bare load", procs, func() { disk.Set() })
			disk.Await(testenv.Read, 1)
			held(t, h)
		})
		t.Run(fmt.Sprintf("a store, GOMAXPROCS %d", procs), func(t *testing.T) {
			testenv.Need(t, proc)
			root := testenv.LoopFS(t, "ext4", 16<<20)
			name := newFileIn(t, root, pattern(4*pageSize))
			thaw := testenv.Freeze(t, root)
			h := startHeld(t, name, "a bare store", procs, thaw)
			h.awaitFrozen()
			held(t, h)
		})
	}
}

//go:build steps

package shm_test

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// breakpoint is called at every step, of whatever goroutine.
type breakpoint func(what string)

func (b breakpoint) Step(what string) { b(what) }

func (b breakpoint) Sleep(time.Duration, []word.Wait) (done, timedOut bool) { return false, false }

func (b breakpoint) Wake(*word.U32, int) bool { return false }

// wide is a value that takes many stores.
type wide [64]uint64

func wideOf(n uint64) (v wide) {
	for i := range v {
		v[i] = n
	}
	return v
}

// TestClosingWhileStoring: a Store that is in its midst when its segment is closed
// changes nothing after another has been told that its process has left.
func TestClosingWhileStoring(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 1<<16, shm.Options{})
	o := must(shm.Open(name, shm.Options{}))
	defer closeAll(t, o)
	ours := must(shmsync.SnapshotOf[wide](s.Space(), s.DataStart()))
	theirs := must(shmsync.SnapshotOf[wide](o.Space(), s.DataStart()))

	stopped, goOn, stored := make(chan bool), make(chan bool), make(chan error, 1)
	var stores, left atomic.Int32
	word.Install(breakpoint(func(what string) {
		switch {
		case what == "store" && stores.Add(1) == 30:
			close(stopped)
			<-goOn
		case what == "left" && left.Add(1) == 1:
			if err := theirs.Store(context.Background(), wideOf(2)); err != nil {
				t.Error(err)
			}
			close(goOn)
			stored <- <-stored
		}
	}))
	defer word.Install(nil)
	go func() { stored <- ours.Store(context.Background(), wideOf(1)) }()
	<-stopped
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-stored; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the Store: %v", err)
	}
	if v, version, err := theirs.Load(); v != wideOf(2) || version != 1 || err != nil {
		t.Errorf("version %d is %v, %v", version, v, err)
	}
}

// TestClosingWhileRemoved: between the last one's look at the name and its taking the
// name away, another removes the segment and makes a new one. That keeps its name.
func TestClosingWhileRemoved(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 1, shm.Options{})
	made := make(chan *shm.Segment, 1)
	word.Install(breakpoint(func(what string) {
		if what != "unlink" {
			return
		}
		word.Install(nil)
		began := make(chan bool)
		go func() {
			close(began)
			if err := shm.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			next, err := shm.Create(name, 1, shm.Options{})
			if err != nil {
				t.Error(err)
			}
			made <- next
		}()
		<-began
		select {
		case next := <-made: // and it did not wait
			made <- next
		case <-time.After(200 * time.Millisecond):
		}
	}))
	defer word.Install(nil)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	next := <-made
	if _, err := shm.Stat(name); err != nil {
		t.Errorf("the next segment has no name: %v", err)
	}
	closeAll(t, next)
}

// TestClosingWhileLoading: a Load whose memory is taken away says so, and does not
// answer the zeros that are there instead.
func TestClosingWhileLoading(t *testing.T) {
	need(t)
	for n := int32(1); ; n++ {
		s := must(shm.Anonymous(1<<16, shm.Options{}))
		snap := must(shmsync.SnapshotOf[wide](s.Space(), s.DataStart()))
		if err := snap.Store(context.Background(), wideOf(1)); err != nil {
			t.Fatal(err)
		}
		var loads atomic.Int32
		closed := false
		word.Install(breakpoint(func(what string) {
			if what == "load" && loads.Add(1) == n {
				closed = true
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}))
		v, _, err := snap.Load()
		word.Install(nil)
		if !closed {
			s.Close()
			return
		}
		if !errors.Is(err, fs.ErrClosed) && (err != nil || v != wideOf(1)) {
			t.Errorf("closed before load %d: %v, %v", n, v, err)
		}
	}
}

// TestClosingReader: nobody attaches while one who only read takes the name away,
// not even to read.
func TestClosingReader(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 1<<16, shm.Options{})
	r := must(shm.Open(name, shm.Options{ReadOnly: true}))
	closeAll(t, s)
	excluded := false
	word.Install(breakpoint(func(what string) {
		if what == "unlink" {
			fd := must(sys.OpenFile(shm.Directory+"/"+name, sys.OpenRead, 0))
			defer sys.Close(fd)
			excluded = sys.LockOFD(fd, sys.LockShared, 1<<20+1, 1) == error(sys.EAGAIN) // the birth lock
		}
	}))
	closeAll(t, r)
	word.Install(nil)
	if !excluded {
		t.Error("one who attached would have lost the name")
	}
}

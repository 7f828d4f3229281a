package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// Where the locks of these tests lie, behind DataStart: on one page.
const (
	mutexAt    = 0
	rwAt       = 1024
	semAt      = 2048
	eventAt    = 3072
	snapshotAt = 3136
)

type triple = [3]int64

// fragile is a named segment that is about to lose its file, and two who take part.
type fragile struct {
	seg, other *shm.Segment
	ours, peer locks
}

type locks struct {
	mu   *shmsync.Mutex
	rw   *shmsync.RWMutex
	sem  *shmsync.Semaphore
	ev   *shmsync.Event
	snap *shmsync.Snapshot[triple]
}

func locksOf(s *shm.Segment) locks {
	sp, d := s.Space(), s.DataStart()
	return locks{must(sp.Mutex(d + mutexAt)), must(sp.RWMutex(d + rwAt)), must(sp.Semaphore(d+semAt, 2)),
		must(sp.Event(d + eventAt)), must(shmsync.SnapshotOf[triple](sp, d+snapshotAt))}
}

func newFragile(t *testing.T, name string) *fragile {
	t.Helper()
	s := create(t, name, 1<<16, shm.Options{Participants: 4})
	o := must(shm.Open(name, shm.Options{}))
	t.Cleanup(func() { o.Close() })
	return &fragile{s, o, locksOf(s), locksOf(o)}
}

// An operation is a call on a segment, as "Type.Method". begin does what must come
// before, and returns the call.
type operation struct {
	name  string
	begin func(f *fragile) func(ctx context.Context) error
	data  bool // it touches only what lies behind DataStart
}

// gone has calls that return no error say by a value that the memory is lost.
func gone(is bool) error {
	if is {
		return shmsync.ErrLost
	}
	return nil
}

// ready is for what must come before a call.
func ready(err error) {
	if err != nil {
		panic(err)
	}
}

// operations are all calls that touch a segment's memory, and those that wait.
var operations = []operation{
	{"Segment.Place", func(f *fragile) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := f.seg.Place(ctx, shm.Object{Name: "a", Size: 8})
			return err
		}
	}, false},
	{"Segment.Find", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { _, _, err := f.seg.Find("a"); return err }
	}, false},
	{"Segment.Objects", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { _, err := f.seg.Objects(); return err }
	}, false},
	{"Segment.Participants", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { _, err := f.seg.Participants(); return err }
	}, false},
	{"Space.Participants", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { _, err := f.seg.Space().Participants(); return err }
	}, false},
	{"Space.Attached", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return gone(f.seg.Space().Attached(0) == 0) }
	}, false},
	{"Space.Alive", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return gone(!f.seg.Space().Alive(f.other.Space().Self())) }
	}, false},
	{"Space.Marked", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return gone(f.seg.Space().Marked(f.other.Space().Self())) }
	}, false},
	{"Space.Examine", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { _, err := f.seg.Space().Examine(f.other.Space().Self()); return err }
	}, false},
	{"Space.Join", func(f *fragile) func(context.Context) error {
		reader := must(shm.Open(f.seg.Name(), shm.Options{ReadOnly: true})) // as one that has not joined
		return func(context.Context) error {
			defer reader.Close()
			_, err := reader.Space().Participants()
			return err
		}
	}, false},
	{"Space.Guard", func(f *fragile) func(context.Context) error {
		b := must(f.seg.Space().Memory(f.seg.DataStart(), 8))
		return func(context.Context) (err error) {
			defer f.seg.Space().Guard().End(&err)
			b[0]++
			return nil
		}
	}, true},
	{"Sleeper.Sleep", func(f *fragile) func(context.Context) error {
		sl, w := f.seg.Space().NewSleeper(), must(f.seg.Space().Word32(f.seg.DataStart()))
		return func(ctx context.Context) error { return sl.Sleep(ctx, 0, w, 0) }
	}, true},
	{"Sleeper.SleepAll", func(f *fragile) func(context.Context) error {
		sl, w := f.seg.Space().NewSleeper(), must(f.seg.Space().Word32(f.seg.DataStart()))
		return func(ctx context.Context) error {
			return sl.SleepAll(ctx, []shmsync.Owner{f.other.Space().Self()}, w, 0)
		}
	}, true},
	{"Mutex.Lock", func(f *fragile) func(context.Context) error { return f.ours.mu.Lock }, true},
	{"Mutex.Lock of what another holds", func(f *fragile) func(context.Context) error {
		ready(f.peer.mu.TryLock())
		return f.ours.mu.Lock
	}, true},
	{"Mutex.TryLock", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return f.ours.mu.TryLock() }
	}, true},
	{"Mutex.Unlock", func(f *fragile) func(context.Context) error {
		ready(f.ours.mu.TryLock())
		return func(context.Context) error { return f.ours.mu.Unlock() }
	}, true},
	{"Mutex.MarkConsistent", func(f *fragile) func(context.Context) error {
		ready(f.ours.mu.TryLock())
		return func(context.Context) error { return f.ours.mu.MarkConsistent() }
	}, true},
	{"RWMutex.Lock", func(f *fragile) func(context.Context) error { return f.ours.rw.Lock }, true},
	{"RWMutex.Lock beside a reader", func(f *fragile) func(context.Context) error {
		ready(f.peer.rw.TryRLock())
		return f.ours.rw.Lock
	}, true},
	{"RWMutex.TryLock", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return f.ours.rw.TryLock() }
	}, true},
	{"RWMutex.Unlock", func(f *fragile) func(context.Context) error {
		ready(f.ours.rw.TryLock())
		return func(context.Context) error { return f.ours.rw.Unlock() }
	}, true},
	{"RWMutex.MarkConsistent", func(f *fragile) func(context.Context) error {
		ready(f.ours.rw.TryLock())
		return func(context.Context) error { return f.ours.rw.MarkConsistent() }
	}, true},
	{"RWMutex.RLock", func(f *fragile) func(context.Context) error { return f.ours.rw.RLock }, true},
	{"RWMutex.RLock beside a writer", func(f *fragile) func(context.Context) error {
		ready(f.peer.rw.TryLock())
		return f.ours.rw.RLock
	}, true},
	{"RWMutex.TryRLock", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return f.ours.rw.TryRLock() }
	}, true},
	{"RWMutex.RUnlock", func(f *fragile) func(context.Context) error {
		ready(f.ours.rw.TryRLock())
		return func(context.Context) error { return f.ours.rw.RUnlock() }
	}, true},
	{"Space.Semaphore", func(f *fragile) func(context.Context) error {
		return func(context.Context) error {
			_, err := f.seg.Space().Semaphore(f.seg.DataStart()+semAt-768, 1)
			return err
		}
	}, true},
	{"Semaphore.Acquire", func(f *fragile) func(context.Context) error {
		return func(ctx context.Context) error { return f.ours.sem.Acquire(ctx, 1) }
	}, true},
	{"Semaphore.Acquire of what another has", func(f *fragile) func(context.Context) error {
		ready(f.peer.sem.TryAcquire(2))
		return func(ctx context.Context) error { return f.ours.sem.Acquire(ctx, 1) }
	}, true},
	{"Semaphore.TryAcquire", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return f.ours.sem.TryAcquire(1) }
	}, true},
	{"Semaphore.Release", func(f *fragile) func(context.Context) error {
		ready(f.ours.sem.TryAcquire(1))
		return func(context.Context) error { return f.ours.sem.Release(1) }
	}, true},
	{"Semaphore.Free", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return gone(f.ours.sem.Free() == 0) }
	}, true},
	{"Event.Generation", func(f *fragile) func(context.Context) error {
		ready(f.peer.ev.Signal())
		return func(context.Context) error { return gone(f.ours.ev.Generation() == 0) }
	}, true},
	{"Event.Signal", func(f *fragile) func(context.Context) error {
		return func(context.Context) error { return f.ours.ev.Signal() }
	}, true},
	{"Event.Wait", func(f *fragile) func(context.Context) error {
		return func(ctx context.Context) error { return f.ours.ev.Wait(ctx, 0) }
	}, true},
	{"Snapshot.Load", func(f *fragile) func(context.Context) error {
		ready(f.peer.snap.Store(context.Background(), triple{1, 2, 3}))
		return func(context.Context) error { _, _, err := f.ours.snap.Load(); return err }
	}, true},
	{"Snapshot.Store", func(f *fragile) func(context.Context) error {
		return func(ctx context.Context) error { return f.ours.snap.Store(ctx, triple{4, 5, 6}) }
	}, true},
	{"Snapshot.Store while another does", func(f *fragile) func(context.Context) error {
		ready(must(f.other.Space().Mutex(f.seg.DataStart() + eventAt - 64)).TryLock())
		snap := must(shmsync.SnapshotOf[[1]int64](f.seg.Space(), f.seg.DataStart()+eventAt-64))
		return func(ctx context.Context) error { return snap.Store(ctx, [1]int64{}) }
	}, true},
}

// untouched are the methods that look at no shared memory, or only at what the
// caller hands them.
var untouched = map[string]string{
	"Segment.Close":   "TestLostClose",
	"Segment.Mapping": "the Mapping has guards of its own",
	"Segment.Space":   "no memory", "Segment.ReadOnly": "no memory", "Segment.Name": "no memory", "Segment.Size": "no memory", "Segment.DataStart": "no memory",
	"Segment.File": "a descriptor", "Segment.FileReadOnly": "a descriptor", "Segment.SealWriters": "a descriptor",
	"Space.Leave": "LeaveBy", "Space.LeaveBy": "TestLostClose",
	"Space.Close": "no memory", "Space.Closed": "no memory", "Space.Self": "no memory", "Space.ReadOnly": "no memory", "Space.Slots": "no memory", "Space.Size": "no memory",
	"Space.LiveOffset": "no memory", "Space.Word32": "an address", "Space.Fragile": "no memory", "Space.Word64": "an address", "Space.Memory": "an address",
	"Space.Mutex": "an address", "Space.RWMutex": "an address", "Space.Event": "an address",
	"Space.MutexBytes": "no memory", "Space.RWMutexBytes": "no memory", "Space.SemaphoreBytes": "no memory",
	"Space.NewSleeper": "no memory", "Sleeper.Spin": "what it calls",
}

// TestLostIsComplete: no method was forgotten.
func TestLostIsComplete(t *testing.T) {
	has := map[string]bool{}
	for _, o := range operations {
		name, _, _ := strings.Cut(o.name, " ")
		has[name] = true
	}
	for _, v := range []any{new(shm.Segment), new(shmsync.Space), new(shmsync.Sleeper), new(shmsync.Mutex), new(shmsync.RWMutex),
		new(shmsync.Semaphore), new(shmsync.Event), new(shmsync.Snapshot[triple])} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumMethod() {
			kind, _, _ := strings.Cut(typ.Elem().Name(), "[")
			name := kind + "." + typ.Method(i).Name
			if !has[name] && untouched[name] == "" {
				t.Errorf("nothing is known of %s on memory that is lost", name)
			}
		}
	}
}

// TestLost: another process truncates a named segment, or punches a hole into it,
// before each call.
func TestLost(t *testing.T) {
	need(t)
	peer := testenv.NewVandal(t)
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			for _, keep := range []string{"nothing", "the header", "what is not data"} {
				name := ours(t)
				f := newFragile(t, name)
				call := o.begin(f)
				size := map[string]int64{"nothing": 0, "the header": 4096, "what is not data": f.seg.DataStart()}[keep]
				peer.Truncate(filepath.Join(shm.Directory, name), size)
				err := bounded(t, call)
				if o.data || keep == "nothing" {
					if !errors.Is(err, shmsync.ErrLost) {
						t.Errorf("with %s left: %v, want %v", keep, err, shmsync.ErrLost)
					}
					if f := (*mmap.FaultError)(nil); errors.As(err, &f) && (!errors.Is(err, mmap.ErrPastEnd) || f.Off < size || f.Off%4096 != 0) {
						t.Errorf("with %s left: %v", keep, err)
					}
				}
				closeAll(t, f.seg, f.other)
			}
			name := ours(t)
			f := newFragile(t, name)
			call := o.begin(f)
			peer.Punch(filepath.Join(shm.Directory, name), 0, f.seg.Size())
			t.Logf("a hole: %v", bounded(t, call))
			closeAll(t, f.seg, f.other)
		})
	}
}

// bounded fails the test if a call does not come to an end by itself.
func bounded(t *testing.T, call func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := call(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it hung: %v", err)
	}
	return err
}

// TestLostHole: what a hole makes of the segment is noticed.
func TestLostHole(t *testing.T) {
	need(t)
	peer := testenv.NewVandal(t)
	name := ours(t)
	f := newFragile(t, name)
	if err := f.ours.snap.Store(t.Context(), triple{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.peer.snap.Load(); err != nil {
		t.Fatal(err)
	}
	peer.Punch(filepath.Join(shm.Directory, name), 0, f.seg.Size())
	_, _, find := f.seg.Find("a")
	_, objects := f.seg.Objects()
	_, place := f.seg.Place(t.Context(), shm.Object{Name: "a", Size: 8})
	_, open := shm.Open(name, shm.Options{})
	for i, err := range []error{find, objects, place, open} {
		if !errors.Is(err, shm.ErrNotSegment) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	_, _, load := f.peer.snap.Load()
	for i, err := range []error{load, bounded(t, func(ctx context.Context) error { return f.ours.ev.Wait(ctx, 0) })} {
		if !errors.Is(err, shmsync.ErrDamaged) {
			t.Errorf("lock %d: %v", i, err)
		}
	}
	closeAll(t, f.seg, f.other)
}

// TestLostWhileWaiting: those who wait in the kernel, in a queue of their process
// or for an Unlock of it come to an end.
func TestLostWhileWaiting(t *testing.T) {
	need(t)
	peer := testenv.NewVandal(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, cut := range []bool{true, false} {
		name := ours(t)
		f := newFragile(t, name)
		directory := must(f.other.Space().Mutex(2048))
		own := must(f.seg.Space().Mutex(f.seg.DataStart() + 512)) // held by the process that waits
		if err := errors.Join(f.peer.mu.Lock(ctx), f.peer.rw.Lock(ctx), f.peer.sem.Acquire(ctx, 2), own.Lock(ctx), directory.Lock(ctx)); err != nil {
			t.Fatal(err)
		}
		readers := must(f.seg.Space().RWMutex(f.seg.DataStart() + 4096))
		if err := must(f.other.Space().RWMutex(f.seg.DataStart() + 4096)).RLock(ctx); err != nil {
			t.Fatal(err)
		}
		sl, w := f.seg.Space().NewSleeper(), must(f.seg.Space().Word32(f.seg.DataStart()+640))
		waits := map[string]func() error{
			"Mutex":            func() error { return f.ours.mu.Lock(ctx) },
			"Mutex, own":       func() error { return own.Lock(ctx) },
			"RWMutex, writer":  func() error { return f.ours.rw.Lock(ctx) },
			"RWMutex, reader":  func() error { return f.ours.rw.RLock(ctx) },
			"RWMutex, readers": func() error { return readers.Lock(ctx) },
			"Semaphore":        func() error { return f.ours.sem.Acquire(ctx, 1) },
			"Event":            func() error { return f.ours.ev.Wait(ctx, 0) },
			"Place": func() error {
				_, err := f.seg.Place(ctx, shm.Object{Name: "a", Size: 8})
				return err
			},
			"Sleeper": func() error {
				for {
					if err := sl.Sleep(ctx, f.other.Space().Self(), w, 0); err != nil {
						return err
					}
				}
			},
		}
		type end struct {
			who string
			err error
		}
		ends := make(chan end)
		for who, wait := range waits {
			n := 2 // one in the kernel, one in the queue
			if who == "Sleeper" {
				n = 1
			}
			for range n {
				go func() { ends <- end{who, wait()} }()
			}
		}
		time.Sleep(20 * time.Millisecond)
		if cut {
			peer.Truncate(filepath.Join(shm.Directory, name), 0)
		} else {
			peer.Punch(filepath.Join(shm.Directory, name), 0, f.seg.Size())
		}
		began := time.Now()
		for range 2*len(waits) - 1 {
			e := <-ends
			if cut && !errors.Is(e.err, shmsync.ErrLost) || errors.Is(e.err, context.DeadlineExceeded) {
				t.Errorf("%s, truncated %v: %v", e.who, cut, e.err)
			}
		}
		t.Logf("truncated %v: all ended after %v", cut, time.Since(began))
		closeAll(t, f.seg, f.other)
	}
}

// TestLostHalf: a lock whose word is left, and whose other half is gone, is not
// left held.
func TestLostHalf(t *testing.T) {
	need(t)
	peer := testenv.NewVandal(t)
	for name, call := range map[string]func(s *shmsync.Space, off int64) error{
		"RWMutex.Lock":         func(s *shmsync.Space, off int64) error { return must(s.RWMutex(off)).Lock(t.Context()) },
		"RWMutex.TryLock":      func(s *shmsync.Space, off int64) error { return must(s.RWMutex(off)).TryLock() },
		"Semaphore.Acquire":    func(s *shmsync.Space, off int64) error { return must(s.Semaphore(off, 1)).Acquire(t.Context(), 1) },
		"Semaphore.TryAcquire": func(s *shmsync.Space, off int64) error { return must(s.Semaphore(off, 1)).TryAcquire(1) },
		"Snapshot.Store": func(s *shmsync.Space, off int64) error {
			return must(shmsync.SnapshotOf[triple](s, off)).Store(t.Context(), triple{})
		},
	} {
		segment := ours(t)
		f := newFragile(t, segment)
		half := f.seg.DataStart() + 4096 - 64
		peer.Truncate(filepath.Join(shm.Directory, segment), half+64)
		if err := call(f.seg.Space(), half); !errors.Is(err, shmsync.ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		if w := must(f.seg.Space().Word64(half)).Load(); w != 0 {
			t.Errorf("%s leaves the word %#x", name, w)
		}
		closeAll(t, f.seg, f.other)
	}
}

// TestLostClose: who leaves what was truncated leaves, and takes the name away.
func TestLostClose(t *testing.T) {
	need(t)
	peer := testenv.NewVandal(t)
	for _, size := range []int64{0, 4096, 8192} {
		name := ours(t)
		f := newFragile(t, name)
		reader := must(shm.Open(name, shm.Options{ReadOnly: true}))
		if err := errors.Join(f.ours.mu.Lock(t.Context()), f.ours.rw.RLock(t.Context())); err != nil {
			t.Fatal(err)
		}
		peer.Truncate(filepath.Join(shm.Directory, name), size)
		if _, err := shm.Stat(name); !errors.Is(err, shm.ErrNotSegment) {
			t.Errorf("Stat: %v", err)
		}
		if _, err := shm.List(""); err != nil {
			t.Errorf("List: %v", err)
		}
		if removed, err := shm.Collect(""); err != nil {
			t.Errorf("Collect: %v, %v", removed, err)
		}
		if _, err := shm.Open(name, shm.Options{}); !errors.Is(err, shm.ErrNotSegment) {
			t.Errorf("Open: %v", err)
		}
		closeAll(t, f.seg, f.other, reader)
		if err := f.ours.mu.Unlock(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Unlock afterwards: %v", err)
		}
		if _, err := shm.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("in the end: %v", err)
		}
	}
}

// TestLostAtAnyMoment has a process truncate, lengthen and punch the file all the
// time while everything is called.
func TestLostAtAnyMoment(t *testing.T) {
	need(t)
	if raceDetector {
		testenv.Skip(t, "the race detector makes its accesses in C code, where a fault ends the process")
	}
	name := ours(t)
	f := newFragile(t, name)
	var calls []func(ctx context.Context) error
	for _, o := range operations {
		if !strings.Contains(o.name, " ") && o.name != "Space.Join" {
			calls = append(calls, o.begin(f))
			f.ours.mu.Unlock()
			f.ours.rw.Unlock()
			f.ours.rw.RUnlock()
		}
	}
	peer := testenv.Truncate(t, filepath.Join(shm.Directory, name), 0)
	ended := make(chan map[string]int)
	const crowd = 2
	until := time.Now().Add(300 * time.Millisecond)
	for range crowd {
		go func() {
			seen := map[string]int{}
			for time.Now().Before(until) {
				for _, call := range calls {
					ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
					err := call(ctx)
					cancel()
					for _, e := range []error{shmsync.ErrLost, shmsync.ErrDamaged, context.DeadlineExceeded} {
						if errors.Is(err, e) {
							seen[e.Error()]++
						}
					}
				}
			}
			ended <- seen
		}()
	}
	lost := 0
	for range crowd {
		seen := <-ended
		lost += seen[shmsync.ErrLost.Error()]
		t.Log(seen)
	}
	if d := peer.Stop(); lost == 0 {
		t.Errorf("nobody met it: %+v", d)
	}
	closeAll(t, f.seg, f.other)
}

var _ = testenv.Register("shm.noroom", func() {
	s, err := shm.Open(os.Getenv(nameVar), shm.Options{})
	if err != nil {
		childFails(err)
	}
	mu := must(s.Space().Mutex(s.DataStart()))
	if err := mu.Lock(context.Background()); err != nil {
		childFails(err)
	}
	room := make([]byte, 64<<20) // for the runtime, which can get no more
	clear(room)
	runtime.GC()
	soft, hard, err := sys.Getrlimit(sys.AddressSpace)
	if err == nil {
		err = sys.Setrlimit(sys.AddressSpace, 1<<20, hard)
	}
	if err != nil {
		childFails(err)
	}
	refused := s.Close()
	err = sys.Setrlimit(sys.AddressSpace, soft, hard)
	fmt.Println(errors.Is(refused, sys.ENOMEM), err)
	runtime.KeepAlive(room)
	os.Stdin.Read(make([]byte, 1))
	fmt.Println(s.Close())
})

// TestCloseRefused: where the kernel does not take the memory away, Close fails, the
// process takes part still, and what it holds stays its own. A second Close ends that.
func TestCloseRefused(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 1<<16, shm.Options{})
	mu := must(s.Space().Mutex(s.DataStart()))
	cmd := testenv.Child{Name: "shm.noroom", Env: []string{nameVar + "=" + name}}.Command(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	said := func() string { lines.Scan(); return lines.Text() }
	if first := said(); first != "true <nil>" {
		in.Close()
		cmd.Wait()
		if strings.Contains(stderr.String(), "ThreadSanitizer") {
			testenv.Skip(t, "needs a build without the race detector, which dies when a limit refuses it memory: "+stderr.String())
		}
		t.Fatalf("the child says %q\n%s", first, stderr.String())
	}
	if err := mu.TryLock(); !errors.Is(err, shmsync.ErrLocked) {
		t.Errorf("while it takes part: %v", err)
	}
	in.Close()
	if second := said(); second != "<nil>" {
		t.Errorf("a second Close: %s", second)
	}
	if err := mu.Lock(t.Context()); !errors.Is(err, shmsync.ErrOwnerDied) {
		t.Errorf("after that: %v", err)
	}
	cmd.Wait()
	closeAll(t, s)
}

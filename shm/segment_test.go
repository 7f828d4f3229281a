package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

func TestMain(m *testing.M) {
	// The anchor's thread and its memory stay for good: they are no leak of a test.
	if s, err := shm.Anonymous(1, shm.Options{}); err == nil {
		s.Close()
	}
	testenv.Main(m)
}

// create makes a segment and closes it when the test ends, if it is open still.
func create(t *testing.T, name string, size int, o shm.Options) *shm.Segment {
	t.Helper()
	s, err := shm.Create(name, size, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func closeAll(t *testing.T, segments ...*shm.Segment) {
	t.Helper()
	for _, s := range segments {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNamed(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 10000, shm.Options{})
	if _, err := shm.Create(name, 10000, shm.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create: %v", err)
	}
	o, err := shm.Open(name, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ps, err := o.Participants(); err != nil || len(ps) != 2 || ps[0].Owner == ps[1].Owner {
		t.Errorf("two Opens are the participants %v, %v", ps, err)
	}
	mu := must(s.Space().Mutex(s.DataStart()))
	mo := must(o.Space().Mutex(s.DataStart()))
	if err := mu.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mo.TryLock(); !errors.Is(err, shmsync.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if i, err := shm.Stat(name); err != nil || i.Participants != 1 {
		t.Errorf("after one of two left: %+v, %v", i, err)
	}
	if err := mo.Lock(t.Context()); !errors.Is(err, shmsync.ErrOwnerDied) {
		t.Errorf("after its owner left: %v", err)
	}
	if err := errors.Join(mo.MarkConsistent(), mo.Unlock()); err != nil {
		t.Error(err)
	}
	// What was kept beyond Close does no harm.
	if err := mu.Unlock(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Unlock after Close: %v", err)
	}
	if err := mu.Lock(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Lock after Close: %v", err)
	}
	if err := s.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	closeAll(t, o)
	if _, err := shm.Open(name, shm.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the last Close: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRefused(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 4096, shm.Options{Participants: 2, ABI: shm.ABI[int64]()})
	tests := []struct {
		name string
		open func() (*shm.Segment, error)
		want error
	}{
		{"other types", func() (*shm.Segment, error) { return shm.Open(name, shm.Options{ABI: shm.ABI[int32]()}) }, shm.ErrABI},
		{"no types", func() (*shm.Segment, error) { return shm.Open(name, shm.Options{}) }, shm.ErrABI},
		{"nothing there", func() (*shm.Segment, error) { return shm.Open(name+"x", shm.Options{}) }, fs.ErrNotExist},
		{"a directory", func() (*shm.Segment, error) { return shm.Open("/dev/shm/", shm.Options{ReadOnly: true}) }, shm.ErrNotSegment},
		{"an empty name", func() (*shm.Segment, error) { return shm.Create("", 1, shm.Options{}) }, fs.ErrInvalid},
		{"no size", func() (*shm.Segment, error) { return shm.Anonymous(0, shm.Options{}) }, fs.ErrInvalid},
		{"too many participants", func() (*shm.Segment, error) { return shm.Anonymous(1, shm.Options{Participants: 1024}) }, fs.ErrInvalid},
		{"permissions that are none", func() (*shm.Segment, error) { return shm.Anonymous(1, shm.Options{Perm: fs.ModeDir}) }, fs.ErrInvalid},
		{"more than there is", func() (*shm.Segment, error) { return shm.Create(name+"y", math.MaxInt/2, shm.Options{}) }, sys.ENOSPC},
	}
	if bits.UintSize == 32 { // the addresses end before the memory does
		tests[len(tests)-1].want = fs.ErrInvalid
	}
	for _, tt := range tests {
		if s, err := tt.open(); !errors.Is(err, tt.want) || s != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	o := shm.Options{ABI: shm.ABI[int64]()}
	second := must(shm.Open(name, o))
	if _, err := shm.Open(name, o); !errors.Is(err, shm.ErrFull) {
		t.Errorf("a third of two participants: %v", err)
	}
	reader := must(shm.Open(name, shm.Options{ABI: o.ABI, ReadOnly: true})) // takes no slot
	closeAll(t, second)
	closeAll(t, must(shm.Open(name, o)), s, reader)
}

// TestCloseBesideAView: who is inside a view may use the segment, though Close waits
// for that view.
func TestCloseBesideAView(t *testing.T) {
	need(t)
	s := must(shm.Anonymous(4096, shm.Options{}))
	closed := make(chan error, 1)
	inside := make(chan error, 1)
	go func() {
		inside <- s.Mapping().View(s.DataStart(), 8, func([]byte) error {
			go func() { closed <- s.Close() }()
			shut := make(chan bool)
			go func() { // nobody gets in any more: Close waits
				for {
					if _, err := s.Mapping().ReadAt(make([]byte, 1), s.DataStart()); errors.Is(err, fs.ErrClosed) {
						close(shut)
						return
					}
				}
			}()
			<-shut
			if err := s.Close(); !errors.Is(err, mmap.ErrBusy) {
				return fmt.Errorf("Close inside a view: %w", err)
			}
			_, err := s.Participants()
			return err
		})
	}()
	for _, ended := range []chan error{inside, closed} {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience / 2):
			t.Fatal("the view waits for Close, and Close for the view")
		}
	}
	if err := s.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
}

// TestAfterClose: the memory is private zeros once the segment is closed, and no
// call takes those for locks that are free.
func TestAfterClose(t *testing.T) {
	need(t)
	ctx := t.Context()
	s := must(shm.Anonymous(1<<16, shm.Options{}))
	sp, off := s.Space(), s.DataStart()
	mu := must(sp.Mutex(off))
	rw := must(sp.RWMutex(off + 1024))
	sem := must(sp.Semaphore(off+2048, 3))
	ev := must(sp.Event(off + 4096))
	snap := must(shmsync.SnapshotOf[int64](sp, off+5120))
	self := sp.Self()
	if err := errors.Join(ev.Signal(), sem.Acquire(ctx, 1), rw.RLock(ctx)); err != nil {
		t.Fatal(err)
	}
	g := ev.Generation()
	closeAll(t, s)
	tests := map[string]func() error{
		"Mutex.Lock":             func() error { return mu.Lock(ctx) },
		"Mutex.TryLock":          func() error { return mu.TryLock() },
		"Mutex.Unlock":           func() error { return mu.Unlock() },
		"Mutex.MarkConsistent":   func() error { return mu.MarkConsistent() },
		"RWMutex.Lock":           func() error { return rw.Lock(ctx) },
		"RWMutex.TryLock":        func() error { return rw.TryLock() },
		"RWMutex.Unlock":         func() error { return rw.Unlock() },
		"RWMutex.MarkConsistent": func() error { return rw.MarkConsistent() },
		"RWMutex.RLock":          func() error { return rw.RLock(ctx) },
		"RWMutex.TryRLock":       func() error { return rw.TryRLock() },
		"RWMutex.RUnlock":        func() error { return rw.RUnlock() },
		"Semaphore.Acquire":      func() error { return sem.Acquire(ctx, 1) },
		"Semaphore.TryAcquire":   func() error { return sem.TryAcquire(1) },
		"Semaphore.Release":      func() error { return sem.Release(1) },
		"Event.Signal":           func() error { return ev.Signal() },
		"Event.Wait":             func() error { return ev.Wait(ctx, g) },
		"Event.Wait for another": func() error { return ev.Wait(ctx, ev.Generation()) },
		"Snapshot.Load":          func() error { _, _, err := snap.Load(); return err },
		"Snapshot.Store":         func() error { return snap.Store(ctx, 1) },
		"Space.Participants":     func() error { _, err := sp.Participants(); return err },
		"Space.Examine":          func() error { _, err := sp.Examine(self); return err },
		"Segment.Participants":   func() error { _, err := s.Participants(); return err },
		"Segment.Objects":        func() error { _, err := s.Objects(); return err },
		"Segment.Find":           func() error { _, _, err := s.Find("x"); return err },
		"Segment.Place":          func() error { _, err := s.Place(ctx, shm.Object{Name: "x", Size: 8}); return err },
		"Segment.File":           func() error { _, err := s.File(); return err },
		"Segment.FileReadOnly":   func() error { _, err := s.FileReadOnly(); return err },
		"Segment.SealWriters":    func() error { return s.SealWriters() },
		"Segment.Close":          func() error { return s.Close() },
	}
	for name, call := range tests {
		if err := call(); !errors.Is(err, fs.ErrClosed) || errors.Is(err, shmsync.ErrLocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := sem.Free(); n != 0 {
		t.Errorf("%d permits are free", n)
	}
}

// TestSymbolicLink: a link to a segment is none. Whoever attached through it would
// take the link away in leaving, and not the name; and one that leads nowhere is
// neither there nor free.
func TestSymbolicLink(t *testing.T) {
	need(t)
	dir := testenv.TmpfsDir(t)
	name, link, nowhere := filepath.Join(dir, "segment"), filepath.Join(dir, "link"), filepath.Join(dir, "nowhere")
	s := create(t, name, 1, shm.Options{})
	if err := errors.Join(os.Symlink(name, link), os.Symlink("missing", nowhere)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, nowhere} {
		if _, err := shm.Open(name, shm.Options{}); !errors.Is(err, shm.ErrNotSegment) {
			t.Errorf("Open: %v", err)
		}
		if _, err := shm.OpenOrCreate(name, 1, shm.Options{}); !errors.Is(err, shm.ErrNotSegment) {
			t.Errorf("OpenOrCreate: %v", err)
		}
		if _, err := shm.Create(name, 1, shm.Options{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create: %v", err)
		}
		if _, err := shm.Stat(name); !errors.Is(err, shm.ErrNotSegment) {
			t.Errorf("Stat: %v", err)
		}
		if err := shm.Remove(name); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	closeAll(t, must(shm.Open(name, shm.Options{})), s)
}

// TestCollectAmongOthers: what nobody uses any more goes, though it was truncated, and whatever
// else stands in the directory.
func TestCollectAmongOthers(t *testing.T) {
	need(t)
	dir := testenv.TmpfsDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	abandoned, err := os.ReadFile(filepath.Join(shm.Directory, func() string {
		name := ours(t)
		create(t, name, 1, shm.Options{})
		return name
	}()))
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(abandoned)
	kept[12] |= 1 // flags
	later := slices.Clone(abandoned)
	later[8]++ // version
	for name, b := range map[string][]byte{"abandoned": abandoned, "cut": abandoned[:4096], "cut more": abandoned[:48],
		"kept": kept, "kept and cut": kept[:4096], "later": later, "stump": abandoned[:47], "empty": nil, "text": []byte("a text that is longer than a header, by far")} {
		if err := os.WriteFile(in(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	used := create(t, in("used"), 1, shm.Options{})
	usedAndCut := create(t, in("used and cut"), 1, shm.Options{})
	if err := os.Truncate(in("used and cut"), 4096); err != nil {
		t.Fatal(err)
	}
	// A program that runs can't be opened for writing.
	sleep, err := os.ReadFile("/bin/sleep")
	if err == nil {
		err = os.WriteFile(in("a program"), sleep, 0o700)
	}
	program := exec.CommandContext(t.Context(), in("a program"), "60")
	if err == nil && program.Start() == nil {
		defer program.Wait()
		defer program.Process.Kill()
	}

	removed, err := shm.Collect(dir)
	if want := []string{in("abandoned"), in("cut"), in("cut more")}; err != nil || !slices.Equal(removed, want) {
		t.Errorf("collected %q, %v; want %q", removed, err, want)
	}
	closeAll(t, used, usedAndCut)
}

func TestKeep(t *testing.T) {
	need(t)
	name := ours(t)
	closeAll(t, create(t, name, 1, shm.Options{Keep: true}))
	if i, err := shm.Stat(name); err != nil || !i.Keep || i.Participants != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	if removed, err := shm.Collect(""); err != nil || slices.Contains(removed, name) {
		t.Errorf("collected %v, %v", removed, err)
	}
	closeAll(t, must(shm.Open(name, shm.Options{})))
	if err := shm.Remove(name); err != nil {
		t.Error(err)
	}
}

// TestFullTmpfs: no room is an error of Create, which leaves nothing behind, and
// room that was given stays.
func TestFullTmpfs(t *testing.T) {
	need(t)
	dir := testenv.SmallTmpfs(t, 1<<20)
	s := create(t, filepath.Join(dir, "a"), 400<<10, shm.Options{})
	if _, err := shm.Create(filepath.Join(dir, "b"), 900<<10, shm.Options{}); !errors.Is(err, sys.ENOSPC) {
		t.Errorf("Create without room: %v", err)
	}
	free := testenv.Fill(t, dir)
	p := make([]byte, s.Size()-s.DataStart())
	if _, err := s.Mapping().WriteAt(p, s.DataStart()); err != nil {
		t.Errorf("a store into a segment on a full file system: %v", err)
	}
	free()
	closeAll(t, s)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

var _ = testenv.Register("shm.received", func() {
	s, err := shm.Attach(os.NewFile(3, ""), shm.Options{})
	if err != nil {
		childFails(err)
	}
	w, err := join(s)
	if err != nil {
		childFails(err)
	}
	ps, err := s.Participants()
	fmt.Println(len(ps), err)
	if err := w.round(context.Background()); err != nil {
		childFails(err)
	}
	select {} // its end is its death
})

// TestHandedOver gives a segment to a child by descriptor. The descriptor shares
// its sender's locks; the child's own must not.
func TestHandedOver(t *testing.T) {
	need(t)
	s := must(shm.Anonymous(1<<16, shm.Options{}))
	w := must(join(s))
	f := must(s.File())
	defer f.Close()
	child := start(t, testenv.Child{Name: "shm.received", Files: []*os.File{f}}, "2 <nil>")
	alive := func() (n int) {
		for _, p := range must(s.Participants()) {
			if p.Alive {
				n++
			}
		}
		return n
	}
	if n := alive(); n != 2 {
		t.Errorf("%d live, want 2", n)
	}
	child.kill(t)
	if n := alive(); n != 1 {
		t.Errorf("%d live after the child was killed, want 1", n)
	}
	if err := w.round(t.Context()); err != nil {
		t.Error(err)
	}
	closeAll(t, s)
}

// TestReadOnly: what a peer that must not write can do, and what the kernel holds.
func TestReadOnly(t *testing.T) {
	need(t)
	s := must(shm.Anonymous(1<<16, shm.Options{}))
	off := s.DataStart()
	snap := must(shmsync.SnapshotOf[[3]int64](s.Space(), off))
	if err := snap.Store(t.Context(), [3]int64{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	f := must(s.FileReadOnly())
	defer f.Close()
	if _, err := shm.Attach(f, shm.Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Attach for writing with a descriptor for reading: %v", err)
	}
	r := must(shm.Attach(f, shm.Options{ReadOnly: true}))
	got, version, err := must(shmsync.SnapshotOf[[3]int64](r.Space(), off)).Load()
	if got != [3]int64{1, 2, 3} || version != 1 || err != nil {
		t.Errorf("the snapshot is %v, version %d: %v", got, version, err)
	}
	sp := r.Space()
	_, mutex := sp.Mutex(off)
	_, rw := sp.RWMutex(off)
	_, sem := sp.Semaphore(off, 1)
	_, event := sp.Event(off)
	_, place := r.Place(t.Context(), shm.Object{Name: "x", Size: 8})
	for i, err := range []error{mutex, rw, sem, event, place} {
		if !errors.Is(err, shmsync.ErrNoParticipant) {
			t.Errorf("lock %d for one who only reads: %v", i, err)
		}
	}
	if _, err := r.Mapping().WriteAt([]byte{1}, off); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a write by one who only reads: %v", err)
	}
	// The same user could open it for writing through /proc, until the seal.
	again := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	w := must(os.OpenFile(again, os.O_RDWR, 0))
	if err := s.SealWriters(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte{1}, off); !errors.Is(err, sys.EPERM) {
		t.Errorf("a write after SealWriters: %v", err)
	}
	if err := w.Truncate(0); !errors.Is(err, sys.EPERM) {
		t.Errorf("a truncation: %v", err)
	}
	if m, err := mmap.Map(w, mmap.Options{Access: mmap.ReadWrite}); err == nil {
		t.Error("mapped for writing after SealWriters")
		m.Close()
	}
	w.Close()
	if err := snap.Store(t.Context(), [3]int64{4, 5, 6}); err != nil {
		t.Errorf("one who takes part can't write any more: %v", err)
	}
	closeAll(t, r, s)
}

func TestNotSealed(t *testing.T) {
	need(t)
	f := must(os.CreateTemp(testenv.TmpfsDir(t), ""))
	defer f.Close()
	if _, err := shm.Attach(f, shm.Options{}); !errors.Is(err, shm.ErrNotSealed) {
		t.Errorf("a file that anybody may truncate: %v", err)
	}
}

// TestHugePages: memory whose pages come from a pool, which may be empty when they
// are touched, is refused though its size is sealed.
func TestHugePages(t *testing.T) {
	need(t)
	fd, err := sys.Memfd("huge", false, 21)
	if err != nil {
		testenv.Skip(t, "no memory of huge pages: "+err.Error())
	}
	f := os.NewFile(uintptr(fd), "huge")
	defer f.Close()
	if err := errors.Join(f.Truncate(1<<21), sys.SealSize(fd)); err != nil {
		t.Fatal(err)
	}
	if _, err := shm.Attach(f, shm.Options{}); !errors.Is(err, shm.ErrNotSealed) {
		t.Error(err)
	}
}

// TestTruncated: a peer that cuts the file off causes errors in guarded accesses.
func TestTruncated(t *testing.T) {
	need(t)
	name := ours(t)
	s := create(t, name, 1<<16, shm.Options{})
	off := s.Size() - 8
	if _, err := s.Mapping().ReadAt(make([]byte, 8), off); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(shm.Directory, name), s.DataStart()); err != nil {
		t.Fatal(err)
	}
	err := s.Mapping().View(off, 8, func(p []byte) error { return fmt.Errorf("there are %v", p) })
	if !errors.Is(err, mmap.ErrPastEnd) {
		t.Errorf("a view past the new end: %v", err)
	}
	if _, err := shm.Open(name, shm.Options{}); !errors.Is(err, shm.ErrNotSegment) {
		t.Errorf("Open of a truncated segment: %v", err)
	}
	closeAll(t, s)
}

// TestComeAndGo has many attach and leave, the last of whom takes the name away
// each time: nobody fails, and nobody is attached to what has no name.
func TestComeAndGo(t *testing.T) {
	need(t)
	name := ours(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 60 {
				s, err := shm.OpenOrCreate(name, 1, shm.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if i, err := shm.Stat(name); err != nil || i.Participants == 0 {
					t.Errorf("attached to what has no name: %+v, %v", i, err)
				}
				closeAll(t, s)
			}
		})
	}
	all.Wait()
	if _, err := shm.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in the end: %v", err)
	}
}

func TestCollect(t *testing.T) {
	need(t)
	dir := testenv.TmpfsDir(t)
	name, live := dir+"/dead", dir+"/live"
	s := create(t, live, 1<<16, shm.Options{})
	start(t, testenv.Child{Name: "shm.worker", Env: []string{nameVar + "=" + name}}, "at work").kill(t)
	list, err := shm.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	has := func(n string) bool { return slices.ContainsFunc(list, func(i shm.Info) bool { return i.Name == n }) }
	if !has(live) {
		t.Errorf("%v has no %s", list, live)
	}
	there := has(name) // unless it was killed between two rounds
	removed, err := shm.Collect(dir)
	if err != nil || slices.Contains(removed, live) || slices.Contains(removed, name) != there {
		t.Errorf("collected %v, %v", removed, err)
	}
	closeAll(t, s)
}

func TestPlace(t *testing.T) {
	need(t)
	s := must(shm.Anonymous(16<<10, shm.Options{Objects: 3}))
	ctx := t.Context()
	a := must(s.Place(ctx, shm.Object{Name: "a", Size: 100}))
	b := must(s.Place(ctx, shm.Object{Name: "b", Size: 100, Align: 4096}))
	if again := must(s.Place(ctx, shm.Object{Name: "a", Size: 100})); again != a || b%4096 != 0 || b < a+100 {
		t.Errorf("a at %d and %d, b at %d", a, again, b)
	}
	failure := errors.New("half done")
	dirty := func(off int64) error {
		_, err := s.Mapping().WriteAt([]byte("dirt"), off)
		return errors.Join(err, failure)
	}
	if _, err := s.Place(ctx, shm.Object{Name: "c", Size: 8, Init: dirty}); !errors.Is(err, failure) {
		t.Errorf("an Init that fails: %v", err)
	}
	clean := func(off int64) error {
		p := make([]byte, 8)
		_, err := s.Mapping().ReadAt(p, off)
		if string(p) != "\x00\x00\x00\x00\x00\x00\x00\x00" {
			err = fmt.Errorf("it begins with %q", p)
		}
		return err
	}
	if _, err := s.Place(ctx, shm.Object{Name: "c", Size: 8, Init: clean}); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		o    shm.Object
		want error
	}{
		{shm.Object{Name: "a", Size: 99}, fs.ErrInvalid},
		{shm.Object{Name: "", Size: 1}, fs.ErrInvalid},
		{shm.Object{Name: "x", Size: 1, Align: 3}, fs.ErrInvalid},
		{shm.Object{Name: "d", Size: 1}, shm.ErrFull},
	} {
		if _, err := s.Place(ctx, tt.o); !errors.Is(err, tt.want) {
			t.Errorf("Place %+v: %v, want %v", tt.o, err, tt.want)
		}
	}
	if off, size, err := s.Find("b"); off != b || size != 100 || err != nil {
		t.Errorf("b is %d bytes at %d: %v", size, off, err)
	}
	if _, _, err := s.Find("z"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	closeAll(t, s)
}

// TestCollectGoesOn: a segment that somebody is attaching to keeps nobody from
// collecting the others.
func TestCollectGoesOn(t *testing.T) {
	need(t)
	dir := t.TempDir()
	name := dir + "/a"
	s := create(t, name, 4096, shm.Options{})
	fd, err := sys.OpenFile(name, sys.OpenReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(fd)
	if err := sys.LockOFD(fd, sys.LockExclusive, 1<<20+1, 1); err != nil {
		t.Fatal(err)
	}
	if removed, err := shm.Collect(dir); len(removed) != 0 || err != nil {
		t.Errorf("collected %v, %v", removed, err)
	}
	if err := sys.LockOFD(fd, sys.Unlock, 1<<20+1, 1); err != nil {
		t.Fatal(err)
	}
	closeAll(t, s)
}

// TestLastReaders: of two who only read, and leave at once, one takes the name
// away.
func TestLastReaders(t *testing.T) {
	need(t)
	for range 100 {
		name := ours(t)
		s := create(t, name, 4096, shm.Options{})
		readers := []*shm.Segment{must(shm.Open(name, shm.Options{ReadOnly: true})), must(shm.Open(name, shm.Options{ReadOnly: true}))}
		closeAll(t, s)
		var both sync.WaitGroup
		for _, r := range readers {
			both.Go(func() { closeAll(t, r) })
		}
		both.Wait()
	}
}

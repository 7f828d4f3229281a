package mmap_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"reflect"
	"runtime"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

func TestViewBounds(t *testing.T) {
	size := 2*pageSize + 3
	want := pattern(size)
	m := hold(t)(mmap.OpenFile(newFile(t, want), mmap.Options{Access: mmap.ReadWrite}))
	for _, row := range []struct {
		what string
		off  int64
		n    int
		ok   bool
	}{
		{"all of it", 0, size, true},
		{"a part", 10, pageSize, true},
		{"nothing at the end", int64(size), 0, true},
		{"one byte too many", 0, size + 1, false},
		{"one byte past the end", int64(size), 1, false},
		{"before the start", -1, 1, false},
		{"a negative length", 0, -1, false},
		{"a range that overflows", math.MaxInt64, math.MaxInt, false},
		{"a length of the whole address space", 1, math.MaxInt, false},
	} {
		t.Run(row.what, func(t *testing.T) {
			for call, view := range map[string]func(int64, int, func([]byte) error) error{"View": m.View, "WriteView": m.WriteView} {
				ran := false
				err := view(row.off, row.n, func(p []byte) error {
					ran = true
					if len(p) != row.n || cap(p) != row.n {
						t.Errorf("%s: %d bytes, room for %d, want %d", call, len(p), cap(p), row.n)
					}
					if row.ok {
						wantBytes(t, call, p, want[row.off:row.off+int64(row.n)])
					}
					return nil
				})
				if ran != row.ok {
					t.Errorf("%s: fn ran: %v", call, ran)
				}
				if !row.ok {
					wantError(t, err, mmap.ErrOutOfRange)
				} else if err != nil {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
}

func TestViewGivesFnsErrorAsItIs(t *testing.T) {
	mine := errors.New("mine")
	m := hold(t)(mmap.Open(newFile(t, pattern(10))))
	if err := m.View(0, 10, func([]byte) error { return mine }); err != mine {
		t.Errorf("got %#v", err)
	}
}

// leavesTheGateUsable closes m, which works only if nobody is counted inside.
func leavesTheGateUsable(t *testing.T, m *mmap.Mapping) {
	t.Helper()
	if err := m.Resize(m.Len() - 1); err != nil {
		t.Errorf("afterwards Resize says %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("afterwards Close says %v", err)
	}
}

func TestViewLetsPanicsThrough(t *testing.T) {
	for what, fn := range map[string]func(p []byte){
		"a value":         func([]byte) { panic("mine") },
		"an index":        func(p []byte) { i := 100; p[i] = 0 },
		"a nil pointer":   func([]byte) { var p *int; *p = 1 },
		"another mapping": nil, // below: a fault outside the view's mapping
	} {
		t.Run(what, func(t *testing.T) {
			m := hold(t)(mmap.OpenFile(newFile(t, pattern(10)), mmap.Options{Access: mmap.ReadWrite}))
			if fn == nil {
				stranger := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Access: mmap.NoAccess})).Bytes()
				fn = func([]byte) { stranger[0] = 1 }
			}
			func() {
				defer func() {
					if r := recover(); r == nil {
						t.Error("no panic came through")
					}
				}()
				err := m.View(0, 10, func(p []byte) error { fn(p); return nil })
				t.Errorf("View returned %v", err)
			}()
			leavesTheGateUsable(t, m)
		})
	}
}

func TestViewsNest(t *testing.T) {
	outer := hold(t)(mmap.OpenFile(newFile(t, pattern(pageSize)), mmap.Options{Access: mmap.ReadWrite}))
	inner := hold(t)(mmap.OpenFile(newFile(t, pattern(pageSize)), mmap.Options{Access: mmap.ReadWrite}))
	if err := errors.Join(outer.Protect(0, 1, mmap.ProtNone)); err != nil {
		t.Fatal(err)
	}
	ran := false
	err := outer.View(0, 1, func(o []byte) error {
		// A fault on the outer mapping passes through the inner view.
		err := inner.View(0, 1, func(i []byte) error {
			i[0] = 1
			o[0] = 1
			return nil
		})
		ran = true // not reached
		return err
	})
	wantFault(t, err, fs.ErrPermission, 0)
	if ran {
		t.Error("the inner view took the outer mapping's fault")
	}
	// After an inner fault the outer guard still stands.
	if err := errors.Join(outer.Protect(0, 1, mmap.ProtRead|mmap.ProtWrite), inner.Protect(0, 1, mmap.ProtNone)); err != nil {
		t.Fatal(err)
	}
	if err := outer.Protect(0, 1, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	err = outer.View(0, 1, func(o []byte) error {
		wantFault(t, inner.View(0, 1, func(i []byte) error { i[0] = 1; return nil }), fs.ErrPermission, 0)
		wantError(t, outer.Protect(0, 1, mmap.ProtRead|mmap.ProtWrite), mmap.ErrBusy)
		return outer.View(0, 1, func([]byte) error { o[0] = 1; return nil })
	})
	wantFault(t, err, fs.ErrPermission, 0)
	leavesTheGateUsable(t, outer)
	leavesTheGateUsable(t, inner)
}

// runtime.Goexit is what t.FailNow does inside a view of a test.
func TestGoexitInsideAView(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(10)), mmap.Options{Access: mmap.ReadWrite}))
	for _, view := range []func(int64, int, func([]byte) error) error{m.View, m.WriteView} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			view(0, 10, func([]byte) error { runtime.Goexit(); return nil })
			t.Error("Goexit returned")
		}()
		<-done
	}
	leavesTheGateUsable(t, m)
}

func TestWriteViewSyncs(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	name := newFileIn(t, testenv.DiskDir(t), pattern(4*pageSize))
	f := openFile(t, name, os.O_RDWR)
	m := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	if err := m.WriteView(3, 5, func(p []byte) error { copy(p, "12345"); return mine }); err != mine {
		t.Errorf("got %v", err)
	}
	// Nothing was undone and nothing was synced.
	if c := cached(t, f, 0, int64(pageSize)); c.Dirty == 0 {
		t.Errorf("after fn's error the page is not dirty: %+v", c)
	}
	if got := part(t, m, 3, 5); string(got) != "12345" {
		t.Errorf("after fn's error the mapping shows %q", got)
	}
	if err := m.WriteView(3, 5, func(p []byte) error { copy(p, "abcde"); return nil }); err != nil {
		t.Fatal(err)
	}
	if c := cached(t, f, 0, int64(pageSize)); c.Dirty != 0 || c.Writeback != 0 {
		t.Errorf("after WriteView: %+v", c)
	}
}

func TestWriteViewNeedsAFile(t *testing.T) {
	private := hold(t)(mmap.Anonymous(10, mmap.Options{}))
	shared := hold(t)(mmap.Anonymous(10, mmap.Options{Sharing: mmap.Shared}))
	cow := hold(t)(mmap.OpenFile(newFile(t, pattern(10)), mmap.Options{Access: mmap.CopyOnWrite}))
	for _, m := range []*mmap.Mapping{private, shared, cow} {
		err := m.WriteView(0, 1, func([]byte) error { t.Error("fn ran"); return nil })
		wantError(t, err, mmap.ErrNoFile, "use View")
	}
}

func TestSlice(t *testing.T) {
	type pair struct {
		A uint32
		B [2]uint16
	}
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(3*pageSize)), mmap.Options{Access: mmap.ReadWrite, Offset: 4}))
	words, err := mmap.Slice[uint64](m, 4, 100)
	if err != nil || len(words) != 100 || cap(words) != 100 {
		t.Fatalf("%d words, room for %d, %v", len(words), cap(words), err)
	}
	words[1] = 0
	wantBytes(t, "the bytes under the word", part(t, m, 12, 8), make([]byte, 8))
	if p, err := mmap.Slice[pair](m, 0, 10); err != nil || p[1].B != [2]uint16{} {
		t.Errorf("structs: %v, %v", p, err)
	}

	check := func(what string, err, target error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		wantError(t, err, target)
	}
	if reflect.TypeFor[uint64]().Align() == 8 { // not everywhere
		_, err = mmap.Slice[uint64](m, 0, 1) // 4 bytes into the page
		check("an offset that is not aligned at the address", err, fs.ErrInvalid)
	}
	_, err = mmap.Slice[uint32](m, 2, 1)
	check("an offset that is not aligned", err, fs.ErrInvalid)
	for what, r := range map[string]struct {
		off int64
		n   int
	}{
		"one value too many": {4, (3*pageSize-8)/8 + 1}, "a negative count": {4, -1}, "a negative offset": {-4, 1},
		"a count that overflows": {4, math.MaxInt/8 + 2}, "an offset past the end": {int64(4 * pageSize), 1}, "all that there is": {4, math.MaxInt},
	} {
		_, err = mmap.Slice[uint64](m, r.off, r.n)
		check(what, err, mmap.ErrOutOfRange)
	}
	_, err = mmap.Slice[*int](m, 4, 1)
	check("pointers", err, fs.ErrInvalid)
	_, err = mmap.Slice[struct {
		N int
		S []string
	}](m, 4, 1)
	check("a slice deep inside", err, fs.ErrInvalid)
	_, err = mmap.Slice[any](m, 4, 1)
	check("interfaces", err, fs.ErrInvalid)

	empty := hold(t)(mmap.Open(newFile(t, nil)))
	if s, err := mmap.Slice[uint64](empty, 0, 0); err != nil || len(s) != 0 {
		t.Errorf("nothing of nothing: %v, %v", s, err)
	}
	if s, err := mmap.Slice[struct{}](empty, 0, 3); err != nil || len(s) != 3 {
		t.Errorf("three values of no size: %v, %v", s, err)
	}
	m.Close()
	_, err = mmap.Slice[byte](m, 0, 1)
	check("a closed mapping", err, fs.ErrClosed)
}

// Windows may be asked from outside, whatever happens to the mapping meanwhile.
func TestWindowsBesideResize(t *testing.T) {
	m := hold(t)(mmap.Anonymous(4*pageSize, mmap.Options{Reserve: 8 * pageSize}))
	done := make(chan error, 1)
	go func() {
		var err error
		for i := range 50 {
			err = errors.Join(err, m.Resize((4+i%3)*pageSize))
		}
		done <- err
	}()
	for range 50 {
		n := 0
		for _, k := range m.Windows(0, 4*pageSize, pageSize) {
			n += k
		}
		if n != 4*pageSize {
			t.Errorf("the windows have %d bytes", n)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

package mmap_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// No advice loses or changes a byte, whatever the memory.
func TestAdviceIsHarmless(t *testing.T) {
	want := pattern(600 * pageSize)
	name := newFileIn(t, testenv.DiskDir(t), want)
	for what, m := range map[string]*mmap.Mapping{
		"read-only":     hold(t)(mmap.OpenFile(name, mmap.Options{Offset: 100})),
		"read-write":    hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: 100})),
		"copy-on-write": hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.CopyOnWrite, Offset: 100})),
		"anonymous":     hold(t)(mmap.Anonymous(len(want)-100, mmap.Options{})),
		"shared":        hold(t)(mmap.Anonymous(len(want)-100, mmap.Options{Sharing: mmap.Shared})),
	} {
		if m.Access() != mmap.ReadOnly {
			if _, err := m.WriteAt(want[100:], 0); err != nil {
				t.Fatal(err)
			}
		}
		for a := mmap.AdviseNormal; a <= mmap.AdvisePageOut; a++ {
			for _, r := range [][2]int{{0, m.Len()}, {7, 1}, {pageSize - 3, 2 * pageSize}, {m.Len(), 0}} {
				err := m.Advise(int64(r[0]), r[1], a)
				// Huge pages may be refused for the moment or for this kind of
				// memory; what no kernel may refuse is told apart below.
				if err != nil && !errors.Is(err, errors.ErrUnsupported) && a != mmap.AdviseCollapse {
					t.Errorf("%s, %v of %v: %v", what, a, r, err)
				}
				if err != nil && a <= mmap.AdviseWillNeed {
					t.Errorf("%s, %v of %v: %v", what, a, r, err)
				}
			}
			wantBytes(t, what+" after "+a.String(), contents(t, m), want[100:])
		}
		wantError(t, m.Advise(0, 1, mmap.AdvisePageOut+1), fs.ErrInvalid)
		wantError(t, m.Advise(0, m.Len()+1, mmap.AdviseNormal), mmap.ErrOutOfRange)
		wantError(t, m.Advise(int64(m.Len()), 1, mmap.AdviseWillNeed), mmap.ErrOutOfRange)
		wantError(t, m.Advise(-1, 1, mmap.AdviseNormal), mmap.ErrOutOfRange)
	}
}

func TestAdviceReachesTheKernel(t *testing.T) {
	m := hold(t)(mmap.Anonymous(4*pageSize, mmap.Options{}))
	for _, row := range []struct {
		on, off mmap.Advice
		flag    string
	}{
		{mmap.AdviseRandom, mmap.AdviseNormal, "rr"}, {mmap.AdviseSequential, mmap.AdviseNormal, "sr"},
		{mmap.AdviseDontFork, mmap.AdviseDoFork, "dc"}, {mmap.AdviseDontDump, mmap.AdviseDoDump, "dd"},
		{mmap.AdviseHugePage, mmap.AdviseNoHugePage, "hg"}, {mmap.AdviseMergeable, mmap.AdviseUnmergeable, "mg"},
	} {
		err := m.Advise(0, m.Len(), row.on)
		if errors.Is(err, errors.ErrUnsupported) {
			continue // a kernel built without it
		}
		if err != nil {
			t.Error(err)
		}
		if !areaAt(t, m.Addr()).has(row.flag) {
			t.Errorf("after %v the area has not the flag %s", row.on, row.flag)
		}
		if err := m.Advise(0, m.Len(), row.off); err != nil {
			t.Error(err)
		}
		if areaAt(t, m.Addr()).has(row.flag) {
			t.Errorf("after %v the area has the flag %s", row.off, row.flag)
		}
	}
}

func TestAdviseWillNeedReadsAhead(t *testing.T) {
	m, f := coldFile(t, 64*pageSize)
	if err := m.Advise(0, m.Len(), mmap.AdviseWillNeed); err != nil {
		t.Fatal(err)
	}
	if c := cached(t, f, 0, int64(m.Len())); c.Cached == 0 {
		t.Error("nothing is on its way into the cache")
	}
}

// coldFile is a mapping of a file of which nothing is in memory.
func coldFile(t *testing.T, size int) (*mmap.Mapping, *os.File) {
	t.Helper()
	testenv.Need(t, testenv.Cachestat)
	f := openFile(t, newFileIn(t, testenv.DiskDir(t), pattern(size)), os.O_RDWR)
	m := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.SyncRange(0, size, mmap.SyncInvalidate); err != nil {
		t.Fatal(err)
	}
	return m, f
}

func TestDropPrivate(t *testing.T) {
	want := pattern(4 * pageSize)
	cow := hold(t)(mmap.OpenFile(newFile(t, want), mmap.Options{Access: mmap.CopyOnWrite, Offset: 50}))
	anon := hold(t)(mmap.Anonymous(4*pageSize-50, mmap.Options{}))
	for what, m := range map[string]*mmap.Mapping{"copy-on-write": cow, "anonymous": anon} {
		shown := want[50:]
		if m == anon {
			shown = make([]byte, m.Len())
		}
		stored := make([]byte, m.Len())
		for i := range stored {
			stored[i] = 0xEE
		}
		if _, err := m.WriteAt(stored, 0); err != nil {
			t.Fatal(err)
		}
		// Never more than was asked for: a part of a page is refused.
		wantError(t, m.Discard(1, pageSize, mmap.DropPrivate), fs.ErrInvalid, "page")
		wantError(t, m.Discard(0, pageSize-51, mmap.DropPrivate), fs.ErrInvalid)
		wantBytes(t, what+", after refusals", contents(t, m), stored)

		first := pageSize // the first page ends here in the mapping
		if m == cow {
			first -= 50
		}
		if err := m.Discard(int64(first), pageSize, mmap.DropPrivate); err != nil {
			t.Fatal(err)
		}
		copy(stored[first:], shown[first:first+pageSize])
		wantBytes(t, what+", one page dropped", contents(t, m), stored)
		if err := m.Lock(0, m.Len(), mmap.LockNow); err != nil {
			t.Fatal(err)
		}
		wantError(t, m.Discard(0, m.Len(), mmap.DropPrivate), sys.EINVAL, "Unlock")
		if err := m.Unlock(0, m.Len()); err != nil {
			t.Fatal(err)
		}
		if err := m.Discard(0, m.Len(), mmap.DropPrivate); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, what+", all dropped", contents(t, m), shown)
	}
}

func TestPunchHole(t *testing.T) {
	want := pattern(64 * pageSize)
	name := newFileIn(t, testenv.DiskDir(t), want)
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: 10}))
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, name, os.O_RDONLY)
	before := stat(t, f)
	if err := m.Discard(5, 32*pageSize, mmap.PunchHole); err != nil {
		t.Fatal(err)
	}
	clear(want[15 : 15+32*pageSize])
	wantFile(t, name, want)
	wantBytes(t, "the mapping", contents(t, m), want[10:])
	if after := stat(t, f); after.Blocks >= before.Blocks || after.Size != before.Size {
		t.Errorf("before: %+v, after: %+v", before, after)
	}
	shared := hold(t)(mmap.Anonymous(100, mmap.Options{Sharing: mmap.Shared}))
	shared.WriteAt([]byte("abc"), 0)
	if err := shared.Discard(1, 1, mmap.PunchHole); err != nil {
		t.Error(err)
	}
	if got := part(t, shared, 0, 3); string(got) != "a\x00c" {
		t.Errorf("shared memory shows %q", got)
	}
}

func TestDiscardRefuses(t *testing.T) {
	want := pattern(2 * pageSize)
	name := newFile(t, want)
	rw := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	ro := hold(t)(mmap.Open(name))
	cow := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.CopyOnWrite}))
	anon := hold(t)(mmap.Anonymous(2*pageSize, mmap.Options{}))
	for _, row := range []struct {
		what string
		m    *mmap.Mapping
		d    mmap.Discard
		err  error
	}{
		{"dropping what is shared", rw, mmap.DropPrivate, fs.ErrInvalid},
		{"dropping from a read-only mapping", ro, mmap.DropPrivate, fs.ErrInvalid},
		{"freeing a file's pages", rw, mmap.FreeLazily, fs.ErrInvalid},
		{"freeing private pages of a file", cow, mmap.FreeLazily, fs.ErrInvalid},
		{"a hole through a read-only mapping", ro, mmap.PunchHole, mmap.ErrNoFile},
		{"a hole through private memory", cow, mmap.PunchHole, mmap.ErrNoFile},
		{"a hole in no file", anon, mmap.PunchHole, mmap.ErrNoFile},
		{"a way that does not exist", anon, mmap.FreeLazily + 1, fs.ErrInvalid},
	} {
		err := row.m.Discard(0, pageSize, row.d)
		if err == nil {
			t.Errorf("%s: no error", row.what)
			continue
		}
		wantError(t, err, row.err)
	}
	wantError(t, rw.Discard(0, 2*pageSize+1, mmap.PunchHole), mmap.ErrOutOfRange)
	wantError(t, rw.Discard(-1, 1, mmap.PunchHole), mmap.ErrOutOfRange)
	wantFile(t, name, want)
}

// Pages that are stored to again after FreeLazily stay.
func TestFreeLazily(t *testing.T) {
	m := hold(t)(mmap.Anonymous(2*pageSize, mmap.Options{}))
	if _, err := m.WriteAt(pattern(2*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Discard(0, m.Len(), mmap.FreeLazily); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	if got := part(t, m, 0, 4); string(got) != "kept" {
		t.Errorf("it shows %q", got)
	}
	if b := part(t, m, int64(pageSize), 1)[0]; b != 0 && b != pattern(2 * pageSize)[pageSize] {
		t.Errorf("a freed page shows %d, neither zero nor what it was", b)
	}
}

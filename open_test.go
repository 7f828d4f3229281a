package mmap_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestOpenShowsEveryPartOfAFile(t *testing.T) {
	size := 5*pageSize + 123
	want := pattern(size)
	name := newFile(t, want)
	for _, row := range []struct {
		what   string
		off    int64
		length int
		n      int // what the mapping has
	}{
		{"the whole file", 0, 0, size},
		{"the whole file, by its length", 0, size, size},
		{"the first byte", 0, 1, 1},
		{"the last byte", int64(size - 1), 1, 1},
		{"from an unaligned offset to the end", 1000, 0, size - 1000},
		{"from the last byte of a page", int64(pageSize - 1), 2, 2},
		{"from the first byte of a page", int64(pageSize), pageSize, pageSize},
		{"across three pages", int64(pageSize - 1), 2*pageSize + 2, 2*pageSize + 2},
		{"the unfinished last page", int64(5 * pageSize), 0, 123},
		{"nothing, from the very end", int64(size), 0, 0},
	} {
		for _, access := range []mmap.Access{mmap.ReadOnly, mmap.ReadWrite, mmap.CopyOnWrite} {
			t.Run(row.what+", "+access.String(), func(t *testing.T) {
				m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: access, Offset: row.off, Length: row.length}))
				if m.Len() != row.n {
					t.Fatalf("%d bytes, want %d", m.Len(), row.n)
				}
				wantBytes(t, "the mapping", contents(t, m), want[row.off:row.off+int64(row.n)])
				if m.Access() != access || m.Name() != name || m.PageSize() != pageSize {
					t.Errorf("it says %v, %q, pages of %d bytes", m.Access(), m.Name(), m.PageSize())
				}
				wantSpan(t, m, row.off)
			})
		}
	}
}

// wantSpan wants Addr as far into its page as the offset is into its own, and
// Span around the mapping in whole pages.
func wantSpan(t *testing.T, m *mmap.Mapping, off int64) {
	t.Helper()
	base, span := m.Span()
	if m.Len() == 0 {
		if m.Addr() != 0 || base != 0 || span != 0 {
			t.Errorf("an empty mapping has the address %#x and the span %#x, %d", m.Addr(), base, span)
		}
		return
	}
	delta := int(off % int64(pageSize))
	if m.Addr() != base+uintptr(delta) || base%uintptr(pageSize) != 0 {
		t.Errorf("address %#x, span from %#x, offset %d into its page", m.Addr(), base, delta)
	}
	if want := (delta + m.Len() + pageSize - 1) / pageSize * pageSize; span != want {
		t.Errorf("a span of %d bytes, want %d", span, want)
	}
}

// The JDK's map test in our words: any position and any length.
func TestOpenAtRandomPositions(t *testing.T) {
	want := pattern(64*pageSize + 77)
	name := newFile(t, want)
	seed := testenv.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		off := rnd.IntN(len(want))
		n := 1 + rnd.IntN(len(want)-off)
		m, err := mmap.OpenFile(name, mmap.Options{Offset: int64(off), Length: n})
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, fmt.Sprintf("[%d, +%d)", off, n), contents(t, m), want[off:off+n])
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenPastTheEndIsAnError(t *testing.T) {
	want := pattern(pageSize + 10)
	name := newFile(t, want)
	for _, row := range []struct {
		what   string
		access mmap.Access
		off    int64
		length int
		err    error
		words  []string
	}{
		{"read-only, one byte too long", mmap.ReadOnly, 0, pageSize + 11, mmap.ErrPastEnd, []string{"only ReadWrite grows"}},
		{"copy-on-write, one byte too long", mmap.CopyOnWrite, 10, pageSize + 1, mmap.ErrPastEnd, []string{"only ReadWrite grows"}},
		{"no access, one byte too long", mmap.NoAccess, 0, pageSize + 11, mmap.ErrPastEnd, nil},
		{"an offset past the end, to the end", mmap.ReadOnly, int64(pageSize + 11), 0, mmap.ErrPastEnd, []string{"offset"}},
		{"an offset past the end, read-write, to the end", mmap.ReadWrite, int64(pageSize + 11), 0, mmap.ErrPastEnd, nil},
		{"an offset past the end, with a length", mmap.ReadOnly, int64(2 * pageSize), 1, mmap.ErrPastEnd, nil},
		{"a negative offset", mmap.ReadOnly, -1, 1, fs.ErrInvalid, []string{"offset -1"}},
		{"a negative length", mmap.ReadWrite, 0, -1, fs.ErrInvalid, []string{"length -1"}},
		{"an end that overflows", mmap.ReadWrite, math.MaxInt64 - 10, 100, fs.ErrInvalid, nil},
		{"a length of the whole address space", mmap.ReadWrite, 0, math.MaxInt, fs.ErrInvalid, nil},
		{"the last page that an offset can name", mmap.ReadOnly, math.MaxInt64 &^ int64(pageSize-1), 1, fs.ErrInvalid, nil},
	} {
		t.Run(row.what, func(t *testing.T) {
			_, err := mmap.OpenFile(name, mmap.Options{Access: row.access, Offset: row.off, Length: row.length})
			wantError(t, err, row.err, append(row.words, name)...)
			var e *mmap.Error
			if errors.As(err, &e) && (e.Off != row.off || e.Len != row.length) {
				t.Errorf("it tells the range [%d, +%d)", e.Off, e.Len)
			}
			wantFile(t, name, want)
		})
	}
}

func TestOpenRefusesOptionsThatMakeNoSense(t *testing.T) {
	name := newFile(t, pattern(pageSize))
	for _, row := range []struct {
		what string
		o    mmap.Options
	}{
		{"a negative reserve", mmap.Options{Reserve: -1}},
		{"a reserve of the whole address space", mmap.Options{Reserve: math.MaxInt}},
		{"an access that does not exist", mmap.Options{Access: mmap.NoAccess + 1}},
		{"a sharing that does not exist", mmap.Options{Sharing: mmap.Shared + 1}},
		{"a pattern that does not exist", mmap.Options{Pattern: mmap.Random + 1}},
		{"a lock that does not exist", mmap.Options{Lock: mmap.LockOnFault + 1}},
		{"huge pages that do not exist", mmap.Options{HugePages: mmap.Huge1GiB + 1}},
		{"a placement that does not exist", mmap.Options{Placement: mmap.FixedReplace + 1, Addr: 1 << 30}},
		{"an address without a placement", mmap.Options{Addr: 1 << 30}},
		{"a placement without an address", mmap.Options{Placement: mmap.Hint}},
		{"an address that is not as far into its page as the offset", mmap.Options{Placement: mmap.Hint, Addr: 1<<30 + 1}},
		{"no access and executable", mmap.Options{Access: mmap.NoAccess, Exec: true}},
		{"no access and populated", mmap.Options{Access: mmap.NoAccess, Populate: true}},
		{"no access and locked now", mmap.Options{Access: mmap.NoAccess, Lock: mmap.LockNow}},
		{"a file and shared anonymous memory", mmap.Options{Sharing: mmap.Shared}},
	} {
		t.Run(row.what, func(t *testing.T) {
			m, err := mmap.OpenFile(name, row.o)
			wantError(t, err, fs.ErrInvalid, name)
			if m != nil {
				t.Error("there is a mapping beside the error")
			}
		})
	}
}

// What a descriptor allows against what is asked for: the error matrix of the
// JDK's suite, LTP's mmap06 and Open POSIX 6.
func TestAccessNeedsTheDescriptorsPermission(t *testing.T) {
	for _, row := range []struct {
		flag   int
		access mmap.Access
		err    error
		words  string
	}{
		{os.O_RDONLY, mmap.ReadOnly, nil, ""},
		{os.O_RDONLY, mmap.CopyOnWrite, nil, ""},
		{os.O_RDONLY, mmap.NoAccess, nil, ""},
		{os.O_RDONLY, mmap.ReadWrite, fs.ErrPermission, "open it with os.O_RDWR"},
		{os.O_WRONLY, mmap.ReadOnly, fs.ErrPermission, "write-only"},
		{os.O_WRONLY, mmap.CopyOnWrite, fs.ErrPermission, "write-only"},
		{os.O_WRONLY, mmap.ReadWrite, fs.ErrPermission, "write-only"},
		{os.O_WRONLY, mmap.NoAccess, fs.ErrPermission, "write-only"},
		{os.O_RDWR, mmap.ReadOnly, nil, ""},
		{os.O_RDWR, mmap.ReadWrite, nil, ""},
		{os.O_RDWR, mmap.CopyOnWrite, nil, ""},
		{os.O_RDWR, mmap.NoAccess, nil, ""},
	} {
		t.Run(fmt.Sprintf("opened with %d, %v", row.flag, row.access), func(t *testing.T) {
			name := newFile(t, pattern(pageSize))
			m, err := mmap.Map(openFile(t, name, row.flag), mmap.Options{Access: row.access})
			if row.err != nil {
				wantError(t, err, row.err, name, row.words)
				return
			}
			hold(t)(m, err)
		})
	}
}

// A call that fails for want of a permission, or because the object can't be
// mapped, has not grown it before.
func TestRefusedGrowthLeavesTheFileAlone(t *testing.T) {
	content := pattern(100)
	for what, flag := range map[string]int{"read-only": os.O_RDONLY, "write-only": os.O_WRONLY} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, content)
			_, err := mmap.Map(openFile(t, name, flag), mmap.Options{Access: mmap.ReadWrite, Length: 10 * pageSize})
			wantError(t, err, fs.ErrPermission, what)
			wantFile(t, name, content)
		})
	}
	t.Run("an entry of /proc", func(t *testing.T) {
		testenv.Need(t, proc)
		// A write of zeros would empty the thread's name.
		const name = "/proc/self/comm"
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Length: 100})
		if err == nil {
			t.Fatal("it was mapped")
		}
		wantFile(t, name, before)
	})
}

func TestEmptyFileIsAnEmptyMapping(t *testing.T) {
	for _, access := range []mmap.Access{mmap.DefaultAccess, mmap.ReadWrite, mmap.CopyOnWrite} {
		t.Run(access.String(), func(t *testing.T) {
			m := hold(t)(mmap.OpenFile(newFile(t, nil), mmap.Options{Access: access}))
			if m.Len() != 0 || m.Addr() != 0 || m.Bytes() == nil || len(m.Bytes()) != 0 {
				t.Errorf("length %d at %#x, bytes %v", m.Len(), m.Addr(), m.Bytes())
			}
			if n, err := m.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
				t.Errorf("ReadAt: %d, %v", n, err)
			}
			if n, err := m.WriteTo(io.Discard); n != 0 || err != nil {
				t.Errorf("WriteTo: %d, %v", n, err)
			}
			wantError(t, m.View(0, 1, func([]byte) error { t.Error("fn ran"); return nil }), mmap.ErrOutOfRange)
			ran := false
			if err := m.View(0, 0, func(p []byte) error { ran = len(p) == 0; return nil }); err != nil || !ran {
				t.Errorf("a view of nothing: %v, fn ran: %v", err, ran)
			}
			for what, err := range map[string]error{
				"Lock": m.Lock(0, 0, mmap.LockNow), "Unlock": m.Unlock(0, 0), "Protect": m.Protect(0, 0, mmap.ProtRead),
				"Advise": m.Advise(0, 0, mmap.AdviseWillNeed), "Populate": m.Populate(t.Context(), 0, 0), "Discard": m.Discard(0, 0, mmap.DropPrivate),
			} {
				if err != nil {
					t.Errorf("%s of nothing: %v", what, err)
				}
			}
			if r, err := m.Residency(0, 0); err != nil || r.Pages != 0 || r.Resident != 0 {
				t.Errorf("Residency: %+v, %v", r, err)
			}
			if access != mmap.CopyOnWrite {
				if err := m.Sync(); err != nil {
					t.Errorf("Sync: %v", err)
				}
			}
		})
	}
}

func TestEmptyMappingGrows(t *testing.T) {
	name := newFile(t, nil)
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.Resize(pageSize + 5); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt(pattern(pageSize+5), 0); err != nil {
		t.Fatal(err)
	}
	wantFile(t, name, pattern(pageSize+5))
}

func TestWhatCanNotBeMappedSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	fifo, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v: %s", err, out)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for _, row := range []struct {
		what  string
		name  string
		err   error
		words string
	}{
		{"a file that is not there", filepath.Join(dir, "none"), fs.ErrNotExist, ""},
		{"no name", "", fs.ErrNotExist, ""},
		{"a directory", dir, sys.EISDIR, "map a file in it"},
		{"a FIFO without a writer, which must not block", fifo, sys.ENODEV, "read it"},
		{"a socket", socket, sys.ENXIO, "can't be opened by name"},
	} {
		for _, access := range []mmap.Access{mmap.ReadOnly, mmap.ReadWrite} {
			t.Run(row.what+", "+access.String(), func(t *testing.T) {
				_, err := mmap.OpenFile(row.name, mmap.Options{Access: access})
				wantError(t, err, row.err, row.words, row.name)
			})
		}
	}
	for _, name := range []string{"/proc/self/status", "/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled"} {
		t.Run(name, func(t *testing.T) {
			testenv.Need(t, proc)
			_, err := mmap.Open(name)
			if !errors.Is(err, sys.ENODEV) && !errors.Is(err, sys.EIO) {
				t.Errorf("error %v, want ENODEV or EIO", err)
			}
			wantError(t, err, err, "read it instead", name)
		})
	}
}

func TestMapRefusesDescriptorsThatCanNotBeMapped(t *testing.T) {
	name := newFile(t, pattern(10))
	closed := openFile(t, name, os.O_RDWR)
	closed.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	dir := openFile(t, t.TempDir(), os.O_RDONLY)
	for _, row := range []struct {
		what string
		f    *os.File
		err  error
	}{
		{"none", nil, fs.ErrInvalid},
		{"a closed one", closed, fs.ErrClosed},
		{"a pipe", r, sys.ENODEV},
		{"a directory", dir, sys.EISDIR},
	} {
		for _, access := range []mmap.Access{mmap.ReadOnly, mmap.ReadWrite} {
			t.Run(row.what+", "+access.String(), func(t *testing.T) {
				_, err := mmap.Map(row.f, mmap.Options{Access: access, Length: 10})
				wantError(t, err, row.err)
			})
		}
	}
	t.Run("one that only names a file (O_PATH)", func(t *testing.T) {
		testenv.Need(t, proc)
		const oPath = 0x200000 // the same on every Linux but alpha, parisc and sparc
		_, err := mmap.Map(openFile(t, name, oPath), mmap.Options{})
		wantError(t, err, sys.EBADF)
	})
}

func TestMappingOutlivesItsFileAndItsName(t *testing.T) {
	want := pattern(3*pageSize + 1)
	name := newFile(t, want)
	f := openFile(t, name, os.O_RDWR)
	m := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	f.Close()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "the mapping", contents(t, m), want)
	if _, err := m.WriteAt([]byte("later"), 7); err != nil {
		t.Error(err)
	}
	if err := m.Sync(); err != nil {
		t.Error(err)
	}
	if err := m.Resize(4 * pageSize); err != nil {
		t.Errorf("growing an unlinked file: %v", err)
	}
}

// A folly and a Chromium row: two mappings of one file, whatever their offsets,
// show the same bytes at once, and so does read.
func TestTwoMappingsOfAFileAreCoherent(t *testing.T) {
	name := newFile(t, pattern(3*pageSize))
	a := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	b := hold(t)(mmap.OpenFile(name, mmap.Options{Offset: 100}))
	if _, err := a.WriteAt([]byte("seen by both"), int64(pageSize)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 12)
	if _, err := b.ReadAt(got, int64(pageSize-100)); err != nil || string(got) != "seen by both" {
		t.Errorf("through the other mapping: %q, %v", got, err)
	}
	if _, err := openFile(t, name, os.O_RDONLY).ReadAt(got, int64(pageSize)); err != nil || string(got) != "seen by both" {
		t.Errorf("by read: %q, %v", got, err)
	}
}

func TestCopyOnWriteStaysHere(t *testing.T) {
	want := pattern(2 * pageSize)
	name := newFile(t, want)
	m := hold(t)(mmap.Map(openFile(t, name, os.O_RDONLY), mmap.Options{Access: mmap.CopyOnWrite}))
	if _, err := m.WriteAt([]byte("private"), 3); err != nil {
		t.Fatal(err)
	}
	wantFile(t, name, want)
	if got := contents(t, m)[3:10]; string(got) != "private" {
		t.Errorf("the mapping shows %q", got)
	}
	// A page that was not stored to still shows the file's changes.
	if _, err := openFile(t, name, os.O_WRONLY).WriteAt([]byte("changed"), int64(pageSize)); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, m)[pageSize : pageSize+7]; string(got) != "changed" {
		t.Errorf("the other page shows %q", got)
	}
}

func TestReadWriteGrowsTheFileWithRealBlocks(t *testing.T) {
	content := pattern(100)
	name := newFileIn(t, testenv.DiskDir(t), content)
	const length = 1 << 20
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: 50, Length: length}))
	if m.Len() != length {
		t.Errorf("%d bytes", m.Len())
	}
	wantFile(t, name, append(content, make([]byte, length+50-100)...))
	if st := stat(t, openFile(t, name, os.O_RDONLY)); st.Blocks*512 < length {
		t.Errorf("%d bytes of blocks for %d bytes", st.Blocks*512, length)
	}
}

// Blocks are for the mapped part: what lies before an offset past the end stays
// a hole.
func TestReadWritePastTheEndLeavesAHole(t *testing.T) {
	name := newFileIn(t, testenv.DiskDir(t), []byte("x"))
	const off = 5<<30 + 123 // no 32 bits hold it
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: off, Length: 2 * pageSize}))
	if _, err := m.WriteAt(pattern(2*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, name, os.O_RDONLY)
	got := make([]byte, 2*pageSize)
	if _, err := f.ReadAt(got, off); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "the file behind 5 GiB", got, pattern(2*pageSize))
	if st := stat(t, f); st.Size != off+int64(2*pageSize) || st.Blocks*512 > 1<<20 {
		t.Errorf("the file has %d bytes and %d bytes of blocks", st.Size, st.Blocks*512)
	}
	wantSpan(t, m, off)
}

func TestMapHasAnOpenFileDescriptionOfItsOwn(t *testing.T) {
	name := newFile(t, pattern(pageSize))
	for what, flag := range map[string]int{"plain": os.O_RDWR, "append": os.O_RDWR | os.O_APPEND} {
		t.Run(what, func(t *testing.T) {
			f := openFile(t, name, flag)
			a := ofFile(t, hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})))
			b := ofFile(t, hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})))
			// One description has one position.
			if _, err := f.Seek(17, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Seek(19, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			for who, g := range map[string]*os.File{"the file": f, "one mapping": a, "the other": b} {
				want := map[*os.File]int64{f: 17, a: 19, b: 0}[g]
				if at, err := g.Seek(0, io.SeekCurrent); err != nil || at != want {
					t.Errorf("%s is at %d, want %d (%v)", who, at, want, err)
				}
			}
		})
	}
}

func TestCreateMakesAFileWithRealBlocks(t *testing.T) {
	dir := testenv.DiskDir(t)
	name := filepath.Join(dir, "new")
	m := hold(t)(mmap.Create(name, 1<<20+1, 0o640))
	if m.Access() != mmap.ReadWrite || m.Len() != 1<<20+1 {
		t.Errorf("%v, %d bytes", m.Access(), m.Len())
	}
	f := openFile(t, name, os.O_RDONLY)
	if st := stat(t, f); st.Size != 1<<20+1 || st.Blocks*512 < 1<<20+1 {
		t.Errorf("%d bytes, %d bytes of blocks", st.Size, st.Blocks*512)
	}
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm()&^0o640 != 0 || fi.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	wantFile(t, name, make([]byte, 1<<20+1))
	if _, err := m.WriteAt(pattern(1000), 1<<20-999); err != nil {
		t.Error(err)
	}
	if err := m.Sync(); err != nil {
		t.Error(err)
	}
	empty := hold(t)(mmap.Create(filepath.Join(dir, "empty"), 0, 0o600))
	if err := empty.Sync(); err != nil || empty.Len() != 0 {
		t.Errorf("an empty new file: %d bytes, %v", empty.Len(), err)
	}
}

func TestCreateLeavesNoFileWhenItFails(t *testing.T) {
	dir := t.TempDir()
	taken := newFileIn(t, dir, []byte("keep me"))
	name := filepath.Join(dir, "new")
	for _, row := range []struct {
		what   string
		name   string
		length int
		err    error
	}{
		{"a negative length", name, -1, fs.ErrInvalid},
		{"a length of the whole address space", name, math.MaxInt, fs.ErrInvalid},
		{"a directory that is not there", filepath.Join(dir, "none", "new"), 1, fs.ErrNotExist},
		{"a name that is taken", taken, 1, fs.ErrExist},
		{"no name", "", 1, fs.ErrNotExist},
	} {
		t.Run(row.what, func(t *testing.T) {
			_, err := mmap.Create(row.name, row.length, 0o600)
			wantError(t, err, row.err, row.name)
		})
	}
	wantFile(t, taken, []byte("keep me"))
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the directory now holds %v (%v)", list, err)
	}
}

func TestCreateOnAFullDiskLeavesNoFile(t *testing.T) {
	dir := testenv.LoopFS(t, "ext4", 16<<20)
	name := filepath.Join(dir, "new")
	_, err := mmap.Create(name, 64<<20, 0o600)
	wantError(t, err, sys.ENOSPC, name, "growing the file")
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

// Create opens the directory to sync the new entry later. Where it may not be
// read there would be no way to keep that promise.
func TestCreateNeedsToSyncTheDirectory(t *testing.T) {
	testenv.Need(t, testenv.Nobody)
	dir := filepath.Join(testenv.DiskDir(t), "drop box")
	if err := os.Mkdir(dir, 0o733); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o733); err != nil {
		t.Fatal(err)
	}
	out := runChild(t, testenv.Child{Name: "create", Nobody: true, Env: []string{"NAME=" + filepath.Join(dir, "new")}})
	if !strings.Contains(out, "its directory must be readable") {
		t.Errorf("the answer is %q", out)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("the directory holds %v (%v)", list, err)
	}
}

var _ = testenv.Register("create", func() {
	m, err := mmap.Create(os.Getenv("NAME"), 100, 0o600)
	fmt.Print(err)
	if err == nil {
		m.Close()
	}
})

// Whatever has bytes can be mapped, whether it has a size or not.
func TestOtherObjects(t *testing.T) {
	t.Run("/dev/zero needs a length", func(t *testing.T) {
		testenv.Need(t, proc)
		_, err := mmap.OpenFile("/dev/zero", mmap.Options{Access: mmap.ReadWrite})
		wantError(t, err, fs.ErrInvalid, "Options.Length")
	})
	t.Run("/dev/zero, shared", func(t *testing.T) {
		testenv.Need(t, proc)
		m := hold(t)(mmap.OpenFile("/dev/zero", mmap.Options{Access: mmap.ReadWrite, Length: 2 * pageSize}))
		wantBytes(t, "the mapping", contents(t, m), make([]byte, 2*pageSize))
		// A store shows in the mapping and never in the device.
		if _, err := m.WriteAt([]byte("x"), 5); err != nil {
			t.Fatal(err)
		}
		if b := contents(t, m)[5]; b != 'x' {
			t.Errorf("the mapping shows %q", b)
		}
		var w strings.Builder
		if _, err := m.WriteTo(&w); err != nil || w.String()[5] != 'x' {
			t.Errorf("WriteTo sent %q, %v", w.String()[5], err)
		}
		// The memory was made for this length: more of it does not exist.
		if err := m.Resize(4 * pageSize); err == nil {
			if err := m.View(0, 4*pageSize, func(p []byte) error { p[3*pageSize] = 1; return nil }); err != nil {
				t.Errorf("Resize agreed to pages that can't be had: %v", err)
			}
		}
	})
	t.Run("a memfd, from its descriptor", func(t *testing.T) {
		testenv.Need(t, testenv.MemfdCreate)
		fd, err := sys.Memfd("test", false, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "memfd")
		t.Cleanup(func() { f.Close() })
		m := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite, Length: 3000}))
		if _, err := m.WriteAt([]byte("hello"), 100); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := f.ReadAt(got, 100); err != nil || string(got) != "hello" {
			t.Errorf("the memfd holds %q, %v", got, err)
		}
		if err := m.Sync(); err != nil {
			t.Errorf("Sync: %v", err)
		}
	})
	t.Run("a file on tmpfs", func(t *testing.T) {
		name := newFileIn(t, testenv.TmpfsDir(t), pattern(pageSize))
		m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
		if err := m.Resize(2*pageSize + 1); err != nil {
			t.Fatal(err)
		}
		wantFile(t, name, append(pattern(pageSize), make([]byte, pageSize+1)...))
	})
	t.Run("a block device", func(t *testing.T) {
		device := loopDevice(t, 1<<20)
		m := hold(t)(mmap.OpenFile(device, mmap.Options{Access: mmap.ReadWrite}))
		if m.Len() != 1<<20 {
			t.Errorf("the whole device has %d bytes", m.Len())
		}
		if _, err := m.WriteAt([]byte("on the device"), 4097); err != nil {
			t.Fatal(err)
		}
		if err := m.Sync(); err != nil {
			t.Error(err)
		}
		_, err := mmap.OpenFile(device, mmap.Options{Access: mmap.ReadWrite, Length: 1<<20 + 1})
		wantError(t, err, mmap.ErrPastEnd, "of the device")
		wantError(t, m.Resize(1<<20+1), mmap.ErrPastEnd)
	})
	t.Run("a file opened for direct I/O", func(t *testing.T) {
		testenv.Need(t, proc)
		want := pattern(3000)
		f := openDirect(t, newFileIn(t, testenv.DiskDir(t), want))
		m := hold(t)(mmap.Map(f, mmap.Options{}))
		got := make([]byte, 999)
		if _, err := m.ReadAt(got, 1001); err != nil {
			t.Error(err)
		}
		wantBytes(t, "the mapping", got, want[1001:2000])
		var w strings.Builder
		if _, err := m.WriteTo(&w); err != nil || w.String() != string(want) {
			t.Errorf("WriteTo sent %d bytes, %v", w.Len(), err)
		}
	})
}

// openDirect opens for direct I/O. The flag's value is one of two, and where it
// is the other one, it means a directory.
func openDirect(t *testing.T, name string) *os.File {
	t.Helper()
	var failed error
	for _, oDirect := range []int{0x4000, 0x10000} {
		f, err := os.OpenFile(name, os.O_RDWR|oDirect, 0)
		if err == nil {
			t.Cleanup(func() { f.Close() })
			return f
		}
		failed = err
	}
	testenv.Skip(t, "needs a file system with O_DIRECT: "+failed.Error())
	return nil
}

// loopDevice is a block device of so many zeros.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	testenv.Need(t, testenv.Root, testenv.Feature{Name: "losetup", Probe: func() error { _, err := exec.LookPath("losetup"); return err }},
		testenv.Feature{Name: "loop devices", Probe: func() error { _, err := os.Stat("/dev/loop-control"); return err }})
	image := newFileIn(t, testenv.DiskDir(t), nil)
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach: %v: %s", err, out)
		}
	})
	return device
}

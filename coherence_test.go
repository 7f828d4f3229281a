package mmap_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// byHand loads or stores the bytes of p one by one through the bare memory. It
// tells how many came through and, if not all, the mapping's page that can't be
// had.
func byHand(m *mmap.Mapping, p []byte, off int, store bool) (n int, bad int64) {
	addr := m.Addr()
	b := m.Bytes()[off : off+len(p)]
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if f, ok := recover().(interface{ Addr() uintptr }); ok {
			bad = int64(f.Addr()-addr) / int64(pageSize) * int64(pageSize)
		}
	}()
	for ; n < len(p); n++ {
		if store {
			b[n] = p[n]
		} else {
			p[n] = b[n]
		}
	}
	return n, -1
}

// coherencePages is the length of the mappings of TestAccessIsMemory.
const coherencePages = 4

// A coherenceCase makes a mapping whose memory and file are not the same thing to
// look at. warm is called at the moment when the mapping can still be used whole.
type coherenceCase struct {
	what        string
	build       func(t *testing.T, warm func(*mmap.Mapping)) (m *mmap.Mapping, name string)
	read, write error // what a read and a write of all pages end with
}

func coherenceCases() []coherenceCase {
	open := func(o mmap.Options, change func(t *testing.T, m *mmap.Mapping, name string)) func(*testing.T, func(*mmap.Mapping)) (*mmap.Mapping, string) {
		return func(t *testing.T, warm func(*mmap.Mapping)) (*mmap.Mapping, string) {
			name := newFileIn(t, testenv.DiskDir(t), pattern(coherencePages*pageSize))
			m := hold(t)(mmap.OpenFile(name, o))
			warm(m)
			change(t, m, name)
			return m, name
		}
	}
	mapped := func(o mmap.Options, open func(t *testing.T, name string) *os.File) func(*testing.T, func(*mmap.Mapping)) (*mmap.Mapping, string) {
		return func(t *testing.T, warm func(*mmap.Mapping)) (*mmap.Mapping, string) {
			name := newFileIn(t, testenv.DiskDir(t), pattern(coherencePages*pageSize))
			m := hold(t)(mmap.Map(open(t, name), o))
			warm(m)
			return m, name
		}
	}
	cow, shared := mmap.Options{Access: mmap.CopyOnWrite}, mmap.Options{Access: mmap.ReadWrite}
	store := func(t *testing.T, m *mmap.Mapping, name string) {
		if n, _ := byHand(m, []byte("mine"), pageSize+5, true); n != 4 {
			t.Fatal("the store did not come through")
		}
	}
	truncate := func(t *testing.T, m *mmap.Mapping, name string) {
		if err := os.Truncate(name, int64(2*pageSize+100)); err != nil {
			t.Fatal(err)
		}
	}
	protect := func(p mmap.Prot) func(t *testing.T, m *mmap.Mapping, name string) {
		return func(t *testing.T, m *mmap.Mapping, name string) {
			if err := m.Protect(int64(2*pageSize), pageSize, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	nothing := func(*testing.T, *mmap.Mapping, string) {}
	appending := func(t *testing.T, name string) *os.File { return openFile(t, name, os.O_RDWR|os.O_APPEND) }
	return []coherenceCase{
		{"a shared file", open(shared, nothing), nil, nil},
		{"a shared file, for random access", open(mmap.Options{Access: mmap.ReadWrite, Pattern: mmap.Random}, nothing), nil, nil},
		{"a file to read", open(mmap.Options{}, nothing), nil, fs.ErrPermission},
		{"a private page", open(cow, store), nil, nil},
		{"a private page of a file that was truncated", open(cow, func(t *testing.T, m *mmap.Mapping, name string) {
			store(t, m, name)
			if err := os.Truncate(name, 0); err != nil {
				t.Fatal(err)
			}
		}), mmap.ErrPastEnd, mmap.ErrPastEnd},
		{"a page that may not be read", open(shared, protect(mmap.ProtNone)), fs.ErrPermission, fs.ErrPermission},
		{"a page that may not be written", open(shared, protect(mmap.ProtRead)), nil, fs.ErrPermission},
		{"a private page that may not be read", open(cow, protect(mmap.ProtNone)), fs.ErrPermission, fs.ErrPermission},
		{"a truncated file", open(shared, truncate), mmap.ErrPastEnd, mmap.ErrPastEnd},
		{"a truncated private file", open(cow, truncate), mmap.ErrPastEnd, mmap.ErrPastEnd},
		{"a descriptor that appends", mapped(shared, appending), nil, nil},
		{"a private mapping of a descriptor that appends", mapped(cow, appending), nil, nil},
		{"a descriptor for direct I/O", mapped(shared, openDirect), nil, nil},
		{"a private mapping of a descriptor for direct I/O", mapped(cow, openDirect), nil, nil},
		{"a descriptor for direct I/O, to read", mapped(mmap.Options{}, openDirect), nil, fs.ErrPermission},
		{"a memfd that is sealed against new writers", sealedMemfd, nil, nil},
		{"/dev/zero, shared", func(t *testing.T, warm func(*mmap.Mapping)) (*mmap.Mapping, string) {
			testenv.Need(t, proc)
			m := hold(t)(mmap.OpenFile("/dev/zero", mmap.Options{Access: mmap.ReadWrite, Length: coherencePages * pageSize}))
			warm(m)
			store(t, m, "")
			return m, ""
		}, nil, nil},
		{"a file of an overlay that was copied up", func(t *testing.T, warm func(*mmap.Mapping)) (*mmap.Mapping, string) {
			o := testenv.Overlay(t)
			newFileIn(t, o.Lower, pattern(coherencePages*pageSize))
			name := filepath.Join(o.Merged, "file")
			m := hold(t)(mmap.Open(name))
			t.Cleanup(func() { m.Close() }) // before the unmount
			warm(m)
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(bytes.Repeat([]byte{0xAA}, 100), int64(pageSize))
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			return m, name
		}, nil, fs.ErrPermission},
	}
}

func sealedMemfd(t *testing.T, warm func(*mmap.Mapping)) (*mmap.Mapping, string) {
	testenv.Need(t, testenv.MemfdCreate)
	fd, err := sys.Memfd("test", false, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(pattern(coherencePages * pageSize)); err != nil {
		t.Fatal(err)
	}
	m := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	warm(m)
	if err := sys.SealWrites(fd); err != nil {
		t.Fatal(err)
	}
	return m, ""
}

// TestAccessIsMemory holds ReadAt and WriteAt, which take file calls where those
// do, against bare loads and stores of a twin: the same bytes, count and page.
func TestAccessIsMemory(t *testing.T) {
	for _, c := range coherenceCases() {
		for _, heat := range []struct {
			what string
			warm func(*mmap.Mapping)
		}{
			{"cold", func(*mmap.Mapping) {}},
			{"warm", func(m *mmap.Mapping) {
				p := make([]byte, m.Len())
				m.ReadAt(p, 0) // from now on the pages are believed to be in memory,
				m.WriteAt(p, 0)
				m.WriteAt(p, 0) // and written to
			}},
		} {
			t.Run(c.what+", "+heat.what, func(t *testing.T) {
				m, name := c.build(t, heat.warm)
				twin, twinName := c.build(t, heat.warm)
				p, q := make([]byte, m.Len()-10), make([]byte, m.Len()-10)

				n, err := m.ReadAt(p, 10)
				k, bad := byHand(twin, q, 10, false)
				wantSame(t, "ReadAt", n, err, k, bad, c.read)
				wantBytes(t, "what ReadAt gave", p[:n], q[:k])

				p = bytes.Repeat([]byte("store"), m.Len())[:m.Len()-10]
				n, err = m.WriteAt(p, 10)
				if m.Access() == mmap.ReadOnly { // it does not try
					wantError(t, err, c.write)
					return
				}
				k, bad = byHand(twin, p, 10, true)
				wantSame(t, "WriteAt", n, err, k, bad, c.write)

				p, q = make([]byte, m.Len()), make([]byte, m.Len())
				n, _ = byHand(m, p, 0, false)
				k, _ = byHand(twin, q, 0, false)
				wantBytes(t, "the memory afterwards", p[:n], q[:k])
				if name != "" {
					want, err := os.ReadFile(twinName)
					if err != nil {
						t.Fatal(err)
					}
					wantFile(t, name, want)
				}
			})
		}
	}
}

// wantSame wants n bytes and err to be what k bytes and a fault on the page at
// bad are, or no fault where bad is negative.
func wantSame(t *testing.T, what string, n int, err error, k int, bad int64, cause error) {
	t.Helper()
	if n != k {
		t.Errorf("%s tells %d bytes, %d are those of memory", what, n, k)
	}
	if (bad >= 0) != (cause != nil) {
		t.Errorf("memory faults at %d; the case is meant to end with %v", bad, cause)
	}
	switch {
	case cause != nil:
		wantFault(t, err, cause, bad)
	case err != nil:
		t.Errorf("%s: %v", what, err)
	}
}

// A private copy is in memory though its page of the file can't be read any more.
func TestPrivateCopyAndBadDisk(t *testing.T) {
	testenv.Need(t, proc)
	disk := testenv.SlowFS(t, testenv.SlowFile{Size: int64(coherencePages * pageSize)})
	m := hold(t)(mmap.OpenFile(disk.Path, mmap.Options{Access: mmap.CopyOnWrite}))
	mine := pattern(pageSize)
	if n, _ := byHand(m, mine, pageSize, true); n != pageSize {
		t.Fatal("the store did not come through")
	}
	disk.Evict(0, 0)
	disk.Set(testenv.Fault{Op: testenv.Read, Off: int64(pageSize), Len: int64(2 * pageSize), Err: sys.EIO})
	want := make([]byte, 2*pageSize)
	testenv.Pattern(want, 0)
	copy(want[pageSize:], mine)
	got := make([]byte, coherencePages*pageSize)
	n, err := m.ReadAt(got, 5)
	wantFault(t, err, sys.EIO, int64(2*pageSize))
	wantBytes(t, "what ReadAt gave", got[:n], want[5:])
	wantFault(t, m.View(0, m.Len(), func([]byte) error { return nil }), sys.EIO, int64(2*pageSize))
	if n, err := m.WriteAt(got, 0); n != 2*pageSize {
		t.Errorf("WriteAt: %d, %v", n, err)
	}
}

// A descriptor that appends and can't be opened again, since its name forbids it:
// a write at an offset would go to the file's end.
func TestStoresDoNotAppend(t *testing.T) {
	testenv.Need(t, testenv.Root, testenv.Nobody)
	want := pattern(3 * pageSize)
	name := newFileIn(t, testenv.DiskDir(t), want)
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	f := openFile(t, name, os.O_RDWR|os.O_APPEND)
	if out := runChild(t, testenv.Child{Name: "append", Nobody: true, Files: []*os.File{f}}); out != "" {
		t.Error(out)
	}
	copy(want[pageSize-2:], "over the edge")
	wantFile(t, name, want)
}

var _ = testenv.Register("append", func() {
	m, err := mmap.Map(os.NewFile(3, "appending"), mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		panic(err)
	}
	if _, err := m.WriteAt([]byte("over the edge"), int64(pageSize-2)); err != nil {
		panic(err)
	}
	if err := m.Close(); err != nil {
		panic(err)
	}
})

// TestFullDiskCountsExactly writes over the border between blocks that the file
// has and a hole.
func TestFullDiskCountsExactly(t *testing.T) {
	const size, hole = 1 << 20, 64 << 10
	for _, p := range []mmap.Pattern{mmap.Normal, mmap.Random} {
		t.Run(p.String(), func(t *testing.T) {
			dir := testenv.LoopFS(t, "ext4", 16<<20)
			want := append(pattern(hole), make([]byte, size-hole)...)
			name := newFileIn(t, dir, want[:hole])
			if err := os.Truncate(name, size); err != nil {
				t.Fatal(err)
			}
			m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Pattern: p}))
			if err := m.Sync(); err != nil {
				t.Fatal(err)
			}
			testenv.Fill(t, dir)
			off := hole - 3*pageSize/2
			stored := bytes.Repeat([]byte{0xCC}, 5*pageSize)
			n, err := m.WriteAt(stored, int64(off))
			bad := int64(off+n) / int64(pageSize) * int64(pageSize)
			wantFault(t, err, sys.ENOSPC, bad)
			if n < hole-off || n >= hole-off+pageSize {
				t.Errorf("%d bytes were told, %d had blocks", n, hole-off)
			}
			copy(want[off:], stored[:max(0, n)])
			wantFile(t, name, want)
		})
	}
}

// TestDamagedByAnotherProcess has every kind of access at work on a file that is
// cut, grown and holed at random moments. Each byte that is told is what was put
// there or zero, and those that are never cut are right.
func TestDamagedByAnotherProcess(t *testing.T) {
	const most = 64
	least, size := 8*pageSize, most*pageSize
	want := pattern(size)
	name := newFileIn(t, testenv.DiskDir(t), want)
	for _, access := range []mmap.Access{mmap.ReadOnly, mmap.ReadWrite, mmap.CopyOnWrite} {
		t.Run(access.String(), func(t *testing.T) {
			m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: access}))
			tr := testenv.Truncate(t, name, int64(least))
			p := make([]byte, size)
			rounds := 0
			for end := time.Now().Add(200 * time.Millisecond); rounds < 20 || time.Now().Before(end); rounds++ {
				off := rounds * 1000 % (least - 8)
				clear(p)
				n, err := m.ReadAt(p[off:], int64(off))
				wantUndamaged(t, "ReadAt", p[off:off+n], want, off, least)
				wantDamage(t, "ReadAt", off, n, size, err)

				seen := 0
				err = m.View(int64(off), size-off, func(v []byte) error {
					for i, b := range v { // copied first, a fault tells no count
						p[off+i] = b
						seen = i + 1
					}
					return nil
				})
				wantUndamaged(t, "View", p[off:off+seen], want, off, least)
				wantDamage(t, "View", off, seen, size, err)

				var sent bytes.Buffer
				k, err := m.WriteTo(&sent)
				if k != int64(sent.Len()) {
					t.Errorf("WriteTo tells %d bytes, %d came", k, sent.Len())
				}
				wantUndamaged(t, "WriteTo", sent.Bytes(), want, 0, least)
				wantDamage(t, "WriteTo", 0, int(k), size, err)

				if access != mmap.ReadOnly {
					n, err = m.WriteAt(want[off:], int64(off))
					wantDamage(t, "WriteAt", off, n, size, err)
				}
				if fi, err := os.Stat(name); err != nil || fi.Size() > int64(size) {
					t.Errorf("the file has %d bytes, never more than %d were given to it; %v", fi.Size(), size, err)
				}
				if t.Failed() {
					break
				}
			}
			if d := tr.Stop(); d.Cuts+d.Grows+d.Holes == 0 {
				t.Errorf("nothing happened to the file: %+v", d)
			}
			got, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			wantUndamaged(t, "the file", got, want, 0, least)
		})
	}
}

// wantUndamaged wants got, from off on, to be what was put there or zero, and the
// bytes before least to be right.
func wantUndamaged(t *testing.T, what string, got, want []byte, off, least int) {
	t.Helper()
	for i, b := range got {
		if b != want[off+i] && (b != 0 || off+i < least) {
			t.Errorf("%s: byte %d is %#x, want %#x", what, off+i, b, want[off+i])
			return
		}
	}
}

// wantDamage wants n bytes from off to reach the end, or else a fault on the page
// behind them.
func wantDamage(t *testing.T, what string, off, n, size int, err error) {
	t.Helper()
	var f *mmap.FaultError
	switch {
	case err == nil && off+n != size:
		t.Errorf("%s: %d bytes from %d, and no error", what, n, off)
	case err != nil && !errors.As(err, &f):
		t.Errorf("%s: %v", what, err)
	case err != nil && f.Off != int64((off+n)/pageSize*pageSize):
		t.Errorf("%s: %d bytes from %d, and then %v", what, n, off, err)
	}
}

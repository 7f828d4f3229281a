package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestReadAt(t *testing.T) {
	size := 2*pageSize + 10
	want := pattern(size)
	m := hold(t)(mmap.OpenFile(newFile(t, append(make([]byte, 5), want...)), mmap.Options{Offset: 5}))
	for _, row := range []struct {
		what string
		off  int64
		n    int
		got  int
		err  error
	}{
		{"all of it", 0, size, size, nil},
		{"across a page", int64(pageSize - 7), 20, 20, nil},
		{"the last byte", int64(size - 1), 1, 1, nil},
		{"over the end", int64(size - 3), 10, 3, io.EOF},
		{"at the end", int64(size), 1, 0, io.EOF},
		{"past the end", math.MaxInt64, 1, 0, io.EOF},
		{"nothing", 3, 0, 0, nil},
		{"nothing at the end", int64(size), 0, 0, nil},
		{"before the start", -1, 1, 0, mmap.ErrOutOfRange},
	} {
		t.Run(row.what, func(t *testing.T) {
			p := make([]byte, row.n)
			n, err := m.ReadAt(p, row.off)
			if n != row.got || !errors.Is(err, row.err) {
				t.Errorf("%d, %v; want %d, %v", n, err, row.got, row.err)
			}
			if n > 0 {
				wantBytes(t, "what was read", p[:n], want[row.off:row.off+int64(n)])
			}
			if row.err == io.EOF && err != io.EOF {
				t.Errorf("%#v is not io.EOF itself", err)
			}
		})
	}
}

func TestWriteAtNeverExtends(t *testing.T) {
	size := pageSize + 10
	name := newFile(t, pattern(size))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	for _, row := range []struct {
		what string
		off  int64
		n    int
		err  error
	}{
		{"over the end", int64(size - 3), 4, mmap.ErrOutOfRange},
		{"past the end", int64(size + 1), 1, mmap.ErrOutOfRange},
		{"far past the end", math.MaxInt64, 1, mmap.ErrOutOfRange},
		{"before the start", -1, 1, mmap.ErrOutOfRange},
		{"nothing at the end", int64(size), 0, nil},
		{"the last bytes", int64(size - 3), 3, nil},
		{"across a page", int64(pageSize - 3), 6, nil},
	} {
		t.Run(row.what, func(t *testing.T) {
			want := contents(t, m)
			p := bytes.Repeat([]byte{0xEE}, row.n)
			n, err := m.WriteAt(p, row.off)
			if row.err != nil {
				wantError(t, err, row.err, "mapping of "+strconv.Itoa(size)+" bytes")
			} else if err != nil || n != row.n {
				t.Errorf("%d, %v", n, err)
			} else {
				copy(want[row.off:], p)
			}
			wantFile(t, name, want)
		})
	}
}

// LTP's mmap01: what is stored behind the end of a file, in its last page, is
// behind the mapping's end too, so no call here can put it there.
func TestReadOnlyRefusesStores(t *testing.T) {
	want := pattern(pageSize)
	name := newFile(t, want)
	for _, access := range []mmap.Access{mmap.ReadOnly, mmap.NoAccess} {
		m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: access}))
		_, err := m.WriteAt([]byte("x"), 0)
		wantError(t, err, fs.ErrPermission, access.String(), name)
		wantError(t, m.WriteView(0, 1, func([]byte) error { t.Error("fn ran"); return nil }), fs.ErrPermission)
		err = m.View(0, 1, func(p []byte) error { p[0] = 1; return nil })
		wantFault(t, err, fs.ErrPermission, 0)
	}
	wantFile(t, name, want)
}

// A reader and a writer meet a file that somebody else has made shorter.
func TestTruncatedUnderTheMapping(t *testing.T) {
	for _, by := range []string{"this process", "another process"} {
		t.Run("by "+by, func(t *testing.T) {
			want := pattern(4 * pageSize)
			name := newFile(t, want)
			m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: 100}))
			size := int64(pageSize + 50) // the file's second page stays, up to byte 50
			if by == "this process" {
				if err := os.Truncate(name, size); err != nil {
					t.Fatal(err)
				}
			} else {
				runChild(t, testenv.Child{Name: "truncate", Env: []string{"NAME=" + name, "SIZE=" + strconv.FormatInt(size, 10)}})
			}
			good := 2*pageSize - 100 // bytes of the mapping before the first page that is gone
			gone := int64(2 * pageSize)

			got := make([]byte, m.Len())
			n, err := m.ReadAt(got, 0)
			wantFault(t, err, mmap.ErrPastEnd, gone)
			wantError(t, err, mmap.ErrPastEnd, name, "the file has "+strconv.FormatInt(size, 10)+" bytes now")
			if n != good {
				t.Errorf("ReadAt: %d bytes came before the page that is gone, want %d", n, good)
			}
			shown := append(bytes.Clone(want[100:size]), make([]byte, gone-size)...) // zeros to the end of the page
			wantBytes(t, "what ReadAt gave", got[:n], shown)

			n, err = m.WriteAt(bytes.Repeat([]byte{1}, 2*pageSize), int64(pageSize-100))
			wantFault(t, err, mmap.ErrPastEnd, gone)
			if n != pageSize {
				t.Errorf("WriteAt: %d bytes were stored, want %d", n, pageSize)
			}
			if fi, err := os.Stat(name); err != nil || fi.Size() != size {
				t.Errorf("after the store the file has %d bytes, want %d (%v)", fi.Size(), size, err)
			}

			for what, fn := range map[string]func(p []byte) error{
				"load":  func(p []byte) error { _ = bytes.Count(p, []byte{7}); return nil },
				"store": func(p []byte) error { p[good] = 1; return nil },
			} {
				if err := m.View(0, m.Len(), fn); err == nil {
					t.Errorf("a %s in a view of the truncated file: no error", what)
				} else {
					wantFault(t, err, mmap.ErrPastEnd, gone)
				}
			}
			wantFault(t, m.WriteView(0, m.Len(), func(p []byte) error { clear(p); return nil }), mmap.ErrPastEnd, gone)
			wantFault(t, m.Populate(t.Context(), 0, m.Len()), mmap.ErrPastEnd, gone)

			if n, _ = m.ReadAt(got, 0); n != good {
				t.Errorf("ReadAt: %d bytes, want %d", n, good)
			}
			var sent bytes.Buffer
			k, err := m.WriteTo(&sent)
			wantFault(t, err, mmap.ErrPastEnd, gone)
			if k != int64(good) {
				t.Errorf("WriteTo told %d bytes, want %d", k, good)
			}
			wantBytes(t, "what WriteTo sent", sent.Bytes(), got[:n])

			// The pages come back with the file.
			if err := os.Truncate(name, int64(4*pageSize)); err != nil {
				t.Fatal(err)
			}
			if n, err := m.ReadAt(got, 0); n != len(got) || err != nil {
				t.Errorf("after the file grew again: %d, %v", n, err)
			}
		})
	}
}

// A store to a protected page, a load from one: an error that tells the cause.
func TestProtectedPageIsAnError(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(3*pageSize)), mmap.Options{Access: mmap.ReadWrite}))
	if err := m.Protect(int64(pageSize), pageSize, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	n, err := m.ReadAt(make([]byte, 3*pageSize), 10)
	wantFault(t, err, fs.ErrPermission, int64(pageSize))
	if n != pageSize-10 {
		t.Errorf("%d bytes", n)
	}
	if err := m.Protect(int64(pageSize), pageSize, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	n, err = m.WriteAt(make([]byte, 2*pageSize), int64(pageSize-3))
	wantFault(t, err, fs.ErrPermission, int64(pageSize))
	if n != 3 {
		t.Errorf("%d bytes", n)
	}
	wantError(t, err, fs.ErrPermission, "r--")
}

// A private copy survives the truncation that took its page from the file.
func TestPrivateCopyAndTruncation(t *testing.T) {
	name := newFile(t, pattern(2*pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.CopyOnWrite}))
	if _, err := m.WriteAt([]byte("mine"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, int64(pageSize)); err != nil {
		t.Fatal(err)
	}
	if got := part(t, m, 0, 4); string(got) != "mine" {
		t.Errorf("the private page shows %q", got)
	}
	_, err := m.ReadAt(make([]byte, 1), int64(pageSize))
	wantFault(t, err, mmap.ErrPastEnd, int64(pageSize))
}

// part is a part of the mapping.
func part(t *testing.T, m *mmap.Mapping, off int64, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if _, err := m.ReadAt(p, off); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFullDisk(t *testing.T) {
	dir := testenv.LoopFS(t, "ext4", 16<<20)
	sparse := filepath.Join(dir, "sparse")
	content := pattern(100)
	if err := errors.Join(os.WriteFile(sparse, nil, 0o600), os.Truncate(sparse, 1<<20)); err != nil {
		t.Fatal(err)
	}
	short := newFileIn(t, dir, content)
	before := stat(t, openFile(t, short, os.O_RDONLY))
	m := hold(t)(mmap.OpenFile(sparse, mmap.Options{Access: mmap.ReadWrite}))
	grown := hold(t)(mmap.OpenFile(short, mmap.Options{Access: mmap.ReadWrite}))

	// More than there is, while there is still something: what was reserved on
	// the way must be given back.
	checkShort := func(t *testing.T, err error) {
		t.Helper()
		wantError(t, err, sys.ENOSPC, "growing the file")
		wantFile(t, short, content)
		// ext4 keeps a block of the index that the many pieces needed.
		if st := stat(t, openFile(t, short, os.O_RDONLY)); (st.Blocks-before.Blocks)*512 > st.Blksize {
			t.Errorf("the file has %d blocks, before it had %d", st.Blocks, before.Blocks)
		}
	}
	t.Run("growth by OpenFile", func(t *testing.T) {
		_, err := mmap.OpenFile(short, mmap.Options{Access: mmap.ReadWrite, Length: 64 << 20})
		checkShort(t, err)
	})
	t.Run("growth by Resize", func(t *testing.T) {
		checkShort(t, grown.Resize(64<<20))
		if grown.Len() != 100 {
			t.Errorf("the mapping has %d bytes", grown.Len())
		}
		wantBytes(t, "the mapping", contents(t, grown), content)
	})

	free := testenv.Fill(t, dir)
	t.Run("a store to a hole, by WriteAt", func(t *testing.T) {
		n, err := m.WriteAt([]byte("needs a block"), 512<<10)
		wantFault(t, err, sys.ENOSPC, 512<<10)
		if n != 0 {
			t.Errorf("%d bytes were stored", n)
		}
	})
	t.Run("a store to a hole, in a View", func(t *testing.T) {
		err := m.View(256<<10, 10, func(p []byte) error { p[3] = 1; return nil })
		wantFault(t, err, sys.ENOSPC, 256<<10)
	})
	t.Run("reading a hole needs no block", func(t *testing.T) {
		if p := part(t, m, 512<<10, 10); !bytes.Equal(p, make([]byte, 10)) {
			t.Errorf("it reads %v", p)
		}
	})
	t.Run("growth reserved blocks, so stores there succeed", func(t *testing.T) {
		free()
		if err := grown.Resize(1 << 20); err != nil {
			t.Fatal(err)
		}
		testenv.Fill(t, dir)
		if _, err := grown.WriteAt(pattern(1<<20), 0); err != nil {
			t.Error(err)
		}
		if err := grown.Sync(); err != nil {
			t.Error(err)
		}
	})
}

func TestReadErrorOfTheDisk(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	d := testenv.FailingDisk(t, "ext4", 32<<20)
	name := newFileIn(t, d.Root, pattern(4<<20))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.SyncRange(0, m.Len(), mmap.SyncInvalidate); err != nil {
		t.Fatal(err)
	}
	d.SetFile(name, testenv.Fault{Op: testenv.Read, Err: sys.EIO})
	n, err := m.ReadAt(make([]byte, 100), 2<<20)
	wantFault(t, err, sys.EIO, 2<<20)
	if n != 0 {
		t.Errorf("%d bytes", n)
	}
	wantFault(t, m.View(1<<20, 10, func(p []byte) error { _ = bytes.Clone(p); return nil }), sys.EIO, 1<<20)
	before := mmap.Stats().Faults
	wantFault(t, m.Populate(t.Context(), 3<<20, 10), sys.EIO, 3<<20)
	if after := mmap.Stats().Faults; after != before+1 {
		t.Errorf("%d faults were counted for one page", after-before)
	}
	wantFault(t, m.Lock(3<<20, 10, mmap.LockNow), sys.EIO, 3<<20)
	_, err = mmap.OpenFile(name, mmap.Options{Populate: true})
	wantFault(t, err, sys.EIO, 0)
	var w bytes.Buffer
	_, err = hold(t)(mmap.Open(name)).WriteTo(&w)
	wantFault(t, err, sys.EIO, 0)
	if w.Len() != 0 {
		t.Errorf("%d bytes were sent of a file that can't be read", w.Len())
	}
	d.Device.Set()
	wantBytes(t, "once the disk reads again", contents(t, m), pattern(4<<20))
}

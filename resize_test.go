package mmap_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// Every kind of mapping through the same lengths: what was there stays, and the
// rest is what is behind it.
func TestResize(t *testing.T) {
	steps := []int{1, 100, pageSize, pageSize + 1, 5 * pageSize, 5*pageSize + 7, 3 * pageSize, 10, 0, 2 * pageSize, 40 * pageSize, 3}
	content := pattern(64 * pageSize)
	for what, make := range map[string]func(t *testing.T, reserve int) *mmap.Mapping{
		"read-only": func(t *testing.T, reserve int) *mmap.Mapping {
			return hold(t)(mmap.OpenFile(newFile(t, content), mmap.Options{Offset: 10, Length: 50, Reserve: reserve}))
		},
		"read-write, in the file": func(t *testing.T, reserve int) *mmap.Mapping {
			return hold(t)(mmap.OpenFile(newFile(t, content), mmap.Options{Access: mmap.ReadWrite, Offset: 10, Length: 50, Reserve: reserve}))
		},
		"copy-on-write": func(t *testing.T, reserve int) *mmap.Mapping {
			return hold(t)(mmap.OpenFile(newFile(t, content), mmap.Options{Access: mmap.CopyOnWrite, Offset: 10, Length: 50, Reserve: reserve}))
		},
	} {
		for _, reserve := range []int{0, 3 * pageSize, 50 * pageSize} {
			t.Run(fmt.Sprintf("%s, reserve %d", what, reserve), func(t *testing.T) {
				m := make(t, reserve)
				for _, n := range steps {
					before := m.Addr()
					if err := m.Resize(n); err != nil {
						t.Fatalf("to %d: %v", n, err)
					}
					if m.Len() != n {
						t.Errorf("to %d: the length is %d", n, m.Len())
					}
					if reserve > n && m.Addr() != before {
						t.Errorf("to %d within the reserve: it moved from %#x to %#x", n, before, m.Addr())
					}
					wantBytes(t, fmt.Sprintf("at %d", n), contents(t, m), content[10:10+n])
				}
			})
		}
	}
}

func TestResizeGrowsTheFileAndNeverShortensIt(t *testing.T) {
	name := newFile(t, pattern(100))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: 7}))
	if err := m.Resize(3 * pageSize); err != nil {
		t.Fatal(err)
	}
	want := append(pattern(100), make([]byte, 3*pageSize+7-100)...)
	wantFile(t, name, want)
	if st := stat(t, openFile(t, name, os.O_RDONLY)); st.Blocks*512 < int64(3*pageSize) {
		t.Errorf("the new part has only %d bytes of blocks", st.Blocks*512)
	}
	if _, err := m.WriteAt([]byte("end"), int64(3*pageSize-3)); err != nil {
		t.Error(err)
	}
	copy(want[len(want)-3:], "end")
	if err := m.Resize(1); err != nil {
		t.Fatal(err)
	}
	wantFile(t, name, want)
}

func TestResizeKeepsPrivatePages(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(100*pageSize)), mmap.Options{Access: mmap.CopyOnWrite, Length: 10}))
	if _, err := m.WriteAt([]byte("mine"), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Resize(100 * pageSize); err != nil {
		t.Fatal(err)
	}
	if got := part(t, m, 0, 4); string(got) != "mine" {
		t.Errorf("it shows %q", got)
	}
}

func TestResizeOfAnonymousMemory(t *testing.T) {
	for _, sharing := range []mmap.Sharing{mmap.Private, mmap.Shared} {
		for _, reserve := range []int{0, 64 * pageSize} {
			t.Run(fmt.Sprintf("%v, reserve %d", sharing, reserve), func(t *testing.T) {
				m := hold(t)(mmap.Anonymous(10, mmap.Options{Sharing: sharing, Reserve: reserve}))
				if _, err := m.WriteAt([]byte("first"), 0); err != nil {
					t.Fatal(err)
				}
				if err := m.Resize(20 * pageSize); err != nil {
					t.Fatal(err)
				}
				if _, err := m.WriteAt([]byte("last"), int64(20*pageSize-4)); err != nil {
					t.Fatal(err) // growing shared memory by mremap alone gives pages that can't be had
				}
				if got := part(t, m, 0, 5); string(got) != "first" {
					t.Errorf("it shows %q", got)
				}
				if err := m.Resize(0); err != nil {
					t.Fatal(err)
				}
				if err := m.Resize(5); err != nil || m.Len() != 5 {
					t.Errorf("from nothing to 5: %d, %v", m.Len(), err)
				}
			})
		}
	}
}

func TestResizeRefuses(t *testing.T) {
	name := newFile(t, pattern(2*pageSize))
	ro := hold(t)(mmap.OpenFile(name, mmap.Options{Length: 10}))
	cow := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.CopyOnWrite, Length: 10}))
	rw := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Length: 10}))
	anon := hold(t)(mmap.Anonymous(10, mmap.Options{}))
	for _, row := range []struct {
		what string
		m    *mmap.Mapping
		n    int
		err  error
	}{
		{"read-only past the end", ro, 2*pageSize + 1, mmap.ErrPastEnd},
		{"copy-on-write past the end", cow, 2*pageSize + 1, mmap.ErrPastEnd},
		{"a negative length", rw, -1, fs.ErrInvalid},
		{"more than there are addresses", anon, math.MaxInt, fs.ErrInvalid},
	} {
		addr, before := row.m.Addr(), contents(t, row.m)
		err := row.m.Resize(row.n)
		if err == nil {
			t.Errorf("%s: no error", row.what)
			continue
		}
		wantError(t, err, row.err)
		if row.m.Addr() != addr {
			t.Errorf("%s: it moved", row.what)
		}
		wantBytes(t, row.what, contents(t, row.m), before)
	}
	if bits.UintSize == 64 { // a disk has 1 GiB
		if err := rw.Resize(math.MaxInt / 2); err == nil {
			t.Error("a file of half the address space")
		}
	}
	wantFile(t, name, pattern(2*pageSize))
}

func TestResizeRefusesWhileViewsAreOut(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(pageSize)), mmap.Options{Access: mmap.ReadWrite, Reserve: 4 * pageSize}))
	err := m.View(0, 10, func(p []byte) error {
		wantError(t, m.Resize(5), mmap.ErrBusy)
		wantError(t, m.Resize(2*pageSize), mmap.ErrBusy)
		if m.Len() != pageSize {
			t.Errorf("the length is %d", m.Len())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := m.Resize(5); err != nil {
		t.Errorf("once it is in again: %v", err)
	}
}

// New pages get what the options ask for.
func TestResizeLocksAndPopulatesWhatIsNew(t *testing.T) {
	for _, reserve := range []int{0, 64 * pageSize} {
		name := newFile(t, pattern(32*pageSize))
		m := hold(t)(mmap.OpenFile(name, mmap.Options{Length: pageSize, Lock: mmap.LockNow, Pattern: mmap.Random, Reserve: reserve}))
		if err := m.Resize(32 * pageSize); err != nil {
			t.Fatal(err)
		}
		a := areaAt(t, m.Addr()+uintptr(31*pageSize))
		if !a.has("lo") || !a.has("rr") || a.kB["Locked"] == 0 {
			t.Errorf("reserve %d: the last page: %+v", reserve, a)
		}
	}
}

// Parts with different protections are different areas; growth moves them all,
// or says why it can't and leaves them.
func TestResizeOfAProtectedMapping(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(64*pageSize)), mmap.Options{Access: mmap.ReadWrite, Length: 4 * pageSize}))
	if err := m.Protect(0, pageSize, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	n := 4 * pageSize
	if err := m.Resize(64 * pageSize); err == nil {
		n = 64 * pageSize
	} else if !errors.Is(err, fs.ErrInvalid) {
		wantError(t, err, err, "protections")
	}
	wantBytes(t, "afterwards", contents(t, m), pattern(64 * pageSize)[:n])
}

// What the options ask for holds for the new part too, whatever was believed of the
// part that was there.
func TestResizeBringsInWhatIsNew(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	for what, o := range map[string]mmap.Options{
		"populate": {Access: mmap.ReadWrite, Populate: true},
		"lock":     {Access: mmap.ReadWrite, Lock: mmap.LockNow},
	} {
		t.Run(what, func(t *testing.T) {
			if o.Lock != mmap.LockNone {
				testenv.Need(t, testenv.Root) // or the limit is too low
			}
			want := pattern(16 << 20)
			name := newFileIn(t, testenv.DiskDir(t), want)
			o.Length = 1 << 20
			m := hold(t)(mmap.OpenFile(name, o))
			for _, n := range []int{9 << 20, 16 << 20, 100, 5 << 20} {
				if err := m.Resize(n); err != nil {
					t.Fatal(err)
				}
				if r, err := m.Residency(0, n); err != nil || r.Resident != r.Pages {
					t.Errorf("at %d bytes: %+v, %v", n, r, err)
				}
				wantBytes(t, "the mapping", contents(t, m), want[:n])
			}
		})
	}
}

package shm

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// FuzzDecode reads headers that anybody may have written: what passes lies within
// its file.
func FuzzDecode(f *testing.F) {
	o := Options{}
	if err := o.defaults(); err != nil {
		f.Fatal(err)
	}
	good, err := layOut(10000, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.encode(), int64(good.size))
	f.Add(good.encode()[:40], int64(good.size))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		h, err := decode(b)
		if err != nil || h.fills(size) != nil {
			return
		}
		if end := h.directory() + int64(h.objects)*objectBytes; h.size != uint64(size) || end > int64(h.data) || h.data >= h.size {
			t.Errorf("%+v passes for a file of %d bytes", h, size)
		}
		if again, err := decode(h.encode()); err != nil || again != h {
			t.Errorf("%+v becomes %+v: %v", h, again, err)
		}
	})
}

// TestCloseUnlocks: a copy of the locks' description is about, as in a child
// between fork and exec. Whoever closed is gone all the same.
func TestCloseUnlocks(t *testing.T) {
	s, err := Anonymous(1, Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other, err := Attach(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	about, err := sys.Dup(s.lockFD)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(about)
	gone := s.space.Self()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if held, err := sys.HeldOFD(other.lockFD, int64(gone.Slot()), 1); held || err != nil {
		t.Errorf("the slot's lock is held after Close: %v, %v", held, err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// TestNameIsLookedAtAgain: the name goes to another file while somebody waits to
// attach. They get the other file.
func TestNameIsLookedAtAgain(t *testing.T) {
	path := testenv.TmpfsDir(t) + "/name"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	leaving, err := openNamed(path, false)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		fd  int
		err error
	}
	coming := make(chan result)
	go func() {
		fd, err := openNamed(path, false)
		coming <- result{fd, err}
	}()
	time.Sleep(20 * time.Millisecond) // it has opened the file, and waits
	if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600), sys.Close(leaving)); err != nil {
		t.Fatal(err)
	}
	r := <-coming
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer sys.Close(r.fd)
	if is, err := named(path, r.fd); !is || err != nil {
		t.Errorf("attached to the file that has no name any more (%v)", err)
	}
}

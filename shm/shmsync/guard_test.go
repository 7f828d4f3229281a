package shmsync_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm/shmsync"
)

var errWhy = errors.New("why")

// forbidden is a Space on memory that can't be accessed.
func forbidden(t *testing.T, lost func(off int64) error) *shmsync.Space {
	t.Helper()
	size := uintptr(2 * os.Getpagesize())
	addr, err := sys.Mmap(0, size, sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Munmap(addr, size) })
	s, err := shmsync.NewSpace(shmsync.Memory{Bytes: mem.Bytes(addr, int(size)), Slots: 1, Lost: lost})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// touch loads the byte at off under a guard, after f.
func touch(s *shmsync.Space, off int64, f func() error) (err error) {
	defer s.Guard().End(&err)
	if err := f(); err != nil {
		return err
	}
	b, err := s.Memory(off, 1)
	if err == nil && b[0] != 0 {
		err = errors.New("there is something")
	}
	return err
}

func nothing() error { return nil }

func TestGuard(t *testing.T) {
	var asked []int64
	s := forbidden(t, func(off int64) error { asked = append(asked, off); return errWhy })
	if err := touch(s, 4100, nothing); !errors.Is(err, shmsync.ErrLost) || !errors.Is(err, errWhy) {
		t.Error(err)
	}
	inner := func() error {
		if err := touch(s, 5, nothing); !errors.Is(err, shmsync.ErrLost) {
			t.Errorf("inside: %v", err)
		}
		return nil
	}
	if err := touch(s, 7, inner); !errors.Is(err, shmsync.ErrLost) {
		t.Error(err)
	}
	if want := [3]int64{4100, 5, 7}; len(asked) != 3 || [3]int64(asked) != want {
		t.Errorf("the offsets are %v, want %v", asked, want)
	}
	// What a sleep or a wake has met.
	if err := touch(s, 0, func() error { return sys.EFAULT }); !errors.Is(err, shmsync.ErrLost) || !errors.Is(err, sys.EFAULT) {
		t.Error(err)
	}
	if err := touch(s, 0, func() error { return errWhy }); err != errWhy {
		t.Errorf("an error of its own became %v", err)
	}
	s.Close()
	if err := touch(s, 0, nothing); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after a Close: %v", err)
	}
}

// TestGuardLetsPass: what is no loss of this memory is none of the guard's business.
func TestGuardLetsPass(t *testing.T) {
	fragile, other := forbidden(t, func(int64) error { return errWhy }), forbidden(t, nil)
	armed := fault.Arm()
	defer armed.Disarm()
	for name, f := range map[string]func(){
		"a panic":                  func() { touch(fragile, 0, func() error { panic("mine") }) },
		"a fault elsewhere":        func() { touch(fragile, 0, func() error { return touch(other, 0, nothing) }) },
		"a fault in sealed memory": func() { touch(other, 0, nothing) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was swallowed", name)
				}
			}()
			f()
		}()
	}
}

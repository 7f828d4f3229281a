package shm_test

import (
	"errors"
	"io/fs"
	"testing"

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

func TestNamed(t *testing.T) {
	name := "shmtest-" + t.Name()
	s, err := shm.Create(name, 10000, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shm.Create(name, 10000, shm.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create: %v", err)
	}
	o, err := shm.Open(name, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ps, err := o.Participants()
	if err != nil || len(ps) != 2 {
		t.Errorf("participants %v, %v", ps, err)
	}
	mu, err := s.Space().Mutex(s.DataStart())
	if err != nil {
		t.Fatal(err)
	}
	mo, err := o.Space().Mutex(s.DataStart())
	if err != nil {
		t.Fatal(err)
	}
	if err := mu.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mo.TryLock(); err == nil {
		t.Error("locked twice")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := mo.Lock(t.Context()); !errors.Is(err, shmsync.ErrOwnerDied) {
		t.Errorf("after its owner left: %v", err)
	}
	if err := errors.Join(mo.MarkConsistent(), mo.Unlock()); err != nil {
		t.Error(err)
	}
	if err := mu.Unlock(); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if _, err := shm.Open(name, shm.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the last Close: %v", err)
	}
}

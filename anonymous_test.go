package mmap_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestAnonymousIsZeros(t *testing.T) {
	for _, o := range []mmap.Options{
		{}, {Sharing: mmap.Shared}, {Access: mmap.CopyOnWrite}, {Access: mmap.ReadOnly}, {NoReserve: true}, {Populate: true},
		{Length: 3*pageSize + 5}, {Lock: mmap.LockOnFault}, {HugePages: mmap.TransparentHuge}, {Reserve: 10 * pageSize}, {Exec: true},
	} {
		m := hold(t)(mmap.Anonymous(3*pageSize+5, o))
		wantBytes(t, fmt.Sprintf("%+v", o), contents(t, m), make([]byte, 3*pageSize+5))
		if m.Name() != "" {
			t.Errorf("its name is %q", m.Name())
		}
		_, err := m.WriteAt(pattern(m.Len()), 0)
		if o.Access == mmap.ReadOnly {
			wantError(t, err, fs.ErrPermission, "anonymous memory")
		} else if err != nil {
			t.Error(err)
		} else {
			wantBytes(t, "after a store", contents(t, m), pattern(m.Len()))
		}
	}
}

func TestAnonymousRefuses(t *testing.T) {
	for _, row := range []struct {
		what   string
		length int
		o      mmap.Options
	}{
		{"a negative length", -1, mmap.Options{}},
		{"a length of the whole address space", math.MaxInt, mmap.Options{}},
		{"an offset", 10, mmap.Options{Offset: 4096}},
		{"another length in the options", 10, mmap.Options{Length: 11}},
		{"copy-on-write that is shared", 10, mmap.Options{Access: mmap.CopyOnWrite, Sharing: mmap.Shared}},
	} {
		_, err := mmap.Anonymous(row.length, row.o)
		if err == nil {
			t.Errorf("%s: no error", row.what)
			continue
		}
		wantError(t, err, fs.ErrInvalid)
	}
	m := hold(t)(mmap.Anonymous(10, mmap.Options{}))
	_, err := m.File()
	wantError(t, err, mmap.ErrNoFile, "use Shared")
}

// A child maps the descriptor that it inherits and counts on; both see both.
func TestSharedMemoryIsSharedWithAChild(t *testing.T) {
	testenv.Need(t, testenv.MemfdCreate)
	m := hold(t)(mmap.Anonymous(2*pageSize, mmap.Options{Sharing: mmap.Shared}))
	words, err := mmap.Slice[uint64](m, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	atomic.StoreUint64(&words[0], 58)
	runChild(t, testenv.Child{Name: "count", Files: []*os.File{ofFile(t, m)}})
	if got := atomic.LoadUint64(&words[0]); got != 100 {
		t.Errorf("after the child the count is %d, want 100", got)
	}
	if got := atomic.LoadUint64(&words[1]); got != 42 {
		t.Errorf("the child counted %d times, want 42", got)
	}
}

var _ = testenv.Register("count", func() {
	m, err := mmap.Map(os.NewFile(3, "shared"), mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		panic(err)
	}
	words, err := mmap.Slice[uint64](m, 0, 2)
	if err != nil {
		panic(err)
	}
	for atomic.LoadUint64(&words[0]) < 100 {
		atomic.AddUint64(&words[0], 1)
		atomic.AddUint64(&words[1], 1)
	}
	if err := m.Close(); err != nil {
		panic(err)
	}
})

// Private memory is not seen by the object's other users.
func TestPrivateMappingOfSharedMemory(t *testing.T) {
	shared := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Sharing: mmap.Shared}))
	private := hold(t)(mmap.Map(ofFile(t, shared), mmap.Options{Access: mmap.CopyOnWrite}))
	if _, err := private.WriteAt([]byte("mine"), 0); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "the shared memory", contents(t, shared), make([]byte, pageSize))
}

func TestHugePagesOfThePool(t *testing.T) {
	for _, sharing := range []mmap.Sharing{mmap.Private, mmap.Shared} {
		m, err := mmap.Anonymous(3<<20, mmap.Options{HugePages: mmap.Huge2MiB, Sharing: sharing})
		if err != nil {
			// An empty pool, or none: the error says which.
			var limit *mmap.LimitError
			if errors.As(err, &limit) {
				wantError(t, err, sys.ENOMEM, "huge page pool", "nr_hugepages")
			} else {
				wantError(t, err, err, "pool")
			}
			continue
		}
		hold(t)(m, nil)
		if m.PageSize() != 2<<20 {
			t.Errorf("pages of %d bytes", m.PageSize())
		}
		wantBytes(t, "huge pages", contents(t, m), make([]byte, 3<<20))
	}
	_, err := mmap.OpenFile(newFile(t, pattern(10)), mmap.Options{HugePages: mmap.Huge2MiB})
	wantError(t, err, errors.ErrUnsupported, "TransparentHuge")
}

// TestFaultInAnonymousMemory: its offset is one in the mapping, and in no file.
func TestFaultInAnonymousMemory(t *testing.T) {
	m := hold(t)(mmap.Anonymous(2*pageSize, mmap.Options{}))
	if err := m.Protect(int64(pageSize), pageSize, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	_, err := m.ReadAt(make([]byte, 10), int64(pageSize)+1)
	wantFault(t, err, fs.ErrPermission, int64(pageSize))
	if err != nil && strings.Contains(err.Error(), "file") {
		t.Errorf("it speaks of a file: %v", err)
	}
}

package conform_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/mmaptest/conform"
	"github.com/memwright/mmap/vmem"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestBytes(t *testing.T) {
	conform.TestWritableStore(t, func(t *testing.T, content []byte) vmem.WritableStore {
		return vmem.NewBytes(append([]byte(nil), content...))
	})
}

// A file is a Store that keeps its content on a disk: the adapter that the
// documentation of vmem speaks of.
type file struct{ *os.File }

func (f file) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func TestFile(t *testing.T) {
	conform.TestWritableStore(t, func(t *testing.T, content []byte) vmem.WritableStore {
		name := filepath.Join(t.TempDir(), "store")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return file{f}
	})
}

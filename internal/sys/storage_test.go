package sys_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// TestExtents wants a file's bytes, and no hole, each once and in order.
func TestExtents(t *testing.T) {
	page := int64(pageSize)
	name := filepath.Join(testenv.DiskDir(t), "f")
	if err := os.WriteFile(name, make([]byte, 8*page), 0o600); err != nil {
		t.Fatal(err)
	}
	fd := open(t, name, sys.OpenReadWrite)
	if _, err := sys.Extents(fd, 0, 8*page); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, sys.EOPNOTSUPP) {
		testenv.Skip(t, err.Error())
	}
	if err := sys.PunchHole(fd, 4*page, page); err != nil {
		t.Fatal(err)
	}
	list, err := sys.Extents(fd, page+1, 6*page)
	if err != nil {
		t.Fatal(err)
	}
	covered := func(off int64) (device int64, ok bool) {
		for _, e := range list {
			if e.Off <= off && off < e.Off+e.Len {
				return e.Device + off - e.Off, true
			}
		}
		return 0, false
	}
	seen := map[int64]bool{}
	var total int64
	for off := range 8 * page {
		device, ok := covered(off)
		if want := off > page && off <= 7*page && off/page != 4; ok != want {
			t.Fatalf("byte %d has a place: %v, want %v; extents %+v", off, ok, want, list)
		}
		if ok && (seen[device] || device%page != off%page) {
			t.Fatalf("byte %d is at %d of the device; extents %+v", off, device, list)
		}
		seen[device] = ok
	}
	for _, e := range list {
		total += e.Len
	}
	if total != 5*page {
		t.Errorf("%d bytes, want %d; extents %+v", total, 5*page, list)
	}
}

func TestThawOfWhatIsNotFrozen(t *testing.T) {
	testenv.Need(t, testenv.Root)
	dir, err := sys.OpenDir(t.TempDir())
	offered(t, err)
	defer sys.Close(dir)
	err = sys.ThawFS(dir)
	if linux && !errors.Is(err, sys.EINVAL) && !errors.Is(err, sys.EPERM) && !errors.Is(err, sys.EOPNOTSUPP) {
		t.Errorf("%v, want EINVAL", err)
	}
	if !linux && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want errors.ErrUnsupported", err)
	}
}

package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSpaceOfAFileSystem(t *testing.T) {
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := FileSystemSpace(int(d.Fd()))
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil || s.Total == 0 || s.Free > s.Total {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAFreshFileSharesNoBlocksAndIsOnNoMemoryDevice(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<16)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(int) (bool, error){"shares blocks": SharesBlocks, "DAX": DirectAccess} {
		if yes, err := ask(int(f.Fd())); err == nil && yes || err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, %v", name, yes, err)
		}
	}
}

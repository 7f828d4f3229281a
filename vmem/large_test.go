package vmem_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/memwright/mmap/vmem"
)

// osFile is an *os.File as a Store.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// TestLargerThanMemory scans and edits a file through a sixteenth of its size
// in frames, from the beginning and at random, and looks at every byte: 16 MiB,
// and with MMAP_LARGE set 1 GiB.
func TestLargerThanMemory(t *testing.T) {
	size, edits := int64(16<<20), 5_000
	if os.Getenv("MMAP_LARGE") != "" {
		size, edits = 1<<30, 300_000
	}
	frames := int(size / 16 / vmem.PageSize)
	f, err := os.Create(filepath.Join(t.TempDir(), "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, vmem.PageSize)
	for off := int64(0); off < size; off += vmem.PageSize {
		if _, err := f.WriteAt(content(page, off), off); err != nil {
			t.Fatal(err)
		}
	}

	m := vmem.New(vmem.Config{Frames: frames})
	o, err := m.Open("large", osFile{f})
	if err != nil {
		t.Fatal(err)
	}
	file, err := o.Open(vmem.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Spawn()
	at, err := p.Mmap(0, uint64(size), vmem.ProtRead|vmem.ProtWrite, vmem.MapShared, file, 0)
	if err != nil {
		t.Fatal(err)
	}
	edited := map[int64]byte{}
	r := rand.New(rand.NewPCG(1, 2))
	for range edits {
		off, b := r.Int64N(size), byte(r.Int())
		if got, err := p.Load(at + vmem.Addr(off)); err != nil || got != want(edited, off) {
			t.Fatalf("byte %d is %#x, %v, want %#x", off, got, err, want(edited, off))
		}
		if err := p.Store(at+vmem.Addr(off), b); err != nil {
			t.Fatal(err)
		}
		edited[off] = b
		if m.InUse() > frames {
			t.Fatalf("%d frames in use, at most %d", m.InUse(), frames)
		}
	}
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	if most := uint64(size)/16*3/2 + 64<<20; stats.HeapAlloc > most {
		t.Errorf("the heap has %d MiB, want at most %d", stats.HeapAlloc>>20, most>>20)
	}
	same(t, "the mapping", io.NewSectionReader(p, int64(at), size), edited)
	if err := p.Msync(at, uint64(size), vmem.SyncNow); err != nil {
		t.Fatal(err)
	}
	same(t, "the file", f, edited)
	c := m.Counters()
	t.Logf("%d major faults, %d evictions, %d MiB in, %d MiB out, %d MiB of heap", c.Events[vmem.FaultMajor],
		c.Events[vmem.Evicted], c.Bytes[vmem.BytesIn]>>20, c.Bytes[vmem.BytesOut]>>20, stats.HeapAlloc>>20)
}

// content fills a page with what the file has at off: every 8 bytes are a
// number that says where they are.
func content(page []byte, off int64) []byte {
	for i := 0; i < len(page); i += 8 {
		binary.LittleEndian.PutUint64(page[i:], uint64(off+int64(i))*0x9e3779b97f4a7c15)
	}
	return page
}

func want(edited map[int64]byte, off int64) byte {
	if b, ok := edited[off]; ok {
		return b
	}
	return byte(uint64(off&^7) * 0x9e3779b97f4a7c15 >> (8 * (off & 7)))
}

// same compares all of r with what it should be.
func same(t *testing.T, name string, r io.ReaderAt, edited map[int64]byte) {
	t.Helper()
	changed := map[int64][]int64{}
	for off := range edited {
		changed[off/vmem.PageSize] = append(changed[off/vmem.PageSize], off)
	}
	got, page := make([]byte, vmem.PageSize), make([]byte, vmem.PageSize)
	for off := int64(0); ; off += vmem.PageSize {
		if _, err := r.ReadAt(got, off); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		content(page, off)
		for _, at := range changed[off/vmem.PageSize] {
			page[at-off] = edited[at]
		}
		if !bytes.Equal(got, page) {
			t.Fatalf("%s differs in the page at %d", name, off)
		}
	}
}

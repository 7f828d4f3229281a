package mmap

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// TestStaleGlanceIsNoRead stops a read in the middle of its copy, at a page that the
// mapping believes in and that is not there. Meanwhile the mapping is closed, and
// another one stands at its addresses. The load goes on there and finds a byte, which
// must not be told.
func TestStaleGlanceIsNoRead(t *testing.T) {
	if !sys.StoresInOrder {
		testenv.Skip(t, "nothing is read outside the gate on this machine, or under the race detector")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // the load keeps its P
	page := os.Getpagesize()
	disk := testenv.SlowFS(t, testenv.SlowFile{Size: int64(page)})
	m := open(t, disk.Path, Options{})
	disk.Set(testenv.Fault{Op: testenv.Read, Delay: testenv.Hold})
	m.believe(0, page, false)

	p := bytes.Repeat([]byte{'p'}, 100)
	type result struct {
		n   int
		err error
	}
	read := make(chan result)
	go func() {
		n, err := m.ReadAt(p, 0)
		read <- result{n, err}
	}()
	disk.Await(testenv.Read, 1)
	base := m.area.base
	closed := make(chan error)
	go func() { closed <- m.Close() }()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	got, err := sys.Mmap(base, uintptr(page), sys.PROT_READ|sys.PROT_WRITE,
		sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_FIXED_NOREPLACE, -1, 0)
	if err != nil || got != base {
		t.Fatalf("%#x instead of %#x: %v", got, base, err)
	}
	defer sys.Munmap(base, uintptr(page))
	copy(mem.Bytes(base, page), bytes.Repeat([]byte{'x'}, page))
	disk.Set()
	r := <-read
	if r.n != 0 || !errors.Is(r.err, fs.ErrClosed) {
		t.Errorf("ReadAt: %d, %v; want 0, fs.ErrClosed", r.n, r.err)
	}
	if !bytes.Equal(p, make([]byte, len(p))) {
		t.Errorf("p holds %q: bytes that are none of the caller's", p)
	}
}

// TestGlanceIntoItself reads into memory that can't be stored to: of the mapping
// itself it is an error, of another one a panic that its own guard takes.
func TestGlanceIntoItself(t *testing.T) {
	page := os.Getpagesize()
	m, err := Anonymous(2*page, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	other, err := Anonymous(page, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := errors.Join(m.Protect(0, page, ProtRead), other.Protect(0, page, ProtRead)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadAt(m.Bytes()[:10], int64(page)); !errors.As(err, new(*FaultError)) {
		t.Errorf("into a page of its own: %v", err)
	}
	err = other.View(0, page, func(p []byte) error {
		_, err := m.ReadAt(p, int64(page))
		t.Errorf("into a page of another mapping: ReadAt returned %v", err)
		return nil
	})
	if !errors.As(err, new(*FaultError)) {
		t.Errorf("into a page of another mapping: %v", err)
	}
}

// TestReadersNeverSeeAnotherMapping has readers at work while mappings come and go at
// the same addresses, move, grow and lose their pages' protection. Every byte of a file is the file's
// number.
func TestReadersNeverSeeAnotherMapping(t *testing.T) {
	const n = 32 << 10
	dir := t.TempDir()
	var names [2]string
	for i := range names {
		names[i] = filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(names[i], bytes.Repeat([]byte{byte(1 + i)}, 2*n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type mapped struct {
		*Mapping
		number byte
	}
	mapIt := func(i int) *mapped {
		m, err := OpenFile(names[i%2], Options{Length: n, Populate: true})
		if err != nil {
			t.Fatal(err)
		}
		m.believe(0, n, false)
		return &mapped{m, byte(1 + i%2)}
	}
	for _, procs := range []int{1, 2, 4} {
		old := runtime.GOMAXPROCS(procs)
		t.Cleanup(func() { runtime.GOMAXPROCS(old) })
		var now atomic.Pointer[mapped]
		now.Store(mapIt(0))
		var reads atomic.Int64
		var done atomic.Bool
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				p := make([]byte, n)
				for !done.Load() {
					m := now.Load()
					switch _, err := m.ReadAt(p, 0); {
					case err == nil:
						reads.Add(1)
						if bytes.Count(p, []byte{m.number}) != n {
							t.Errorf("a read of file %d gave %d bytes of another", m.number, n-bytes.Count(p, []byte{m.number}))
							return
						}
					case errors.Is(err, fs.ErrClosed), errors.As(err, new(*FaultError)):
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		end := time.Now().Add(100 * time.Millisecond)
		for i := 1; time.Now().Before(end) || reads.Load() == 0; i++ {
			m := now.Load()
			err := errors.Join(m.Protect(0, n, 0), m.Protect(0, n, ProtRead), m.Resize(2*n), m.Resize(n), m.Close())
			if err != nil {
				t.Error(err)
			}
			now.Store(mapIt(i))
			runtime.Gosched()
		}
		done.Store(true)
		wg.Wait()
		if err := now.Load().Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestGlanceOfAnAreaThatHasShrunk has beliefs that are fewer than the area's pages,
// as a reader may meet them that was overtaken by a Resize.
func TestGlanceOfAnAreaThatHasShrunk(t *testing.T) {
	page := os.Getpagesize()
	m := open(t, diskFile(t, 2*chunkPages*page), Options{})
	all := make([]atomic.Pointer[chunk], 1)
	m.presence.chunks.Store(&all)
	if m.presence.holds(0, 2*chunkPages-1) || m.presence.holds(chunkPages, chunkPages) {
		t.Error("pages without a chunk are believed in")
	}
	if m.glance(make([]byte, 8), int64(chunkPages*page)) {
		t.Error("a page without a chunk was read at a glance")
	}
}

func TestGlanceTakesNothingThatIsNotThere(t *testing.T) {
	if !sys.StoresInOrder {
		testenv.Skip(t, "nothing is read outside the gate on this machine, or under the race detector")
	}
	m, err := Anonymous(8192, Options{}) // of a file it would also depend on what is in memory
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 8)
	for _, row := range []struct {
		what string
		off  int64
		p    []byte
		want bool
	}{
		{"the start", 0, p, true},
		{"the end", 8184, p, true},
		{"over the end", 8185, p, false},
		{"past the end", 9000, p, false},
		{"before the start", -1, p, false},
		{"no bytes", 0, nil, false},
		{"more than there is", 0, make([]byte, 8193), false},
	} {
		if got := m.glance(row.p, row.off); got != row.want {
			t.Errorf("%s: %v", row.what, got)
		}
	}
	if err := m.gate.exclude(t.Context(), stateExcluded, never); err != nil {
		t.Fatal(err)
	}
	if m.glance(p, 0) {
		t.Error("a mapping that is being changed was read at a glance")
	}
	m.reopen()
	if !m.glance(p, 0) {
		t.Error("after the change nothing is read at a glance")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m.glance(p, 0) {
		t.Error("a closed mapping was read at a glance")
	}
}

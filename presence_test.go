package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestPageBits(t *testing.T) {
	var b pageBits
	var model [chunkPages]bool
	r := rand.New(rand.NewPCG(uint64(testenv.Seed(t)), 1))
	for range 2000 {
		first := r.IntN(chunkPages)
		last := first + r.IntN(chunkPages-first)
		if r.IntN(20) == 0 {
			last = min(last, first+r.IntN(3))
			b.set(first, last)
			for i := first; i <= last; i++ {
				model[i] = true
			}
		}
		want := true
		for i := first; i <= last; i++ {
			want = want && model[i]
		}
		if got := b.has(first, last); got != want {
			t.Fatalf("[%d, %d]: has %v, want %v", first, last, got, want)
		}
	}
}

// diskFile is a file of n bytes on a disk: byte i is the low byte of its page's
// number.
func diskFile(t *testing.T, n int) string {
	t.Helper()
	name := filepath.Join(testenv.DiskDir(t), "file")
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i / 4096)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t *testing.T, name string, o Options) *Mapping {
	t.Helper()
	m, err := OpenFile(name, o)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	})
	return m
}

// evict takes the file out of memory.
func evict(t *testing.T, name string) {
	t.Helper()
	m := open(t, name, Options{Access: ReadWrite})
	if err := m.SyncRange(0, m.Len(), SyncInvalidate); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestColdBytesAreReadByACall(t *testing.T) {
	const size = 3<<20 + 123
	for _, access := range []Access{ReadOnly, ReadWrite, CopyOnWrite} {
		t.Run(access.String(), func(t *testing.T) {
			name := diskFile(t, size)
			evict(t, name)
			m := open(t, name, Options{Access: access, Pattern: Random})
			before := Stats()
			var b [1]byte
			distant := int64(0)
			for off := int64(0); off < size; off += 300_000 {
				if _, err := m.ReadAt(b[:], off); err != nil || b[0] != byte(off/4096) {
					t.Fatalf("byte at %d: %d, %v", off, b[0], err)
				}
				distant++
			}
			if n := Stats().ColdReads - before.ColdReads; n < distant {
				t.Errorf("%d cold reads for %d distant pages", n, distant)
			}
			wrong := 0
			err := m.View(1<<20, 1<<20, func(p []byte) error {
				for i := range p {
					if p[i] != byte((1<<20+i)/4096) {
						wrong++
					}
				}
				return nil
			})
			if err != nil || wrong != 0 {
				t.Errorf("view: %v, %d wrong bytes", err, wrong)
			}
			warm := Stats().ColdReads
			if _, err := m.ReadAt(b[:], 1<<20+5000); err != nil {
				t.Error(err)
			}
			if n := Stats().ColdReads - warm; n != 0 {
				t.Errorf("a page that a View has just brought in was read again by a call, %d times", n)
			}
		})
	}
}

// TestBeliefsAreLookedAtAgain evicts pages that a mapping believes in. After
// StalePeriod and accessPeriod accesses it must have noticed.
func TestBeliefsAreLookedAtAgain(t *testing.T) {
	name := diskFile(t, 1<<20)
	m := open(t, name, Options{Pattern: Random}) // or one fault would read the neighbours in again
	var b [1]byte
	readAll := func() (calls int64) {
		before := Stats().ColdReads
		for off := m.Len() - 4096; off >= 0; off -= 4096 { // upwards, the kernel would read ahead of the calls
			if _, err := m.ReadAt(b[:], int64(off)); err != nil {
				t.Fatal(err)
			}
		}
		return Stats().ColdReads - before
	}
	if n := readAll(); n != 256 {
		t.Errorf("%d calls for 256 pages that nothing is known of", n)
	}
	if n := readAll(); n != 0 && m.presence.mincoreIsTrue(m) {
		t.Errorf("%d calls for pages that are in memory", n)
	}
	// Behind its back: out of its page table, and then out of memory.
	if err := sys.Madvise(m.area.base, uintptr(m.area.span), sys.MADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	evict(t, name)
	time.Sleep(StalePeriod + time.Millisecond)
	for range 8 * accessPeriod { // one of these looks at the clock
		m.ReadAt(b[:], 0)
	}
	if n := readAll(); n < 250 {
		t.Errorf("%d of 256 evicted pages were read by a call; the others are still believed to be in memory", n)
	}
}

// TestEpochsAreShortWhilePagesAreLost evicts pages of a disk that is slow.
func TestEpochsAreShortWhilePagesAreLost(t *testing.T) {
	name := diskFile(t, 1<<20)
	m := open(t, name, Options{Pattern: Random})
	if !m.presence.mincoreIsTrue(m) {
		testenv.Skip(t, "the kernel hides what is in memory")
	}
	var b [1]byte
	read := func(off int64) {
		t.Helper()
		if _, err := m.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
	}
	old := func() { epoch.renewed.Store(clock() - 2*int64(StalePeriod)) }
	read(0)
	for range 10 { // until epochs are long
		old()
		tick()
	}
	read(0)
	if p := epoch.period.Load(); p != int64(StalePeriod) {
		t.Errorf("while no page is lost, an epoch lasts %v", time.Duration(p))
	}
	if err := sys.Madvise(m.area.base, uintptr(m.area.span), sys.MADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	evict(t, name)
	before := epoch.n.Load()
	old()
	read(512 << 10) // waits for the disk
	if n := epoch.n.Load() - before; n != 1 {
		t.Errorf("an access that waited for the disk began %d epochs, want 1", n)
	}
	epoch.waited.Store(2 * int64(slowWait))
	epoch.renewed.Store(clock() + int64(time.Hour)) // no epoch begins while it waits for the disk, however slow
	defer old()
	read(0) // finds that the page is gone
	if p := epoch.period.Load(); p != int64(stalePeriodMin) {
		t.Errorf("after a page was lost, an epoch lasts %v", time.Duration(p))
	}
}

// TestWriteAtNeverExtendsTheFile is the hazard of standing in for a store by a
// write: a store to a page behind the file's end is a fault.
func TestWriteAtNeverExtendsTheFile(t *testing.T) {
	const size = 64 << 10
	for _, pattern := range []Pattern{Normal, Random} {
		t.Run(pattern.String(), func(t *testing.T) {
			name := diskFile(t, size)
			m := open(t, name, Options{Access: ReadWrite, Pattern: pattern})
			if err := os.Truncate(name, 10_000); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, size)
			n, err := m.WriteAt(p, 0)
			var f *FaultError
			if n != 12288 || !errors.As(err, &f) || f.Off != 12288 || !errors.Is(err, ErrPastEnd) {
				t.Errorf("wrote %d: %v; want 12288 and a fault past the end there", n, err)
			}
			if n, err := m.WriteAt(p[:100], 20_000); n != 0 || !errors.Is(err, ErrPastEnd) {
				t.Errorf("behind the end: %d, %v", n, err)
			}
			if st, err := os.Stat(name); err != nil || st.Size() != 10_000 {
				t.Errorf("the file has %d bytes now, %v", st.Size(), err)
			}
		})
	}
}

// TestFileSizeLimitDoesNotBindStores has WriteAt meet a limit that binds writes to
// a file and not stores to its pages.
func TestFileSizeLimitDoesNotBindStores(t *testing.T) {
	name := diskFile(t, 64<<10)
	open(t, name, Options{Access: ReadWrite}).Close() // skips where nothing can be mapped
	r := testenv.Child{
		Name: "store beyond the limit", Env: []string{"NAME=" + name},
		Limits: map[sys.Resource]uint64{sys.FileSize: 4096},
	}.Run(t)
	if r.Stdout != "10 <nil>\n" {
		t.Errorf("the child said %q\n%s", r.Stdout, r.Stderr)
	}
}

var _ = testenv.Register("store beyond the limit", func() {
	m, err := OpenFile(os.Getenv("NAME"), Options{Access: ReadWrite})
	if err != nil {
		panic(err)
	}
	fmt.Println(m.WriteAt(make([]byte, 10), 40_000))
})

// TestForgettingDisturbsNobody evicts while others note and ask: beliefs come and
// go.
func TestForgettingDisturbsNobody(t *testing.T) {
	var p presence
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 100_000 {
				p.chunk(i*chunkPages, 3*chunkPages).resident.set(0, 1)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 100_000 {
				p.forget()
			}
		})
	}
	wg.Wait()
}

// What Discard takes away is not believed in: behind a private copy lies a page of
// the file that may be on the disk, and a hole has no block to store to.
func TestDiscardDropsBeliefs(t *testing.T) {
	for _, row := range []struct {
		how    Discard
		access Access
	}{{DropPrivate, CopyOnWrite}, {PunchHole, ReadWrite}} {
		m := open(t, diskFile(t, 64<<10), Options{Access: row.access})
		if _, err := m.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		if !m.presence.holds(0, 0) {
			t.Fatalf("%v: what was stored a moment ago is not believed in", row.how)
		}
		if err := m.Discard(0, m.pageSize, row.how); err != nil {
			t.Fatal(err)
		}
		if m.presence.holds(0, 0) {
			t.Errorf("%v: the page that was discarded is believed in", row.how)
		}
	}
}

// A window of a file of the largest pages is as small as a View must be.
func TestWindowsOfHugePages(t *testing.T) {
	m := &Mapping{pageSize: 1 << 30}
	sum := 0
	for off, n := range m.Windows(0, 1<<30, 1<<20) {
		if n != ViewBytes || off != int64(sum) {
			t.Fatalf("a window of %d bytes at %d", n, off)
		}
		sum += n
	}
	if sum != 1<<30 {
		t.Errorf("the windows have %d bytes", sum)
	}
}

package mmap

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestStaleSliceFaultsInsteadOfReadingAnother(t *testing.T) {
	name := diskFile(t, 64<<10)
	m := open(t, name, Options{})
	stale := m.Bytes()
	base, span := m.Span()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		open(t, name, Options{})
	}
	var b [1]byte
	if _, faulted := fault.Copy(b[:], stale, base, span); !faulted {
		t.Errorf("a slice of a closed mapping read %d", b[0])
	}
}

func TestAMappingThatHandedNothingOutLeavesNothingBehind(t *testing.T) {
	name := diskFile(t, 64<<10)
	before := Stats()
	m := open(t, name, Options{})
	if _, err := m.ReadAt(make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if after := Stats(); after.Quarantined != before.Quarantined {
		t.Errorf("%d ranges held before, %d after", before.Quarantined, after.Quarantined)
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	q := new(quarantineList)
	q.once.Do(func() { q.maxRanges, q.maxBytes = 8, 1<<30 })
	length := os.Getpagesize()
	for i := range 100 {
		addr, err := sys.Mmap(0, uintptr(length), sys.PROT_READ, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
		if errors.Is(err, errors.ErrUnsupported) {
			testenv.Skip(t, err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
		if !q.hold(addr, length) {
			t.Fatalf("range %d was not held", i)
		}
		if prot, known := protectionAt(addr); known && prot != ProtNone {
			t.Fatalf("range %d has protection %v", i, prot)
		}
		if n, bytes := q.size(); n > 8 || n == 0 || bytes != n*int64(length) {
			t.Fatalf("after %d: %d ranges, %d bytes", i+1, n, bytes)
		}
	}
	if !q.drain() || q.drain() {
		t.Error("drain must find something once, and then nothing")
	}
	if n, bytes := q.size(); n != 0 || bytes != 0 {
		t.Errorf("after drain: %d ranges, %d bytes", n, bytes)
	}
	if q.hold(1<<20, 2<<30-1) {
		t.Error("a range larger than the bound was held")
	}
}

// However large the others are: the slices of the one just closed are in use, if any are.
func TestQuarantineKeepsTheNewest(t *testing.T) {
	page := os.Getpagesize()
	q := new(quarantineList)
	most := int64(16 * page)
	q.once.Do(func() { q.maxRanges, q.maxBytes = 8, most })
	defer q.drain()
	for _, pages := range []int{12, 12, 1, 1, 1, 12, 15, 16} {
		addr, err := sys.Mmap(0, uintptr(pages*page), sys.PROT_READ, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
		if errors.Is(err, errors.ErrUnsupported) {
			testenv.Skip(t, err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
		if !q.hold(addr, pages*page) {
			t.Fatalf("%d pages were not held", pages)
		}
		if _, bytes := q.size(); bytes > most {
			t.Errorf("%d bytes are held, of at most %d", bytes, most)
		}
		if prot, known := protectionAt(addr); known && prot != ProtNone || q.held[len(q.held)-1].addr != addr {
			t.Errorf("the newest, of %d pages, was given back", pages)
		}
	}
}

// TestDroppedMappings has the collector find mappings that nobody closed.
func TestDroppedMappings(t *testing.T) {
	name := diskFile(t, 64<<10)
	open(t, name, Options{}).Close() // skips where nothing can be mapped
	drops := make(chan Dropped, 10)
	ReportDrops(func(d Dropped) { drops <- d })
	defer ReportDrops(nil)
	for _, leak := range []bool{false, true} {
		before := Stats()
		base, span := dropOne(t, name, leak)
		d := awaitDrop(t, drops)
		if d.Name != name || d.Len != 64<<10 || d.Leaked != leak || !strings.Contains(d.Stack, "dropOne") {
			t.Errorf("reported %+v", d)
		}
		after := Stats()
		switch {
		case !leak && (after.Dropped != before.Dropped+1 || after.Mappings != before.Mappings):
			t.Errorf("a mapping that handed nothing out was not released: %+v, then %+v", before, after)
		case leak:
			if after.Leaked != before.Leaked+1 {
				t.Errorf("the leak was not counted: %+v, then %+v", before, after)
			}
			if prot, known := protectionAt(base); known && prot != ProtRead {
				t.Errorf("memory that was handed out is %v now", prot)
			}
			sys.Munmap(base, uintptr(span)) // nothing else ever will
		}
	}
}

// TestDroppedReservation has the collector find one, and one that a leaked mapping
// stands in.
func TestDroppedReservation(t *testing.T) {
	anonymous(t, 1, Options{}).Close() // skips where nothing can be mapped
	drops := make(chan Dropped, 10)
	ReportDrops(func(d Dropped) { drops <- d })
	defer ReportDrops(nil)
	before := Stats()
	dropReservation(t, false)
	if d := awaitDrop(t, drops); d.Leaked {
		t.Errorf("reported %+v", d)
	}
	if after := Stats(); after.Mappings != before.Mappings || after.Dropped != before.Dropped+1 {
		t.Errorf("it was not released: %+v, then %+v", before, after)
	}
	base, span := dropReservation(t, true)
	for range 2 {
		if d := awaitDrop(t, drops); !d.Leaked {
			t.Errorf("reported %+v", d)
		}
	}
	if prot, known := protectionAt(base); known && prot != ProtRead|ProtWrite {
		t.Errorf("memory that was handed out is %v now", prot)
	}
	sys.Munmap(base, uintptr(span)) // nothing else ever will
}

//go:noinline
func dropReservation(t *testing.T, leak bool) (base uintptr, span int) {
	r := anonymous(t, 1<<20, Options{Access: NoAccess})
	if leak {
		anonymous(t, r.area.span, Options{Addr: r.area.base, Placement: FixedReplace}).handOut()
	}
	return r.area.base, r.area.span
}

func anonymous(t *testing.T, length int, o Options) *Mapping {
	t.Helper()
	m, err := Anonymous(length, o)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

//go:noinline
func dropOne(t *testing.T, name string, leak bool) (base uintptr, span int) {
	m, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if leak {
		sys.Close(m.fd) // so that the test leaves no descriptor behind
		return m.Span()
	}
	return 0, 0
}

func awaitDrop(t *testing.T, drops chan Dropped) Dropped {
	t.Helper()
	for range 200 {
		runtime.GC()
		select {
		case d := <-drops:
			return d
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the collector found nothing in 200 rounds")
	return Dropped{}
}

// What Resize gives up may still be in somebody's hands too.
func TestStaleSliceAfterAShrinkFaults(t *testing.T) {
	name := diskFile(t, 64<<10)
	m := open(t, name, Options{Access: ReadWrite})
	stale := m.Bytes()[32<<10:]
	base, span := m.Span()
	before := Stats()
	if err := m.Resize(32 << 10); err != nil {
		t.Fatal(err)
	}
	if after := Stats(); after.QuarantineBytes != before.QuarantineBytes+32<<10 {
		t.Errorf("%d bytes are held, before there were %d", after.QuarantineBytes, before.QuarantineBytes)
	}
	small := diskFile(t, 32<<10)
	for range 50 {
		open(t, small, Options{})
	}
	var b [1]byte
	if _, faulted := fault.Copy(b[:], stale, base, span); !faulted {
		t.Errorf("a slice behind the end of a mapping that shrank read %d", b[0])
	}
}

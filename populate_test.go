package mmap_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestPopulateBringsEverythingIn(t *testing.T) {
	m, f := coldFile(t, 1025*pageSize)
	if err := m.Populate(t.Context(), int64(pageSize-1), 2); err != nil {
		t.Fatal(err)
	}
	if r, err := m.Residency(int64(pageSize-1), 2); err != nil || r.Pages != 2 || r.Resident != 2 {
		t.Errorf("the two pages it touches: %+v, %v", r, err)
	}
	if err := m.Populate(t.Context(), 0, m.Len()); err != nil {
		t.Fatal(err)
	}
	if c := cached(t, f, 0, int64(m.Len())); c.Cached != 1025 || c.Dirty != 0 {
		t.Errorf("%+v, want 1025 pages in memory and none dirty", c)
	}
	// In the page table too, not only in the cache.
	if rss := areaAt(t, m.Addr()).kB["Rss"]; rss < 1025*pageSize>>10 {
		t.Errorf("%d kB are in the page table", rss)
	}
}

func TestPopulateOption(t *testing.T) {
	name := newFile(t, pattern(64*pageSize))
	for _, access := range []mmap.Access{mmap.ReadOnly, mmap.ReadWrite} {
		m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: access, Populate: true, Pattern: mmap.Random}))
		if rss := areaAt(t, m.Addr()).kB["Rss"]; rss < 64*pageSize>>10 {
			t.Errorf("%v: %d kB are in the page table", access, rss)
		}
	}
}

// A context that ends at its k-th look.
type endsAt struct {
	context.Context
	looks *int
	k     int
}

func (c endsAt) Err() error {
	if *c.looks++; *c.looks >= c.k {
		return context.Canceled
	}
	return nil
}

func TestPopulateLooksAtItsContext(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, make([]byte, 8<<20))))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, m.Populate(ended, 0, m.Len()), context.Canceled)
	looks := 0
	wantError(t, m.Populate(endsAt{t.Context(), &looks, 3}, 0, m.Len()), context.Canceled)
	if looks != 3 {
		t.Errorf("it looked %d times", looks)
	}
	looks = 0
	if err := m.Populate(endsAt{t.Context(), &looks, 100}, 0, m.Len()); err != nil || looks < 4 {
		t.Errorf("8 MiB: %d looks, %v", looks, err)
	}
}

func TestPopulateTellsThePageThatCanNotBeHad(t *testing.T) {
	name := newFile(t, pattern(8*pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Offset: 10}))
	if err := os.Truncate(name, int64(3*pageSize+1)); err != nil {
		t.Fatal(err)
	}
	wantFault(t, m.Populate(t.Context(), 0, m.Len()), mmap.ErrPastEnd, int64(4*pageSize))
	if err := m.Populate(t.Context(), 0, 4*pageSize-10); err != nil {
		t.Errorf("up to the file's last page: %v", err)
	}
	wantError(t, m.Populate(t.Context(), 0, m.Len()+1), mmap.ErrOutOfRange)
	wantError(t, m.Populate(t.Context(), -1, 1), mmap.ErrOutOfRange)
}

func TestResidencyCountsPages(t *testing.T) {
	m, f := coldFile(t, 64*pageSize)
	want := func(what string, off int64, n int, r mmap.Residency) {
		t.Helper()
		r.PageSize = pageSize
		if got, err := m.Residency(off, n); err != nil || got != r {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, r)
		}
	}
	want("of a cold file", 0, m.Len(), mmap.Residency{Pages: 64})
	want("of nothing", 5, 0, mmap.Residency{})
	if _, err := f.ReadAt(make([]byte, 64*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	want("once it was read", 0, m.Len(), mmap.Residency{Pages: 64, Resident: 64})
	want("of two bytes on two pages", int64(pageSize-1), 2, mmap.Residency{Pages: 2, Resident: 2})
	if _, err := m.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	if r, err := m.Residency(0, 1); err != nil || r.Dirty != 1 || r.Private != 0 {
		t.Errorf("a page stored to: %+v, %v", r, err)
	}
	wantError(t, func() error { _, err := m.Residency(0, m.Len()+1); return err }(), mmap.ErrOutOfRange)
	wantError(t, func() error { _, err := m.Residency(-1, 1); return err }(), mmap.ErrOutOfRange)
}

func TestResidencyCountsPrivatePages(t *testing.T) {
	testenv.Need(t, proc)
	cow := hold(t)(mmap.OpenFile(newFile(t, pattern(8*pageSize)), mmap.Options{Access: mmap.CopyOnWrite}))
	anon := hold(t)(mmap.Anonymous(8*pageSize, mmap.Options{}))
	for what, m := range map[string]*mmap.Mapping{"copy-on-write": cow, "anonymous": anon} {
		if r, err := m.Residency(0, m.Len()); err != nil || r.Private != 0 {
			t.Errorf("%s, before any store: %+v, %v", what, r, err)
		}
		for _, page := range []int{1, 2, 5} {
			if _, err := m.WriteAt([]byte{1}, int64(page*pageSize)); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := m.Residency(0, m.Len()); err != nil || r.Private != 3 || r.Resident < 3 {
			t.Errorf("%s, after three: %+v, %v", what, r, err)
		}
	}
}

func TestResidentRanges(t *testing.T) {
	m := hold(t)(mmap.Anonymous(8*pageSize, mmap.Options{}))
	for _, page := range []int{1, 2, 5} {
		if _, err := m.WriteAt([]byte{1}, int64(page*pageSize)); err != nil {
			t.Fatal(err)
		}
	}
	p := int64(pageSize)
	collect := func(off int64, n int) (got []mmap.Range) {
		for r, err := range m.ResidentRanges(off, n) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		return got
	}
	for _, row := range []struct {
		off  int64
		n    int
		want []mmap.Range
	}{
		{0, m.Len(), []mmap.Range{{Off: p, Len: 2 * p}, {Off: 5 * p, Len: p}}},
		{p + 7, pageSize, []mmap.Range{{Off: p + 7, Len: p}}},
		{3 * p, 2 * pageSize, nil},
		{5*p + 1, 1, []mmap.Range{{Off: 5*p + 1, Len: 1}}},
		{0, 0, nil},
	} {
		if got := collect(row.off, row.n); !equalRanges(got, row.want) {
			t.Errorf("[%d, +%d): %v, want %v", row.off, row.n, got, row.want)
		}
	}
	for _, err := range m.ResidentRanges(0, m.Len()+1) {
		wantError(t, err, mmap.ErrOutOfRange)
	}
	// The body of the loop may change the mapping.
	for _, err := range m.ResidentRanges(0, m.Len()) {
		if err != nil {
			t.Error(err)
		}
		if err := m.Resize(pageSize); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		break
	}
}

func equalRanges(a, b []mmap.Range) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Where the kernel hides the truth the answer is unknown, though mincore says
// that every page is in memory.
func TestResidencyUnknownToStrangers(t *testing.T) {
	testenv.Need(t, testenv.Root, testenv.Nobody, proc)
	name := newFileIn(t, testenv.DiskDir(t), pattern(64*pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.SyncRange(0, m.Len(), mmap.SyncInvalidate); err != nil {
		t.Fatal(err)
	}
	out := runChild(t, testenv.Child{Name: "residency", Nobody: true, Env: []string{"NAME=" + name}})
	if out != "mincore says 64 of 64\nresident unknown, dirty unknown, private 0\nranges: unsupported true\n" {
		t.Errorf("the child said\n%s", out)
	}
	if err := os.Chmod(name, 0o666); err != nil { // who may write may know
		t.Fatal(err)
	}
	out = runChild(t, testenv.Child{Name: "residency", Nobody: true, Env: []string{"NAME=" + name}})
	if !strings.Contains(out, "resident 0, dirty 0, private 0\n") {
		t.Errorf("the child that may write said\n%s", out)
	}
}

var _ = testenv.Register("residency", func() {
	m, err := mmap.Open(os.Getenv("NAME"))
	if err != nil {
		panic(err)
	}
	addr, span := m.Span()
	vec := make([]byte, span/pageSize)
	if err := sys.Mincore(addr, uintptr(span), vec); err != nil {
		panic(err)
	}
	count := 0
	for _, v := range vec {
		count += int(v & 1)
	}
	fmt.Println("mincore says", count, "of", len(vec))
	r, err := m.Residency(0, m.Len())
	if err != nil {
		panic(err)
	}
	fmt.Println("resident "+r.Resident.String()+", dirty "+r.Dirty.String()+", private", r.Private)
	for _, err := range m.ResidentRanges(0, m.Len()) {
		fmt.Println("ranges: unsupported", errors.Is(err, errors.ErrUnsupported))
	}
})

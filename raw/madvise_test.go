package raw_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

// advices is every advice with what it answers on four pages that were stored
// to. MADV_HWPOISON and MADV_SOFT_OFFLINE are not tried: they take frames from
// the machine.
var advices = []struct {
	name                  string
	advice                raw.Advice
	since                 string
	private, shared, file error // private anonymous, shared anonymous, private mapping of a file
}{
	{"MADV_NORMAL", raw.MADV_NORMAL, "2.4", nil, nil, nil},
	{"MADV_RANDOM", raw.MADV_RANDOM, "2.4", nil, nil, nil},
	{"MADV_SEQUENTIAL", raw.MADV_SEQUENTIAL, "2.4", nil, nil, nil},
	{"MADV_WILLNEED", raw.MADV_WILLNEED, "2.4", nil, nil, nil},
	{"MADV_DONTNEED", raw.MADV_DONTNEED, "2.4", nil, nil, nil},
	{"MADV_FREE", raw.MADV_FREE, "4.5", nil, syscall.EINVAL, syscall.EINVAL},
	{"MADV_REMOVE", raw.MADV_REMOVE, "2.6", syscall.EINVAL, nil, syscall.EACCES},
	{"MADV_DONTFORK", raw.MADV_DONTFORK, "2.6", nil, nil, nil},
	{"MADV_DOFORK", raw.MADV_DOFORK, "2.6", nil, nil, nil},
	{"MADV_DONTDUMP", raw.MADV_DONTDUMP, "3.4", nil, nil, nil},
	{"MADV_DODUMP", raw.MADV_DODUMP, "3.4", nil, nil, nil},
	{"MADV_WIPEONFORK", raw.MADV_WIPEONFORK, "4.14", nil, syscall.EINVAL, syscall.EINVAL},
	{"MADV_KEEPONFORK", raw.MADV_KEEPONFORK, "4.14", nil, nil, nil},
	{"MADV_COLD", raw.MADV_COLD, "5.4", nil, nil, nil},
	{"MADV_PAGEOUT", raw.MADV_PAGEOUT, "5.4", nil, nil, nil},
	{"MADV_POPULATE_READ", raw.MADV_POPULATE_READ, "5.14", nil, nil, nil},
	{"MADV_POPULATE_WRITE", raw.MADV_POPULATE_WRITE, "5.14", nil, nil, nil},
	{"MADV_DONTNEED_LOCKED", raw.MADV_DONTNEED_LOCKED, "5.18", nil, nil, nil},
	{"MADV_GUARD_INSTALL", raw.MADV_GUARD_INSTALL, "6.15", nil, nil, nil}, // anonymous since 6.13, file-backed since 6.15
	{"MADV_GUARD_REMOVE", raw.MADV_GUARD_REMOVE, "6.15", nil, nil, nil},
}

func TestMadviseAnswersForEveryAdvice(t *testing.T) {
	needLinux(t)
	for _, row := range advices {
		for _, kind := range []struct {
			name  string
			flags raw.Flag
			f     *os.File
			want  error
		}{
			{"private anonymous memory", anon, nil, row.private},
			{"shared anonymous memory", raw.MAP_SHARED | raw.MAP_ANONYMOUS, nil, row.shared},
			{"a private mapping of a file", raw.MAP_PRIVATE, file(t, pages(4)), row.file},
		} {
			t.Run(row.name+" on "+kind.name, func(t *testing.T) {
				addr := mapped(t, pages(4), rw, kind.flags, kind.f, 0)
				store(addr)
				err := raw.Madvise(addr, pages(4), row.advice)
				if kind.want != nil {
					wantErr(t, err, kind.want)
					return
				}
				testenv.Need(t, testenv.Feature{Name: row.name, Since: row.since, Probe: func() error { return err }})
			})
		}
	}
}

func TestMadviseMergingAndHugePagesWhereTheKernelHasThem(t *testing.T) {
	needLinux(t)
	ksm := testenv.Feature{Name: "KSM", Probe: func() error { _, err := os.Stat("/sys/kernel/mm/ksm"); return err }}
	for _, row := range []struct {
		name    string
		feature testenv.Feature
		advice  raw.Advice
		flag    string
		set     bool
	}{
		{"MADV_MERGEABLE lets pages be merged", ksm, raw.MADV_MERGEABLE, "mg", true},
		{"MADV_UNMERGEABLE takes that back", ksm, raw.MADV_UNMERGEABLE, "mg", false},
		{"MADV_HUGEPAGE asks for huge pages", hugePages, raw.MADV_HUGEPAGE, "hg", true},
		{"MADV_NOHUGEPAGE refuses them", hugePages, raw.MADV_NOHUGEPAGE, "nh", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			testenv.Need(t, row.feature)
			addr := zeros(t, 1)
			must(t, raw.Madvise(addr, page, row.advice))
			if got := areaAt(t, addr); got.has(row.flag) != row.set {
				t.Errorf("the area's flags are %v", got.flags)
			}
		})
	}
}

func TestMadviseLeavesItsMarkOnTheArea(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name     string
		do, undo raw.Advice
		flag     string // in VmFlags, proc_pid_smaps(5)
	}{
		{"random access", raw.MADV_RANDOM, raw.MADV_NORMAL, "rr"},
		{"sequential access", raw.MADV_SEQUENTIAL, raw.MADV_NORMAL, "sr"},
		{"not for children", raw.MADV_DONTFORK, raw.MADV_DOFORK, "dc"},
		{"wiped for children", raw.MADV_WIPEONFORK, raw.MADV_KEEPONFORK, "wf"},
		{"not for core dumps", raw.MADV_DONTDUMP, raw.MADV_DODUMP, "dd"},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := zeros(t, 3)
			must(t, raw.Madvise(plus(addr, 1), page, row.do))
			for i, want := range []bool{false, true, false} {
				if got := areaAt(t, plus(addr, i)); got.has(row.flag) != want {
					t.Errorf("page %d: flags %v", i, got.flags)
				}
			}
			must(t, raw.Madvise(addr, pages(3), row.undo))
			if got := areaAt(t, plus(addr, 1)); got.has(row.flag) || got.size() != pages(3) {
				t.Errorf("undone: flags %v, %d bytes", got.flags, got.size())
			}
		})
	}
}

func TestMadviseRefusals(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	f := file(t, pages(2))
	private := mapped(t, page, rw, raw.MAP_PRIVATE, f, 0)
	readOnlyShared := mapped(t, page, raw.PROT_READ, raw.MAP_SHARED, reopened(t, f, os.O_RDONLY), 0)
	pastEnd := mapped(t, pages(4), rw, raw.MAP_SHARED, f, 0)
	locked := mapped(t, page, rw, raw.MAP_SHARED|raw.MAP_LOCKED, memfd(t, page), 0)
	readOnly := mapped(t, page, raw.PROT_READ, anon, nil, 0)
	hole := holed(t, 3, 1)
	for _, row := range []struct {
		name   string
		addr   uintptr
		length int
		advice raw.Advice
		want   error
	}{
		{"an unaligned address", zeros(t, 1) + 1, page, raw.MADV_NORMAL, syscall.EINVAL},
		{"an unknown advice", zeros(t, 1), page, 9999, syscall.EINVAL},
		{"a negative advice", zeros(t, 1), page, -1, syscall.EINVAL},
		{"a length that passes the end of the address space", zeros(t, 1), -page, raw.MADV_NORMAL, wrapped},
		{"length 0", zeros(t, 1), 0, raw.MADV_DONTNEED, nil},
		{"length 0 where nothing is mapped", plus(hole, 1), 0, raw.MADV_DONTNEED, nil},
		{"a page that is not mapped", plus(hole, 1), page, raw.MADV_NORMAL, syscall.ENOMEM},
		{"a range with a hole in it", hole, pages(3), raw.MADV_WILLNEED, syscall.ENOMEM},
		{"populating a range with a hole in it", hole, pages(3), raw.MADV_POPULATE_READ, syscall.ENOMEM},
		{"populating for writing what is read-only", readOnly, page, raw.MADV_POPULATE_WRITE, syscall.EINVAL},
		{"populating what can't be accessed", arena(t, 1), page, raw.MADV_POPULATE_READ, syscall.EINVAL},
		{"populating after the end of the file", pastEnd, pages(4), raw.MADV_POPULATE_READ, syscall.EFAULT},
		{"populating for writing after the end of the file", pastEnd, pages(4), raw.MADV_POPULATE_WRITE, syscall.EFAULT},
		{"MADV_DONTNEED on locked memory", locked, page, raw.MADV_DONTNEED, syscall.EINVAL},
		{"MADV_REMOVE on locked memory", locked, page, raw.MADV_REMOVE, syscall.EINVAL},
		{"MADV_COLD on locked memory", locked, page, raw.MADV_COLD, syscall.EINVAL},
		{"MADV_PAGEOUT on locked memory", locked, page, raw.MADV_PAGEOUT, syscall.EINVAL},
		{"MADV_GUARD_INSTALL on locked memory", locked, page, raw.MADV_GUARD_INSTALL, syscall.EINVAL},
		{"MADV_DONTNEED_LOCKED on locked memory", locked, page, raw.MADV_DONTNEED_LOCKED, nil},
		{"MADV_FREE on a file", private, page, raw.MADV_FREE, syscall.EINVAL},
		{"MADV_WIPEONFORK on a file", private, page, raw.MADV_WIPEONFORK, syscall.EINVAL},
		{"MADV_REMOVE on a private mapping", private, page, raw.MADV_REMOVE, syscall.EACCES},
		{"MADV_REMOVE on a read-only descriptor", readOnlyShared, page, raw.MADV_REMOVE, syscall.EACCES},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Madvise(row.addr, row.length, row.advice), row.want) })
	}
}

func TestMadvDontneed(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name  string
		prot  raw.Prot // after the store
		flags raw.Flag
		f     *os.File
		want  byte // what a load gives afterwards
	}{
		{"private anonymous memory becomes zero", rw, anon, nil, 0},
		{"even where it is read-only", raw.PROT_READ, anon, nil, 0},
		{"shared anonymous memory is kept", rw, raw.MAP_SHARED | raw.MAP_ANONYMOUS, nil, 0xA5},
		{"a shared store to a file is kept", rw, raw.MAP_SHARED, file(t, page), 0xA5},
		{"a private copy is dropped, and the file shows again", rw, raw.MAP_PRIVATE, file(t, page), pattern(0)},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := mapped(t, page, rw, row.flags, row.f, 0)
			store(addr)
			must(t, raw.Mprotect(addr, page, row.prot))
			must(t, raw.Madvise(addr, page, raw.MADV_DONTNEED))
			if present(t, addr, 1) != 0 {
				t.Error("the page-table entry is still there")
			}
			if got := at(addr, 1)[0]; got != row.want {
				t.Errorf("a load gives %#x, want %#x", got, row.want)
			}
		})
	}
}

func TestMadvDontneedLeavesTheFilesPagesInTheCache(t *testing.T) {
	needLinux(t)
	f := file(t, pages(4))
	addr := mapped(t, pages(4), raw.PROT_READ, raw.MAP_SHARED|raw.MAP_POPULATE, f, 0)
	must(t, raw.Madvise(addr, pages(4), raw.MADV_DONTNEED))
	if present(t, addr, 4) != 0 || resident(t, addr, 4) != 4 {
		t.Errorf("%d entries and %d cached pages, want 0 and 4", present(t, addr, 4), resident(t, addr, 4))
	}
}

func TestMadvDontneedAcrossAHoleDropsBothSides(t *testing.T) {
	needLinux(t)
	base := holed(t, 3, 1)
	store(base)
	store(plus(base, 2))
	wantErr(t, raw.Madvise(base, pages(3), raw.MADV_DONTNEED), syscall.ENOMEM)
	if at(base, 1)[0] != 0 || at(plus(base, 2), 1)[0] != 0 {
		t.Error("a page beside the hole was kept")
	}
}

func TestMadvRemovePunchesAHoleInTheFile(t *testing.T) {
	needLinux(t)
	for kind, f := range map[string]*os.File{"disk": fileIn(t, testenv.DiskDir(t), pages(3)), "memfd": memfd(t, pages(3))} {
		t.Run(kind, func(t *testing.T) {
			must(t, f.Sync())
			before := statOf(t, f)
			addr := mapped(t, pages(3), rw, raw.MAP_SHARED, f, 0)
			must(t, raw.Madvise(plus(addr, 1), page, raw.MADV_REMOVE))
			want := patterned(pages(3))
			clear(want[page : 2*page])
			if !bytes.Equal(contents(t, f, 0, pages(3)), want) || !bytes.Equal(at(addr, pages(3)), want) {
				t.Error("want zeros in the second page, in the file and in the mapping")
			}
			if after := statOf(t, f); after.Size != before.Size {
				t.Errorf("the size went from %d to %d", before.Size, after.Size)
			}
		})
	}
}

func TestMadvFreedPagesThatAreStoredToAgainStay(t *testing.T) {
	needLinux(t)
	addr := zeros(t, 2)
	store(addr)
	store(plus(addr, 1))
	must(t, raw.Madvise(addr, pages(2), raw.MADV_FREE))
	at(addr, 1)[0] = 7
	if got := at(addr, 1)[0]; got != 7 {
		t.Errorf("a store after MADV_FREE shows as %#x", got)
	}
	if got := at(plus(addr, 1), 1)[0]; got != 0xA5 && got != 0 {
		t.Errorf("a freed page shows %#x, neither the old byte nor zero", got)
	}
}

func TestMadvGuardPagesFaultWithoutAnAreaOfTheirOwn(t *testing.T) {
	needLinux(t)
	addr := zeros(t, 3)
	testenv.Need(t, testenv.Feature{Name: "MADV_GUARD_INSTALL", Since: "6.13", Probe: func() error {
		return raw.Madvise(plus(addr, 1), page, raw.MADV_GUARD_INSTALL)
	}})
	store(addr)
	store(plus(addr, 2))
	if mayLoad(plus(addr, 1)) || mayStore(plus(addr, 1)) {
		t.Error("the guard page can be accessed")
	}
	if got := areaAt(t, addr); got.size() != pages(3) {
		t.Errorf("the area was split: it has %d bytes", got.size())
	}
	must(t, raw.Madvise(addr, pages(3), raw.MADV_GUARD_REMOVE))
	for i, want := range []byte{0xA5, 0, 0xA5} {
		if got := at(plus(addr, i), 1)[0]; got != want {
			t.Errorf("page %d shows %#x, want %#x", i, got, want)
		}
	}
}

func TestMadvPopulateBringsInWithTheRightAccess(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.PopulateRead)
	const n = 4
	f := file(t, pages(n))
	for _, row := range []struct {
		name      string
		advice    raw.Advice
		prot      raw.Prot
		flags     raw.Flag
		f         *os.File
		fileOwned bool // the frames, pagemap bit 61
	}{
		{"reading anonymous memory", raw.MADV_POPULATE_READ, rw, anon, nil, false},
		{"writing anonymous memory", raw.MADV_POPULATE_WRITE, rw, anon, nil, false},
		{"writing what is write-only", raw.MADV_POPULATE_WRITE, raw.PROT_WRITE, anon, nil, false},
		{"reading a shared mapping of a file", raw.MADV_POPULATE_READ, raw.PROT_READ, raw.MAP_SHARED, f, true},
		{"writing a shared mapping of a file", raw.MADV_POPULATE_WRITE, rw, raw.MAP_SHARED, f, true},
		{"reading a private mapping of a file", raw.MADV_POPULATE_READ, rw, raw.MAP_PRIVATE, f, true},
		{"writing a private mapping of a file copies it", raw.MADV_POPULATE_WRITE, rw, raw.MAP_PRIVATE, f, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := mapped(t, pages(n), row.prot, row.flags, row.f, 0)
			if present(t, addr, n) != 0 {
				t.Fatal("pages were there before")
			}
			must(t, raw.Madvise(addr, pages(n), row.advice))
			for i, p := range ptes(t, addr, n) {
				if !p.present() || p.fileOwned() != row.fileOwned {
					t.Errorf("page %d: present %v, a file's %v", i, p.present(), p.fileOwned())
				}
			}
		})
	}
	if !bytes.Equal(contents(t, f, 0, pages(n)), patterned(pages(n))) {
		t.Error("populating changed the file")
	}
}

// uncached is a file of n pages on a disk, none of which is in the page cache.
func uncached(t testing.TB, n int) *os.File {
	t.Helper()
	testenv.Need(t, testenv.Cachestat)
	f := fileIn(t, testenv.DiskDir(t), pages(n))
	must(t, f.Sync())
	must(t, sys.DropCache(fdOf(f), 0, 0))
	if got := cache(t, f, 0, n).Cached; got != 0 {
		t.Fatalf("%d pages stayed in the cache", got)
	}
	return f
}

func TestMadvRandomEndsReadAhead(t *testing.T) {
	needLinux(t)
	const n = 64
	loaded := func(advice raw.Advice) uint64 {
		f := uncached(t, n)
		addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, f, 0)
		must(t, raw.Madvise(addr, pages(n), advice))
		load(addr)
		return cache(t, f, 0, n).Cached
	}
	if got := loaded(raw.MADV_RANDOM); got != 1 {
		t.Errorf("with MADV_RANDOM a load of one page read %d", got)
	}
	if got := loaded(raw.MADV_NORMAL); got < 2 {
		t.Errorf("with MADV_NORMAL a load of one page read %d: no read-ahead", got)
	}
}

func TestMadvWillneedReadsIntoTheCacheAndMapsNothing(t *testing.T) {
	needLinux(t)
	const n = 16
	f := uncached(t, n)
	addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, f, 0)
	must(t, raw.Madvise(addr, pages(n), raw.MADV_WILLNEED))
	if got := cache(t, f, 0, n).Cached; got != n {
		t.Errorf("%d of %d pages are in the cache, or on their way", got, n)
	}
	if got := present(t, addr, n); got != 0 {
		t.Errorf("%d pages have an entry", got)
	}
}

func TestMadvPageoutTakesCleanPagesFromMemoryAndColdDoesNot(t *testing.T) {
	needLinux(t)
	const n = 8
	f := fileIn(t, testenv.DiskDir(t), pages(n))
	must(t, f.Sync())
	addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, f, 0)
	must(t, raw.Madvise(addr, pages(n), raw.MADV_POPULATE_READ))
	must(t, raw.Madvise(addr, pages(n), raw.MADV_COLD))
	if got := present(t, addr, n); got != n {
		t.Errorf("after MADV_COLD %d of %d pages have an entry", got, n)
	}
	// A page that someone else holds for a moment is passed over.
	often(t, func() error {
		must(t, raw.Madvise(addr, pages(n), raw.MADV_POPULATE_READ))
		must(t, raw.Madvise(addr, pages(n), raw.MADV_PAGEOUT))
		if got := resident(t, addr, n); got != 0 {
			return fmt.Errorf("after MADV_PAGEOUT %d of %d pages are in memory", got, n)
		}
		return nil
	})
}

func TestFadviseDontneedSparesDirtyMappedAndLockedPages(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	const n = 8
	dir := testenv.DiskDir(t)
	for _, row := range []struct {
		name string
		do   func(addr uintptr) error
		kept int
	}{
		{"nothing holds them", func(uintptr) error { return nil }, 0},
		{"mapped", func(addr uintptr) error { return raw.Madvise(addr, pages(n), raw.MADV_POPULATE_READ) }, n},
		{"locked", func(addr uintptr) error { return raw.Mlock(addr, pages(n)) }, n},
		{"mapped, and no longer", func(addr uintptr) error {
			return errors.Join(raw.Madvise(addr, pages(n), raw.MADV_POPULATE_READ), raw.Madvise(addr, pages(n), raw.MADV_DONTNEED))
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := fileIn(t, dir, pages(n))
			must(t, f.Sync())
			addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, f, 0)
			must(t, row.do(addr))
			must(t, sys.DropCache(fdOf(f), 0, 0))
			if got := cache(t, f, 0, n).Cached; got != uint64(row.kept) {
				t.Errorf("%d of %d pages stayed, want %d", got, n, row.kept)
			}
		})
	}
	t.Run("dirty", func(t *testing.T) {
		often(t, func() error {
			_, f := dirtied(t, testenv.DiskDir(t), n)
			must(t, sys.DropCache(fdOf(f), 0, 0))
			if got := cache(t, f, 0, n).Cached; got != n {
				return fmt.Errorf("%d of %d pages stayed", got, n)
			}
			return nil
		})
	})
}

package raw_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

func TestMlockRoundsOutwardToPages(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	half := page / 2
	for _, row := range []struct {
		name     string
		from, n  int // bytes of four pages
		lockable int // pages that are locked
	}{
		{"a page", 0, page, 1},
		{"one byte", 0, 1, 1},
		{"the last byte of a page", page - 1, 1, 1},
		{"two bytes on two pages", page - 1, 2, 2},
		{"a page's length from its middle", half, page, 2},
		{"everything", 0, 4 * page, 4},
		{"length 0", page, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := zeros(t, 4)
			before := lockedPages(t)
			must(t, raw.Mlock(addr+uintptr(row.from), row.n))
			if got := lockedPages(t) - before; got != row.lockable {
				t.Errorf("VmLck grew by %d pages, want %d", got, row.lockable)
			}
			if got := present(t, addr, 4); got != row.lockable {
				t.Errorf("%d pages are present, want %d", got, row.lockable)
			}
			must(t, raw.Munlock(addr+uintptr(row.from), row.n))
			if got := lockedPages(t) - before; got != 0 {
				t.Errorf("after munlock %d pages are still locked", got)
			}
		})
	}
}

func TestMlockAndMunlockAnswers(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	file := file(t, pages(2))
	writeOnly := mapped(t, page, raw.PROT_WRITE, raw.MAP_SHARED, file, 0)
	pastEnd := mapped(t, pages(4), raw.PROT_READ, raw.MAP_SHARED, file, 0)
	hole := holed(t, 3, 1)
	for _, row := range []struct {
		name    string
		addr    uintptr
		length  int
		want    error // of mlock
		wantNot error // of munlock
	}{
		{"memory", zeros(t, 1), page, nil, nil},
		{"a write-only mapping of a file", writeOnly, page, nil, nil},
		{"memory without access, which is locked all the same", arena(t, 1), page, syscall.ENOMEM, nil},
		{"pages after the end of the file", pastEnd, pages(4), syscall.ENOMEM, nil},
		{"a page that is not mapped", plus(hole, 1), page, syscall.ENOMEM, syscall.ENOMEM},
		{"a range with a hole in it", hole, pages(3), syscall.ENOMEM, syscall.ENOMEM},
		{"length 0 where nothing is mapped", plus(hole, 1), 0, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantErr(t, raw.Mlock(row.addr, row.length), row.want)
			wantErr(t, raw.Munlock(row.addr, row.length), row.wantNot)
		})
	}
}

func TestMunlockRefusesALengthThatPassesTheEndOfTheAddressSpace(t *testing.T) {
	needLinux(t)
	wantErr(t, raw.Munlock(zeros(t, 1), -page), wrapped)
}

func TestMlockOfMemoryWithoutAccessLocksItAll(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	addr := arena(t, 1)
	wantErr(t, raw.Mlock(addr, page), syscall.ENOMEM)
	if !areaAt(t, addr).has("lo") {
		t.Error("the area is not locked")
	}
	must(t, raw.Munlock(addr, page))
}

func TestMlockBringsEveryPageIn(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	const n = 8
	for kind, addr := range map[string]uintptr{
		"anonymous":    zeros(t, n),
		"shared file":  mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, file(t, pages(n)), 0),
		"private file": mapped(t, pages(n), rw, raw.MAP_PRIVATE, file(t, pages(n)), 0),
	} {
		t.Run(kind, func(t *testing.T) {
			must(t, raw.Mlock(addr, pages(n)))
			got := areaAt(t, addr)
			if kB := n * page / 1024; got.kB["Size"] != kB || got.kB["Rss"] != kB || got.kB["Locked"] != kB {
				t.Errorf("Size %d, Rss %d, Locked %d kB; want %d each", got.kB["Size"], got.kB["Rss"], got.kB["Locked"], kB)
			}
			if resident(t, addr, n) != n {
				t.Error("mincore misses pages")
			}
			must(t, raw.Munlock(addr, pages(n))) // the limit may be low
		})
	}
}

func TestMlock2(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable, testenv.Mlock2)
	const n = 4
	for _, row := range []struct {
		name    string
		touched int // pages stored to before
		flags   raw.LockFlag
		length  int // pages
		locked  int // VmLck, in pages
		present int
	}{
		{"without a flag it brings everything in", 0, 0, n, n, n},
		{"with MLOCK_ONFAULT it brings nothing in", 0, raw.MLOCK_ONFAULT, n, n, 0},
		{"with MLOCK_ONFAULT it keeps what is there", 2, raw.MLOCK_ONFAULT, n, n, 2},
		{"part of the range", 0, 0, 2, 2, 2},
		{"part of the range with MLOCK_ONFAULT", 1, raw.MLOCK_ONFAULT, 2, 2, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := zeros(t, n)
			for i := range row.touched {
				store(plus(addr, i))
			}
			before := lockedPages(t)
			must(t, raw.Mlock2(addr, pages(row.length), row.flags))
			if got := lockedPages(t) - before; got != row.locked {
				t.Errorf("VmLck grew by %d pages, want %d", got, row.locked)
			}
			if got := present(t, addr, n); got != row.present {
				t.Errorf("%d pages are present, want %d", got, row.present)
			}
			if got := areaAt(t, addr); !got.has("lo") || got.kB["Locked"]*1024 != pages(row.present) {
				t.Errorf("smaps shows %v and %d kB locked", got.flags, got.kB["Locked"])
			}
			store(plus(addr, row.length-1))
			if got := present(t, addr, n); row.flags != 0 && got != row.present+1 {
				t.Errorf("after a store %d pages are present", got)
			}
		})
	}
}

func TestMlock2Refusals(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable, testenv.Mlock2)
	hole := holed(t, 3, 1)
	for _, row := range []struct {
		name  string
		addr  uintptr
		flags raw.LockFlag
		want  error
	}{
		{"an unknown flag", zeros(t, 1), raw.MLOCK_ONFAULT << 1, syscall.EINVAL},
		{"every flag", zeros(t, 1), -1, syscall.EINVAL},
		{"a page that is not mapped", plus(hole, 1), raw.MLOCK_ONFAULT, syscall.ENOMEM},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Mlock2(row.addr, page, row.flags), row.want) })
	}
}

func TestLocksDoNotNest(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable, testenv.Mlock2)
	addr := zeros(t, 4)
	before := lockedPages(t)
	must(t, raw.Mlock2(addr, pages(4), raw.MLOCK_ONFAULT))
	must(t, raw.Mlock(addr, pages(4)))
	must(t, raw.Mlock(addr, pages(4)))
	if got := lockedPages(t) - before; got != 4 {
		t.Errorf("locked three times, 4 pages count as %d", got)
	}
	must(t, raw.Munlock(plus(addr, 1), page))
	if got := lockedPages(t) - before; got != 3 {
		t.Errorf("after one munlock of one page %d are locked", got)
	}
	if areaAt(t, plus(addr, 1)).has("lo") || !areaAt(t, addr).has("lo") {
		t.Error("munlock did not split the area")
	}
}

func TestLockingAndUnlockingEveryAreaLeavesTheStackAlone(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	size := func() (n int) {
		for _, a := range areas(t) {
			if a.path == "[stack]" {
				n = a.size()
			}
		}
		return n
	}
	before := size()
	for _, a := range areas(t) {
		if a.path == "[stack]" {
			must(t, raw.Mlock2(a.start, page, raw.MLOCK_ONFAULT))
			must(t, raw.Munlock(a.start, a.size()))
		}
	}
	if got := size(); got < before || before == 0 {
		t.Errorf("the stack had %d bytes and has %d", before, got)
	}
}

func TestMunmapUnlocks(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	before := lockedPages(t)
	addr, err := raw.Mmap(0, pages(4), rw, anon|raw.MAP_LOCKED, -1, 0)
	must(t, err)
	during := lockedPages(t)
	must(t, raw.Munmap(addr, pages(4)))
	if after := lockedPages(t); during != before+4 || after != before {
		t.Errorf("VmLck: %d pages before, %d while mapped with MAP_LOCKED, %d after", before, during, after)
	}
}

func TestDroppableMemoryCannotBeLocked(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	addr, err := raw.Mmap(0, page, rw, raw.MAP_ANONYMOUS|raw.MAP_DROPPABLE, -1, 0)
	testenv.Need(t, testenv.Feature{Name: "MAP_DROPPABLE", Since: "6.11", Probe: func() error { return err }})
	defer raw.Munmap(addr, page)
	must(t, raw.Mlock(addr, page)) // it succeeds, and
	if areaAt(t, addr).has("lo") {
		t.Error("it is locked")
	}
}

func TestMlockMaxIsNoFile(t *testing.T) {
	needLinux(t)
	if _, err := os.Stat("/proc/sys/vm/mlock_max"); !os.IsNotExist(err) {
		t.Errorf("/proc/sys/vm/mlock_max: %v", err)
	}
}

// limitOfEight runs as nobody with RLIMIT_MEMLOCK of eight pages.
var limitOfEight = child("memlock of eight pages", func(t *testing.T) {
	addr := mapped(t, pages(16), rw, anon, nil, 0)
	for _, row := range []struct {
		name string
		call func() error
		want error
	}{
		{"mlock up to the limit", func() error { return raw.Mlock(addr, pages(8)) }, nil},
		{"mlock of what is locked already counts nothing", func() error { return raw.Mlock(addr, pages(8)) }, nil},
		{"mlock of one page more", func() error { return raw.Mlock(plus(addr, 8), page) }, syscall.ENOMEM},
		{"mlock2 of one page more", func() error { return raw.Mlock2(plus(addr, 8), page, raw.MLOCK_ONFAULT) }, syscall.ENOMEM},
		{"mlock of everything", func() error { return raw.Mlock(addr, pages(16)) }, syscall.ENOMEM},
		{"mmap with MAP_LOCKED of one page more", func() error {
			_, err := raw.Mmap(0, page, rw, anon|raw.MAP_LOCKED, -1, 0)
			return err
		}, syscall.EAGAIN},
		{"mremap that grows what is locked", func() error {
			_, err := raw.Mremap(addr, pages(8), pages(9), raw.MREMAP_MAYMOVE, 0)
			return err
		}, syscall.EAGAIN},
		{"mlockall of more than the limit", func() error { return raw.Mlockall(raw.MCL_CURRENT) }, syscall.ENOMEM},
		{"munlock", func() error { return raw.Munlock(addr, pages(8)) }, nil},
		{"mmap with MAP_LOCKED within the limit", func() error {
			got, err := raw.Mmap(0, page, rw, anon|raw.MAP_LOCKED, -1, 0)
			if err == nil {
				err = raw.Munmap(got, page)
			}
			return err
		}, nil},
	} {
		if err := row.call(); !isErr(err, row.want) {
			t.Errorf("%s: answered %v, want %v", row.name, err, row.want)
		}
	}
})

// limitOfZero runs as nobody with RLIMIT_MEMLOCK 0.
var limitOfZero = child("memlock of zero", func(t *testing.T) {
	addr := mapped(t, page, rw, anon, nil, 0)
	for _, row := range []struct {
		name string
		call func() error
		want error
	}{
		{"mlock", func() error { return raw.Mlock(addr, page) }, syscall.EPERM},
		{"mlock2", func() error { return raw.Mlock2(addr, page, raw.MLOCK_ONFAULT) }, syscall.EPERM},
		{"mlockall", func() error { return raw.Mlockall(raw.MCL_CURRENT) }, syscall.EPERM},
		{"mmap with MAP_LOCKED", func() error {
			_, err := raw.Mmap(0, page, rw, anon|raw.MAP_LOCKED, -1, 0)
			return err
		}, syscall.EPERM},
		{"munlock", func() error { return raw.Munlock(addr, page) }, nil},
		{"munlockall", raw.Munlockall, nil},
	} {
		if err := row.call(); !isErr(err, row.want) {
			t.Errorf("%s: answered %v, want %v", row.name, err, row.want)
		}
	}
})

func TestLockLimit(t *testing.T) {
	needLinux(t)
	t.Parallel() // it waits for processes
	testenv.Need(t, testenv.Nobody)
	for _, row := range []struct {
		name  string
		child string
		limit int
	}{
		{"above the limit it is ENOMEM, or EAGAIN from mmap and mremap", limitOfEight, pages(8)},
		{"with a limit of 0 it is EPERM", limitOfZero, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			run(t, testenv.Child{Name: row.child, Nobody: true,
				Limits: map[sys.Resource]uint64{sys.LockedMemory: uint64(row.limit)}})
		})
	}
}

var powerless = child("limit zero with CAP_IPC_LOCK", func(t *testing.T) {
	addr := mapped(t, page, rw, anon, nil, 0)
	must(t, raw.Mlock(addr, page))
	if lockedPages(t) != 1 {
		t.Error("the page is not locked")
	}
})

func TestCapabilityVoidsTheLockLimit(t *testing.T) {
	needLinux(t)
	testenv.Need(t, canLockAnything)
	run(t, testenv.Child{Name: powerless, Limits: map[sys.Resource]uint64{sys.LockedMemory: 0}})
}

// canLockAnything is CAP_IPC_LOCK: bit 14 of CapEff.
var canLockAnything = testenv.Feature{Name: "CAP_IPC_LOCK", Probe: func() error { return capability(14) }}

// smallEnough is an address space that may be locked whole: mlockall brings in
// all of it that can be accessed.
var smallEnough = testenv.Feature{Name: "memory for twice the address space", Probe: func() error {
	size, err := lookup("/proc/self/status", "VmSize", 10)
	if err != nil {
		return err
	}
	free, err := lookup("/proc/meminfo", "MemAvailable", 10)
	if err == nil && 2*size > free {
		err = fmt.Errorf("the address space is %d kB, and %d kB are available", size, free)
	}
	return err
}}

func TestMlockallAnswers(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name  string
		flags raw.LockAllFlag
	}{
		{"no flag", 0},
		{"MCL_ONFAULT alone", raw.MCL_ONFAULT},
		{"an unknown flag", raw.MCL_CURRENT | 1<<10},
		{"every flag", -1},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Mlockall(row.flags), syscall.EINVAL) })
	}
}

var lockedAll = child("everything locked", func(t *testing.T) {
	noCollection(t)
	f := memfd(t, pages(4))
	mapping := mapped(t, pages(4), rw, raw.MAP_SHARED, f, 0)
	must(t, raw.Mlockall(raw.MCL_CURRENT))
	wantErr(t, raw.Msync(mapping, pages(4), raw.MS_INVALIDATE), syscall.EBUSY)
	if present(t, mapping, 4) != 4 {
		t.Error("MCL_CURRENT did not bring the mapping in")
	}
	later := zeros(t, 1)
	if areaAt(t, later).has("lo") {
		t.Error("MCL_CURRENT locked a later mapping")
	}
	must(t, raw.Munlockall())
	if n := lockedPages(t); n != 0 {
		t.Errorf("after munlockall %d pages are locked", n)
	}
	wantErr(t, raw.Msync(mapping, pages(4), raw.MS_INVALIDATE), nil)

	must(t, raw.Mlockall(raw.MCL_FUTURE))
	later = zeros(t, 1)
	if !areaAt(t, later).has("lo") || present(t, later, 1) != 1 {
		t.Error("MCL_FUTURE did not lock a later mapping")
	}
	if areaAt(t, mapping).has("lo") {
		t.Error("MCL_FUTURE locked an earlier mapping")
	}
	must(t, raw.Munlockall())
	must(t, raw.Mlockall(raw.MCL_CURRENT|raw.MCL_FUTURE))
	if !areaAt(t, mapping).has("lo") || !areaAt(t, zeros(t, 1)).has("lo") {
		t.Error("both flags did not lock both mappings")
	}
	must(t, raw.Munlockall())
	if areaAt(t, zeros(t, 1)).has("lo") {
		t.Error("munlockall did not end MCL_FUTURE")
	}
})

var lockedOnFault = child("everything locked on fault", func(t *testing.T) {
	noCollection(t)
	early := zeros(t, 2)
	store(early)
	must(t, raw.Mlockall(raw.MCL_CURRENT|raw.MCL_ONFAULT))
	if !areaAt(t, early).has("lo") || present(t, early, 2) != 1 {
		t.Error("MCL_ONFAULT brought pages in, or locked none")
	}
	must(t, raw.Munlockall())
	if n := lockedPages(t); n != 0 {
		t.Errorf("after munlockall %d pages are locked", n)
	}
})

func TestMlockallLocksWhatItsFlagsSay(t *testing.T) {
	needLinux(t)
	testenv.Need(t, canLockAnything, smallEnough)
	run(t, testenv.Child{Name: lockedAll})
}

func TestMlockallOnFaultBringsNothingIn(t *testing.T) {
	needLinux(t)
	testenv.Need(t, canLockAnything)
	run(t, testenv.Child{Name: lockedOnFault})
}

// notInherited runs beside a parent that holds locks.
var notInherited = child("locks not inherited", func(t *testing.T) {
	if n := lockedPages(t); n != 0 {
		t.Errorf("the new program starts with %d locked pages", n)
	}
})

func TestLocksAreNotInherited(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	must(t, raw.Mlock(zeros(t, 2), pages(2)))
	run(t, testenv.Child{Name: notInherited})
}

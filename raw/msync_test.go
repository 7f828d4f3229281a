package raw_test

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

func TestMsyncAnswers(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	shared := mapped(t, pages(2), rw, raw.MAP_SHARED, file(t, pages(2)), 0)
	locked := mapped(t, page, rw, raw.MAP_SHARED, file(t, page), 0)
	must(t, raw.Mlock(locked, page))
	hole := holed(t, 3, 1)
	for _, row := range []struct {
		name   string
		addr   uintptr
		length int
		flags  raw.SyncFlag
		want   error
	}{
		{"everything", shared, pages(2), raw.MS_SYNC, nil},
		{"one page of it", plus(shared, 1), page, raw.MS_SYNC, nil},
		{"an unaligned length", shared, page + 1, raw.MS_SYNC, nil},
		{"no flag at all", shared, page, 0, nil},
		{"MS_ASYNC", shared, page, raw.MS_ASYNC, nil},
		{"MS_INVALIDATE where nothing is locked", shared, page, raw.MS_INVALIDATE, nil},
		{"MS_SYNC and MS_INVALIDATE", shared, page, raw.MS_SYNC | raw.MS_INVALIDATE, nil},
		{"MS_ASYNC and MS_INVALIDATE", shared, page, raw.MS_ASYNC | raw.MS_INVALIDATE, nil},
		{"length 0", shared, 0, raw.MS_SYNC, nil},
		{"length 0 where nothing is mapped", plus(hole, 1), 0, raw.MS_SYNC, nil},
		{"anonymous memory", zeros(t, 1), page, raw.MS_SYNC, nil},
		{"memory without access", arena(t, 1), page, raw.MS_SYNC, nil},
		{"MS_INVALIDATE where a page is locked", locked, page, raw.MS_SYNC | raw.MS_INVALIDATE, syscall.EBUSY},
		{"MS_SYNC where a page is locked", locked, page, raw.MS_SYNC, nil},
		{"MS_SYNC and MS_ASYNC at once", shared, page, raw.MS_SYNC | raw.MS_ASYNC, syscall.EINVAL},
		{"an unknown flag", shared, page, raw.MS_SYNC | 1<<10, syscall.EINVAL},
		{"every flag", shared, page, -1, syscall.EINVAL},
		{"an unaligned address", shared + 1, page, raw.MS_SYNC, syscall.EINVAL},
		{"an unaligned address and MS_ASYNC", shared + 1, page, raw.MS_ASYNC, syscall.EINVAL},
		{"an unaligned address and length 0", shared + 1, 0, raw.MS_SYNC, syscall.EINVAL},
		{"a page that is not mapped", plus(hole, 1), page, raw.MS_SYNC, syscall.ENOMEM},
		{"a range with a hole in it", hole, pages(3), raw.MS_SYNC, syscall.ENOMEM},
		{"a range with a hole in it and MS_ASYNC", hole, pages(3), raw.MS_ASYNC, syscall.ENOMEM},
		{"a length that passes the end of the address space", shared, -page, raw.MS_SYNC, syscall.ENOMEM},
		{"an address that no process has", beyond, page, raw.MS_SYNC, syscall.ENOMEM},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Msync(row.addr, row.length, row.flags), row.want) })
	}
}

// dirtied is a shared mapping of n dirty pages of a file on a disk. The file
// was written page by page, so that each page is a folio of its own and is
// counted by itself. Nobody else writes pages back but the kernel's flusher,
// which leaves pages alone that are younger than 30 s, and sync(2): see often.
func dirtied(t testing.TB, dir string, n int) (addr uintptr, f *os.File) {
	t.Helper()
	f = fileIn(t, dir, 0)
	for i := range n {
		_, err := f.WriteAt(patterned(page), int64(pages(i)))
		must(t, err)
	}
	must(t, f.Sync())
	addr = mapped(t, pages(n), rw, raw.MAP_SHARED, f, 0)
	for i := range n {
		store(plus(addr, i))
	}
	return addr, f
}

// often tries what another process's sync(2) may disturb, and fails only when
// it never holds.
func often(t testing.TB, try func() error) {
	t.Helper()
	var err error
	for range 10 {
		if err = try(); err == nil {
			return
		}
	}
	t.Error(err)
}

func TestMsyncWritesExactlyWhatItSays(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.Cachestat)
	const n = 16
	for _, row := range []struct {
		name        string
		first, last int // pages given to msync
		flags       raw.SyncFlag
		clean       int // pages from first on that are clean afterwards
	}{
		{"MS_SYNC of everything leaves nothing dirty", 0, n, raw.MS_SYNC, n},
		{"MS_SYNC of four pages leaves the others dirty", 4, 8, raw.MS_SYNC, 4},
		{"MS_ASYNC writes nothing and starts nothing", 0, n, raw.MS_ASYNC, 0},
		{"MS_INVALIDATE writes nothing", 0, n, raw.MS_INVALIDATE, 0},
		{"no flag writes nothing", 0, n, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			often(t, func() error {
				addr, f := dirtied(t, testenv.DiskDir(t), n)
				must(t, raw.Msync(plus(addr, row.first), pages(row.last-row.first), row.flags))
				whole, part := cache(t, f, 0, n), cache(t, f, row.first, row.clean)
				if whole.Writeback != 0 || whole.Dirty != uint64(n-row.clean) || row.clean > 0 && part.Dirty != 0 {
					return fmt.Errorf("of %d dirty pages %d stay dirty and %d are being written; in the range %d stay dirty",
						n, whole.Dirty, whole.Writeback, part.Dirty)
				}
				return nil
			})
		})
	}
}

func TestWriteOutIsWhatMsAsyncIsNot(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.Cachestat)
	addr, f := dirtied(t, testenv.DiskDir(t), 16)
	must(t, raw.Msync(addr, pages(16), raw.MS_ASYNC))
	must(t, sys.WriteOut(fdOf(f), 0, int64(pages(16))))
	if got := cache(t, f, 0, 16); got.Dirty != 0 {
		t.Errorf("sync_file_range left %d pages dirty", got.Dirty)
	}
}

func TestMsyncWritesWhatIsMappedAroundAHole(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.Cachestat)
	_, f := dirtied(t, testenv.DiskDir(t), 3)
	base := arena(t, 3)
	place(t, base, pages(3), rw, raw.MAP_SHARED, f, 0)
	must(t, raw.Munmap(plus(base, 1), page))
	wantErr(t, raw.Msync(base, pages(3), raw.MS_SYNC), syscall.ENOMEM)
	for _, i := range []int{0, 2} {
		if cache(t, f, i, 1).Dirty != 0 {
			t.Errorf("page %d is still dirty", i)
		}
	}
}

func TestUnsyncedStoresStayDirtyInTheCacheAfterMunmap(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.Cachestat)
	dir := testenv.DiskDir(t)
	often(t, func() error {
		_, f := dirtied(t, dir, 4)
		base := arena(t, 4)
		place(t, base, pages(4), rw, raw.MAP_SHARED, f, 0)
		at(base, 1)[0] = 99
		must(t, raw.Munmap(base, pages(4)))
		if got := contents(t, reopened(t, f, os.O_RDONLY), 0, 1)[0]; got != 99 {
			t.Fatalf("another descriptor reads %d", got)
		}
		if got := cache(t, f, 0, 4); got.Dirty != 4 {
			return fmt.Errorf("%d of 4 pages are dirty", got.Dirty)
		}
		return nil
	})
}

func TestMsyncOfAPrivateMappingDoesNothing(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	addr := mapped(t, page, rw, raw.MAP_PRIVATE, f, 0)
	store(addr)
	for _, flags := range []raw.SyncFlag{raw.MS_SYNC, raw.MS_ASYNC, raw.MS_SYNC | raw.MS_INVALIDATE} {
		must(t, raw.Msync(addr, page, flags))
	}
	if !bytes.Equal(contents(t, f, 0, page), patterned(page)) {
		t.Error("the private store reached the file")
	}
	if at(addr, 1)[0] != 0xA5 {
		t.Error("MS_INVALIDATE took the private copy away")
	}
}

func TestMsInvalidateNeitherDropsNorRefreshesAnything(t *testing.T) {
	needLinux(t)
	const n = 4
	f := file(t, pages(n))
	addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED|raw.MAP_POPULATE, f, 0)
	private := mapped(t, page, rw, raw.MAP_PRIVATE, f, 0)
	store(private)
	must(t, raw.Msync(addr, pages(n), raw.MS_INVALIDATE))
	if present(t, addr, n) != n || resident(t, addr, n) != n {
		t.Error("MS_INVALIDATE dropped pages")
	}
	if at(private, 1)[0] != 0xA5 {
		t.Error("MS_INVALIDATE refreshed another mapping's private copy")
	}
}

package raw_test

import (
	"syscall"
	"testing"

	"github.com/memwright/mmap/raw"
)

func TestMunmapTakesAwayWholePagesAndOnlyThose(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name    string
		from, n int // first page; length in bytes
		gone    []bool
	}{
		{"everything", 0, 4 * page, []bool{true, true, true, true}},
		{"the first page", 0, page, []bool{true, false, false, false}},
		{"two pages in the middle", 1, 2 * page, []bool{false, true, true, false}},
		{"the last page", 3, page, []bool{false, false, false, true}},
		{"one byte takes its page", 1, 1, []bool{false, true, false, false}},
		{"a page and a byte take two", 1, page + 1, []bool{false, true, true, false}},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := zeros(t, 4)
			must(t, raw.Munmap(plus(addr, row.from), row.n))
			for i, gone := range row.gone {
				if got := !mayLoad(plus(addr, i)); got != gone {
					t.Errorf("page %d is gone: %v", i, got)
				}
			}
		})
	}
}

func TestMunmapAnswers(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name   string
		addr   uintptr
		length int
		want   error
	}{
		{"a range with nothing in it", plus(holed(t, 3, 1), 1), page, nil},
		{"a range with a hole in it", holed(t, 3, 1), pages(3), nil},
		{"length 0", zeros(t, 1), 0, syscall.EINVAL},
		{"an unaligned address", arena(t, 1) + 1, page, syscall.EINVAL},
		{"an address that no process has", beyond, page, syscall.EINVAL},
		{"a length that passes the end of the address space", zeros(t, 1), -page, syscall.EINVAL},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Munmap(row.addr, row.length), row.want) })
	}
}

func TestMunmapDiscardsPrivateStores(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	base := arena(t, 1)
	place(t, base, page, rw, raw.MAP_PRIVATE, f, 0)
	store(base)
	must(t, raw.Munmap(base, page))
	place(t, base, page, rw, raw.MAP_PRIVATE, f, 0)
	if got := at(base, 1)[0]; got != pattern(0) {
		t.Errorf("mapped anew, the page shows %d", got)
	}
}

func TestMunmapKeepsSharedStoresInThePageCache(t *testing.T) {
	needLinux(t)
	f := memfd(t, page)
	base := arena(t, 1)
	place(t, base, page, rw, raw.MAP_SHARED, f, 0)
	store(base)
	must(t, raw.Munmap(base, page)) // no msync
	if got := contents(t, f, 0, 1)[0]; got != 0xA5 {
		t.Errorf("read gives %d", got)
	}
}

func TestUnmappingManyThreadsMemoryNeverFails(t *testing.T) {
	needLinux(t)
	done := make(chan error)
	const workers, rounds = 4, 50
	for range workers {
		go func() {
			var err error
			for i := 0; i < rounds && err == nil; i++ {
				var addr uintptr
				if addr, err = raw.Mmap(0, pages(2), rw, anon, -1, 0); err == nil {
					store(addr)
					err = raw.Munmap(addr, pages(2))
				}
			}
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

package raw_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

// forbidden is what an access must not get through: the name is also the
// child's that dies of it.
var forbidden = []struct {
	name   string
	signal string // as the Go runtime prints it; code as in sigaction(2)
	access func(addr uintptr)
	make   func(t testing.TB) uintptr // the address of the access
}{
	{"a load where PROT_NONE is mapped", "SIGSEGV: segmentation violation code=0x2", load,
		func(t testing.TB) uintptr { return arena(t, 1) }},
	{"a store where PROT_READ is mapped", "SIGSEGV: segmentation violation code=0x2", store,
		func(t testing.TB) uintptr { return mapped(t, page, raw.PROT_READ, anon, nil, 0) }},
	{"a store through a read-only mapping of a file", "SIGSEGV: segmentation violation code=0x2", store,
		func(t testing.TB) uintptr { return mapped(t, page, raw.PROT_READ, raw.MAP_SHARED, file(t, page), 0) }},
	{"a load where nothing is mapped any more", "SIGSEGV: segmentation violation code=0x1", load,
		func(t testing.TB) uintptr { return plus(holed(t, 3, 1), 1) }},
	{"a load after the last page of the file", "SIGBUS: bus error code=0x2", load,
		func(t testing.TB) uintptr {
			return plus(mapped(t, pages(2), raw.PROT_READ, raw.MAP_SHARED, file(t, page), 0), 1)
		}},
	{"a store after the last page of the file", "SIGBUS: bus error code=0x2", store,
		func(t testing.TB) uintptr {
			return plus(mapped(t, pages(2), rw, raw.MAP_SHARED, file(t, page), 0), 1)
		}},
	{"a private load after the last page of the file", "SIGBUS: bus error code=0x2", load,
		func(t testing.TB) uintptr {
			return plus(mapped(t, pages(2), rw, raw.MAP_PRIVATE, file(t, page), 0), 1)
		}},
	{"a load after the last page of shared memory", "SIGBUS: bus error code=0x2", load,
		func(t testing.TB) uintptr {
			return plus(mapped(t, pages(2), rw, raw.MAP_SHARED, memfd(t, page), 0), 1)
		}},
	{"a load from an empty file", "SIGBUS: bus error code=0x2", load,
		func(t testing.TB) uintptr { return mapped(t, page, rw, raw.MAP_SHARED, file(t, 0), 0) }},
	{"a load after the file was truncated to nothing", "SIGBUS: bus error code=0x2", load,
		func(t testing.TB) uintptr {
			f := file(t, page)
			addr := mapped(t, page, rw, raw.MAP_SHARED, f, 0)
			store(addr)
			must(t, f.Truncate(0))
			return addr
		}},
}

func TestForbiddenAccessFaultsAtItsAddress(t *testing.T) {
	needLinux(t)
	for _, row := range forbidden {
		t.Run(row.name, func(t *testing.T) {
			want := row.make(t) + 5
			got, faulted := faultIn(func() { row.access(want) })
			if !faulted || got != want {
				t.Errorf("faulted: %v, at %#x, want %#x", faulted, got, want)
			}
		})
	}
}

func init() {
	for _, row := range forbidden {
		child(row.name, func(t *testing.T) {
			addr := row.make(t)
			debug.SetTraceback("none")
			row.access(addr)
		})
	}
}

func TestForbiddenAccessRaisesItsSignal(t *testing.T) {
	needLinux(t)
	for _, row := range forbidden {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel() // it waits for a process
			r := testenv.Child{Name: row.name, Env: []string{noExitSleep}}.Run(t)
			if r.Code != 2 || !strings.Contains(r.Stderr, "[signal "+row.signal) {
				t.Errorf("the child ended with %d and said\n%s", r.Code, r.Stderr)
			}
		})
	}
}

func TestPagesUpToTheEndOfTheFileDoNotFault(t *testing.T) {
	needLinux(t)
	f := file(t, page+1)
	addr := mapped(t, pages(3), rw, raw.MAP_SHARED, f, 0)
	for i, want := range []bool{true, true, false} {
		if got := mayStore(plus(addr, i)); got != want {
			t.Errorf("a store to page %d of a file of a page and a byte passes: %v", i, got)
		}
	}
}

// TestSystemCallsAnswerEFAULTWhereAnAccessWouldFault: the kernel's own access
// raises no signal.
func TestSystemCallsAnswerEFAULTWhereAnAccessWouldFault(t *testing.T) {
	needLinux(t)
	for _, row := range forbidden {
		if strings.Contains(row.name, "store") && strings.Contains(row.signal, "SIGSEGV") {
			continue // the calls below only load
		}
		t.Run(row.name, func(t *testing.T) {
			out, err := os.Create(t.TempDir() + "/out")
			must(t, err)
			defer out.Close()
			_, err = out.Write(at(row.make(t), 1))
			wantErr(t, err, syscall.EFAULT)
		})
	}
}

func TestReadIntoPagesThatCannotBeStoredToIsEFAULT(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	for _, row := range []struct {
		name string
		addr uintptr
	}{
		{"read-only pages", mapped(t, page, raw.PROT_READ, anon, nil, 0)},
		{"pages after the end of the file", plus(mapped(t, pages(2), rw, raw.MAP_SHARED, f, 0), 1)},
		{"reserved pages", arena(t, 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := f.ReadAt(at(row.addr, page), 0)
			wantErr(t, err, syscall.EFAULT)
		})
	}
}

// TestLoadsMapCachedNeighboursToo: a fault on a file maps what the page cache
// has around it, within an aligned 64 KiB by default (fault_around_bytes in
// debugfs). The first fault in a range that has no page table yet may map its
// page alone (seen on 6.18), so there are more loads than tables.
func TestLoadsMapCachedNeighboursToo(t *testing.T) {
	needLinux(t)
	const n, loads = 64, 4
	f := file(t, pages(n))
	must(t, f.Sync()) // pages that are being written back are locked, and passed over
	for _, row := range []struct {
		name  string
		flags raw.Flag
		f     *os.File
		alone bool
	}{
		{"a shared mapping of a cached file", raw.MAP_SHARED, f, false},
		{"a private mapping of a cached file", raw.MAP_PRIVATE, f, false},
		{"anonymous memory, which has none", anon, nil, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := mapped(t, pages(n), rw, row.flags, row.f, 0)
			for i := range loads {
				load(plus(addr, n/loads*i+n/loads/2))
			}
			if got := present(t, addr, n); got < loads || (got == loads) != row.alone {
				t.Errorf("%d loads made %d entries", loads, got)
			}
		})
	}
}

// A step changes the file's size, or stores through the mapping.
type step struct {
	truncate int64 // -1: none
	storeAt  int   // -1: none
}

func TestTruncationUnderAMapping(t *testing.T) {
	needLinux(t)
	half := page / 2
	truncate := func(n int) step { return step{int64(n), -1} }
	for _, row := range []struct {
		name  string
		flags raw.Flag
		size  int
		steps []step
		want  func(p []byte) error
	}{
		{"growing makes the new pages accessible, as zeros", raw.MAP_SHARED, page,
			[]step{truncate(3 * page)},
			all(isByte(0, pattern(0)), isByte(page, 0), isByte(2*page, 0))},
		{"shrinking and growing again leaves zeros", raw.MAP_SHARED, 2 * page,
			[]step{{-1, page}, truncate(page), truncate(2 * page)},
			all(isByte(0, pattern(0)), isByte(page, 0))},
		{"shrinking within a page zeroes the rest of the page", raw.MAP_SHARED, page,
			[]step{truncate(half)},
			all(isByte(half-1, pattern(half-1)), isByte(half, 0), isByte(page-1, 0))},
		{"shrinking takes the pages behind away", raw.MAP_SHARED, 3 * page,
			[]step{truncate(page)},
			all(isByte(page-1, pattern(page-1)), faultsAt(page), faultsAt(2*page))},
		{"shrinking to zero takes everything away", raw.MAP_SHARED, page,
			[]step{truncate(0)}, all(faultsAt(0))},
		{"shrinking takes private copies away too", raw.MAP_PRIVATE, 2 * page,
			[]step{{-1, page}, truncate(page)},
			all(isByte(0, pattern(0)), faultsAt(page))},
		{"shrinking within a page leaves its private copy alone", raw.MAP_PRIVATE, page,
			[]step{{-1, page - 1}, truncate(half)},
			all(isByte(half, pattern(half)), isByte(page-1, 0xA5))},
	} {
		for kind, newFile := range map[string]func(testing.TB, int) *os.File{"file": file, "memfd": memfd} {
			t.Run(row.name+" ("+kind+")", func(t *testing.T) {
				f := newFile(t, row.size)
				addr := mapped(t, pages(3), rw, row.flags, f, 0)
				for i := 0; i < row.size; i += page {
					load(addr + uintptr(i))
				}
				for _, s := range row.steps {
					if s.truncate >= 0 {
						must(t, f.Truncate(s.truncate))
					}
					if s.storeAt >= 0 {
						store(addr + uintptr(s.storeAt))
					}
				}
				must(t, row.want(at(addr, pages(3))))
			})
		}
	}
}

type condition func(p []byte) error

func all(list ...condition) condition {
	return func(p []byte) (err error) {
		for _, c := range list {
			err = errors.Join(err, c(p))
		}
		return err
	}
}

func isByte(i int, want byte) condition {
	return func(p []byte) error {
		var got byte
		if _, faulted := faultIn(func() { got = p[i] }); faulted || got != want {
			return fmt.Errorf("byte %d: faulted %v, %d, want %d", i, faulted, got, want)
		}
		return nil
	}
}

func faultsAt(i int) condition {
	return func(p []byte) error {
		if mayLoad(addrOf(p) + uintptr(i)) {
			return fmt.Errorf("byte %d can be read", i)
		}
		return nil
	}
}

// TestBytesStoredAfterTheEndAreNoContentsWhenTheFileGrows: older kernels could
// show them, which fsx calls stale data.
func TestBytesStoredAfterTheEndAreNoContentsWhenTheFileGrows(t *testing.T) {
	needLinux(t)
	half := page / 2
	f := fileIn(t, testenv.DiskDir(t), half)
	addr := mapped(t, page, rw, raw.MAP_SHARED, f, 0)
	store(addr + uintptr(half))
	must(t, f.Truncate(int64(page)))
	testenv.Need(t, testenv.Feature{Name: "zeroing at growth", Since: "6.18", Probe: func() error {
		if got := contents(t, f, 0, page)[half:]; !bytes.Equal(got, make([]byte, page-half)) {
			return fmt.Errorf("the file grew over a store after its end, and shows %#x", got[0])
		}
		return nil
	}})
}

// stackGap is the default of stack_guard_gap= (Documentation/admin-guide/
// kernel-parameters.txt), in pages: a mapping that grows down keeps so far
// from the one below it.
const stackGap = 256

var growsDown = child("grows down", func(t *testing.T) {
	noCollection(t)
	const room, top = 2 * stackGap, 4 // pages
	base, err := raw.Mmap(0, pages(room+top), raw.PROT_NONE, noAccess, -1, 0)
	must(t, err)
	stack := plus(base, room)
	must(t, raw.Mprotect(base, page, raw.PROT_READ)) // no gap is kept from PROT_NONE
	must(t, raw.Munmap(plus(base, 1), pages(room+top-1)))
	_, err = raw.Mmap(stack, pages(top), rw, anon|raw.MAP_FIXED|raw.MAP_GROWSDOWN, -1, 0)
	must(t, err)
	if !mayStore(stack - 1) {
		t.Error("a store just below the mapping does not make it grow")
	}
	if got := areaAt(t, stack).start; got != plus(stack, -1) {
		t.Errorf("the mapping starts at %#x, want a page below %#x", got, stack)
	}
	if mayStore(plus(base, stackGap/2)) {
		t.Error("the mapping grew into the guard gap above its neighbour")
	}
})

func TestGrowsDownMappingGrowsAndStopsAtTheGuardGap(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.Feature{Name: "the default stack_guard_gap", Probe: func() error {
		b, err := os.ReadFile("/proc/cmdline")
		if err == nil && strings.Contains(string(b), "stack_guard_gap=") {
			err = errors.New("the kernel's command line sets it")
		}
		return err
	}})
	run(t, testenv.Child{Name: growsDown})
}

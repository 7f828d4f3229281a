package raw_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

// lower lowers a limit of this process, which is a child.
func lower(t *testing.T, limit sys.Resource, to int) {
	t.Helper()
	must(t, sys.Setrlimit(limit, uint64(to), uint64(to)))
}

var addressSpaceLimited = child("address space limited", func(t *testing.T) {
	noCollection(t)
	const spare = 256 << 20
	lower(t, sys.AddressSpace, status(t, "VmSize")<<10+spare)
	addr := mapped(t, spare/4, raw.PROT_NONE, noAccess, nil, 0)
	_, err := raw.Mmap(0, 2*spare, raw.PROT_NONE, noAccess, -1, 0)
	wantErr(t, err, syscall.ENOMEM)
	_, err = raw.Mremap(addr, spare/4, 2*spare, raw.MREMAP_MAYMOVE, 0)
	wantErr(t, err, syscall.ENOMEM)
	got, err := raw.Mmap(addr, page, rw, anon|raw.MAP_FIXED, -1, 0)
	if err != nil || got != addr {
		t.Errorf("replacing a page within the limit answered %#x, %v", got, err)
	}
})

func TestAddressSpaceLimitRefusesMappings(t *testing.T) {
	needLinux(t)
	run(t, testenv.Child{Name: addressSpaceLimited})
}

var dataLimited = child("data limited", func(t *testing.T) {
	noCollection(t)
	const n = 256 << 20
	lower(t, sys.DataSize, status(t, "VmData")<<10+n/2)
	_, err := raw.Mmap(0, n, rw, anon, -1, 0)
	wantErr(t, err, syscall.ENOMEM)
	readable := mapped(t, n, raw.PROT_READ, anon, nil, 0)
	wantErr(t, raw.Mprotect(readable, n, rw), syscall.ENOMEM)
	mapped(t, n, rw, raw.MAP_ANONYMOUS|raw.MAP_SHARED, nil, 0)
})

func TestDataLimitRefusesPrivateWritableMemoryOnly(t *testing.T) {
	needLinux(t)
	run(t, testenv.Child{Name: dataLimited})
}

// mapsExhausted turns every other page of a reservation readable until the
// process may have no more areas. Until the reservation is gone the runtime
// can't get memory either: there is no collection, no profile, and nothing to
// allocate but two small errors.
var mapsExhausted = child("maps exhausted", func(t *testing.T) {
	noCollection(t)
	runtime.MemProfileRate = 0
	n := sysctl(t, "/proc/sys/vm/max_map_count") + 1000
	addr, err := raw.Mmap(0, pages(n), raw.PROT_NONE, noAccess, -1, 0)
	must(t, err)
	for i := 1; err == nil && i < n; i += 2 {
		err = raw.Mprotect(plus(addr, i), page, raw.PROT_READ)
	}
	split := raw.Munmap(plus(addr, n-10), page) // the tail is still one area
	whole := raw.Munmap(plus(addr, 1), page)    // and this page is an area
	must(t, raw.Munmap(addr, pages(n)))
	wantErr(t, err, syscall.ENOMEM)
	wantErr(t, split, syscall.ENOMEM)
	wantErr(t, whole, nil)
})

func TestMunmapThatSplitsFailsAtTheMapCountLimit(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.Feature{Name: "a vm.max_map_count of at most 131072, so that it is soon reached", Probe: func() error {
		if n := sysctl(t, "/proc/sys/vm/max_map_count"); n > 1<<17 {
			return fmt.Errorf("it is %d", n)
		}
		return nil
	}})
	run(t, testenv.Child{Name: mapsExhausted})
}

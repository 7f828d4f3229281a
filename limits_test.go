package mmap_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// limitOf says which limit an error names, and whether it says the rest too.
func limitOf(err error) string {
	var limit *mmap.LimitError
	if !errors.As(err, &limit) {
		return fmt.Sprint("no limit: ", err)
	}
	if limit.Fix == "" || limit.Unit == "" || limit.Max == 0 || limit.Have+limit.Want <= limit.Max && limit.Unit == "bytes" ||
		!errors.Is(err, sys.ENOMEM) || !strings.Contains(err.Error(), strconv.FormatUint(limit.Max, 10)) {
		return fmt.Sprintf("not said in full: %+v", *limit)
	}
	return limit.Limit
}

var _ = testenv.Register("mapcount", func() {
	roomForTheRuntime()
	m, err := mmap.Anonymous(3*pageSize, mmap.Options{})
	if err != nil {
		panic(err)
	}
	const span = 1 << 30 // more pages than any usual limit counts areas
	addr, err := sys.Mmap(0, span, sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_NORESERVE, -1, 0)
	if err != nil {
		panic(err)
	}
	// Every second page readable: each is an area, and so is each gap.
	splits := uintptr(0)
	for sys.Mprotect(addr+2*splits*uintptr(pageSize), uintptr(pageSize), sys.PROT_READ) == nil {
		splits++
	}
	// A page in the middle needs two areas more. One may be left: a new mapping
	// of the runtime's, which dies when it is refused memory, can still be had.
	err = m.Protect(int64(pageSize), 1, mmap.ProtRead)
	if err := sys.Munmap(addr, span); err != nil {
		panic(err)
	}
	fmt.Println(limitOf(err), splits > 1000)
	m.Close()
})

// roomForTheRuntime leaves the Go heap with free memory, and free descriptions
// of it, so that little has to be mapped from here on; and idle threads, since one
// that is made for a call that lasts long would need a stack.
func roomForTheRuntime() {
	room := make([][]byte, 4096)
	for i := range room {
		room[i] = make([]byte, 8<<10)
	}
	clear(room)
	var all, ended sync.WaitGroup
	all.Add(8)
	for range 8 {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		})
	}
	ended.Wait()
	runtime.GC()
	debug.SetGCPercent(-1)
}

var _ = testenv.Register("resource", func() {
	resource, field := sys.AddressSpace, "VmSize"
	if os.Getenv("RESOURCE") == "data" {
		resource, field = sys.DataSize, "VmData"
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), field+":")
	used, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		panic(err)
	}
	limit := used<<10 + 256<<20
	if err := sys.Setrlimit(resource, limit, limit); err != nil {
		panic(err)
	}
	_, err = mmap.Anonymous(512<<20, mmap.Options{})
	fmt.Println("map:", limitOf(err))
	m, err := mmap.Anonymous(1<<20, mmap.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println("resize:", limitOf(m.Resize(512<<20)), m.Len())
	m.Close()
})

// full is a child whose addresses are all taken, but for half a mebibyte and what
// the quarantine holds.
var _ = testenv.Register("full", func() {
	roomForTheRuntime()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmSize:")
	used, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		panic(err)
	}
	const held = 1792 << 10 // it may hold no more than 2 MiB where addresses have 32 bits
	limit := used<<10 + 256<<20
	if err := sys.Setrlimit(sys.AddressSpace, limit, limit); err != nil {
		panic(err)
	}
	closed := make([]*mmap.Mapping, 2)
	for i := range closed {
		if closed[i], err = mmap.Anonymous(held, mmap.Options{}); err != nil {
			panic(err)
		}
		closed[i].Bytes()
	}
	small, err := mmap.Anonymous(64<<10, mmap.Options{})
	if err != nil {
		panic(err)
	}
	empty, err := mmap.Anonymous(0, mmap.Options{})
	if err != nil {
		panic(err)
	}
	for i, m := range []*mmap.Mapping{small, empty} {
		closed[i].Close()
		last := uintptr(0)
		for _, piece := range []uintptr{32 << 20, 512 << 10} {
			for {
				addr, err := sys.Mmap(0, piece, sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
				if err != nil {
					break
				}
				last = addr
			}
		}
		sys.Munmap(last, 512<<10)
		fmt.Println(m.Resize(3*held/4), m.Len())
	}
})

// What the quarantine holds is given back before growth is refused.
func TestGrowthTakesTheQuarantinesRoom(t *testing.T) {
	testenv.Need(t, proc)
	r := testenv.Child{Name: "full"}.Run(t)
	if strings.Contains(r.Stderr, "ThreadSanitizer") {
		testenv.Skip(t, "needs a build without the race detector, which dies when a limit refuses it memory: "+r.Stderr)
	}
	if want := "<nil> 1376256\n<nil> 1376256\n"; r.Stdout != want {
		t.Errorf("the child said %q, want %q\n%s", r.Stdout, want, r.Stderr)
	}
}

var _ = testenv.Register("filesize", func() {
	const limit = 1 << 20
	if err := sys.Setrlimit(sys.FileSize, limit, limit); err != nil {
		panic(err)
	}
	name := os.Getenv("NAME")
	_, err := mmap.Create(name, 2*limit, 0o600)
	_, statErr := os.Stat(name)
	fmt.Println(errors.Is(err, sys.EFBIG), strings.Contains(err.Error(), "RLIMIT_FSIZE"), os.IsNotExist(statErr))
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	_, err = mmap.Map(f, mmap.Options{Access: mmap.ReadWrite, Length: 2 * limit})
	st, statErr := sys.Fstat(int(f.Fd()))
	fmt.Println(errors.Is(err, sys.EFBIG), strings.Contains(err.Error(), "RLIMIT_FSIZE"), st.Size, st.Blocks, statErr)
})

func TestNoMemoryNamesTheLimit(t *testing.T) {
	testenv.Need(t, proc)
	for _, row := range []struct {
		what, child, env, want string
	}{
		{"the number of mappings", "mapcount", "", "vm.max_map_count true\n"},
		{"address space", "resource", "RESOURCE=as", "map: RLIMIT_AS\nresize: RLIMIT_AS 1048576\n"},
		{"data", "resource", "RESOURCE=data", "map: RLIMIT_DATA\nresize: RLIMIT_DATA 1048576\n"},
		{"a file's size", "filesize", "NAME=" + testenv.DiskDir(t) + "/new", "true true true\ntrue true 0 0 <nil>\n"},
	} {
		t.Run(row.what, func(t *testing.T) {
			r := testenv.Child{Name: row.child, Env: []string{row.env}}.Run(t)
			if strings.Contains(r.Stderr, "ThreadSanitizer") {
				testenv.Skip(t, "needs a build without the race detector, which dies when a limit refuses it memory: "+r.Stderr)
			}
			if r.Stdout != row.want {
				t.Errorf("the child said %q, want %q\n%s", r.Stdout, row.want, r.Stderr)
			}
		})
	}
}

func TestOvercommitIsNamed(t *testing.T) {
	mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	testenv.Need(t, testenv.Feature{Name: "vm.overcommit_memory other than 1", Probe: func() error {
		if err == nil && strings.TrimSpace(string(mode)) == "1" {
			err = errors.New("it is 1: nothing is refused")
		}
		return err
	}})
	const huge = math.MaxInt / (1 << 18) // 32 TiB
	if huge < 1<<40 {
		testenv.Skip(t, "a 32-bit process has fewer addresses than the machine has memory")
	}
	_, err = mmap.Anonymous(huge, mmap.Options{})
	if got := limitOf(err); !strings.HasPrefix(got, "vm.overcommit_memory=") {
		t.Errorf("%s", got)
	}
	if strings.TrimSpace(string(mode)) == "0" {
		hold(t)(mmap.Anonymous(huge, mmap.Options{NoReserve: true})).Close() // as the error advises
	}
	hold(t)(mmap.Anonymous(huge, mmap.Options{Access: mmap.NoAccess})).Close()
}

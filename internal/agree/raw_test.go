package agree

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	memory "github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
	"pgregory.net/rapid"
)

// A goProcess is the kernel once more, as a Go program meets it: through
// package raw, with loads and stores of Go code. It has one process, itself,
// which no program may fork, end or lock whole. Of a fault Go tells the address
// alone.
type goProcess struct {
	files   []*os.File
	inodes  map[inode]int
	windows [bases]uint64
	outside map[uint64]uint64 // areas that the kernel put elsewhere: start and length
	pagemap *os.File
	buf     []byte
}

// The windows of a Go process: far below where the kernel puts what may be
// anywhere, and far above the program and its heap.
const (
	goLow  = 0x7d0000000000
	goHigh = 0x7d0010000000
)

// rawPrograms runs as nobody, who has no capability, under a lowered limit.
const rawPrograms = "programs through package raw"

var _ = testenv.Register(rawPrograms, func() {
	os.Args = []string{rawPrograms, "-test.v", "-rapid.nofailfile"}
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "Child", F: func(t *testing.T) {
		g := newGoProcess(t)
		rapid.Check(t, func(t *rapid.T) {
			content := starts()
			g.reset(content)
			p := &pair{lead: g, follow: newEngine(g.windows, content), alive: []int{0}, told: newCensus(), inGo: true}
			p.random(t)
		})
	}}}, nil, nil)
})

func TestProgramsThroughRawAgree(t *testing.T) {
	testenv.Need(t, testenv.Nobody, testenv.FixedNoReplace)
	newKernel(t) // is the kernel the one, and are its processes amd64's
	r := testenv.Child{Name: rawPrograms, Nobody: true, Env: []string{"GORACE=atexit_sleep_ms=0"},
		Limits: map[sys.Resource]uint64{sys.LockedMemory: hardMemlock}}.Run(t)
	if r.Code != 0 || !strings.Contains(r.Stdout, "--- PASS: Child") {
		t.Errorf("exit code %d, signal %v\n%s%s", r.Code, r.Signal, r.Stdout, r.Stderr)
	}
}

func newGoProcess(t *testing.T) *goProcess {
	g := &goProcess{files: objectFiles(t), inodes: map[inode]int{}, outside: map[uint64]uint64{}}
	g.windows = [bases]uint64{low: goLow, high: goHigh, scratch: goHigh + 1<<20}
	var err error
	if g.pagemap, err = os.Open("/proc/self/pagemap"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.pagemap.Close() })
	for object := range objects {
		s := step{call: "mmap", addr: place{low, 0}, size: page, prot: protRead, flags: mapShared | mapFixed, file: fileOf(object, readWrite)}
		if r := g.do(0, s); r.errno != 0 {
			t.Fatal(r.text(s, g))
		}
		for _, a := range g.listed() {
			g.inodes[inode{a.device, a.inode}] = object
		}
		g.do(0, step{call: "munmap", addr: place{low, 0}, size: page})
	}
	return g
}

// reset unmaps what the last program left.
func (g *goProcess) reset(content [objects][]byte) {
	for _, base := range []int{low, high} {
		g.do(0, step{call: "munmap", addr: place{base, 0}, size: 2 * windowPages * page})
	}
	for start, length := range g.outside {
		g.must(raw.Munmap(uintptr(start), int(length)))
	}
	clear(g.outside)
	for object := range objects {
		f := g.files[fileOf(object, readWrite)]
		g.must(f.Truncate(0))
		_, err := f.WriteAt(content[object], 0)
		g.must(err)
	}
}

func (g *goProcess) must(err error) {
	if err != nil {
		panic(err)
	}
}

func (g *goProcess) resolve(p place) uint64 { return g.windows[p.base] + p.off }

// inGo tells whether a Go process may carry the step out: only within the
// windows, or it would be about the Go runtime's own memory.
func (s *step) inGo() bool {
	within := func(p place, n uint64) bool {
		return (p.base == low || p.base == high) && p.off < windowPages*page && n <= windowPages*page
	}
	switch s.call {
	case "fork", "exit", "mlockall", "munlockall", "memlock", "as", "data":
		return false
	case "write", "truncate", "fsync":
		return s.file != badFile // package os is not to close somebody's descriptor
	case "mremap":
		// What dontunmap counts twice as locked stays counted for the next program.
		return within(s.addr, s.size) && within(s.to, s.more) && s.flags&remapDontUnmap == 0
	}
	return within(s.addr, s.size)
}

func (g *goProcess) do(_ int, s step) result {
	addr, n := uintptr(g.resolve(s.addr)), int(s.size)
	fd := -1
	if s.file >= 0 {
		fd = badFile
		if s.file < files {
			fd = int(g.files[s.file].Fd())
		}
	}
	switch s.call {
	case "mmap":
		got, err := raw.Mmap(addr, n, raw.Prot(s.prot), raw.Flag(s.flags), fd, int64(s.off))
		return g.placed(uint64(got), s.size, err)
	case "mremap":
		got, err := raw.Mremap(addr, n, int(s.more), raw.RemapFlag(s.flags), uintptr(g.resolve(s.to)))
		return g.placed(uint64(got), s.more, err)
	case "munmap":
		return answered(0, raw.Munmap(addr, n))
	case "mprotect":
		return answered(0, raw.Mprotect(addr, n, raw.Prot(s.prot)))
	case "msync":
		return answered(0, raw.Msync(addr, n, raw.SyncFlag(s.flags)))
	case "mlock":
		return answered(0, raw.Mlock(addr, n))
	case "mlock2":
		return answered(0, raw.Mlock2(addr, n, raw.LockFlag(s.flags)))
	case "munlock":
		return answered(0, raw.Munlock(addr, n))
	case "madvise":
		return answered(0, raw.Madvise(addr, n, raw.Advice(s.flags)))
	case "mincore":
		vec := make([]byte, pagesOf(s.size))
		r := answered(0, raw.Mincore(addr, n, vec))
		if r.errno == 0 {
			r.bytes = string(vec)
		}
		return r
	case "pread":
		got, err := sys.Pread(fd, memory.Bytes(addr, n), int64(s.off))
		return answered(uint64(max(got, 0)), err)
	case "pwrite":
		got, err := sys.Pwrite(fd, memory.Bytes(addr, n), int64(s.off))
		return answered(uint64(max(got, 0)), err)
	case "write":
		b := make([]byte, n)
		fill(b, s.more)
		got, err := sys.Pwrite(fd, b, int64(s.off))
		return answered(uint64(max(got, 0)), err)
	case "truncate":
		return answered(0, sys.Truncate(fd, int64(s.off)))
	case "fsync":
		return answered(0, sys.Fsync(fd))
	case "load":
		var value uint64
		at, faulted := faultIn(func() { value = loadWord(addr, n) })
		return result{value: value, fault: faultAt(at, faulted)}
	case "store":
		at, faulted := faultIn(func() { storeWord(addr, n, s.more) })
		return result{fault: faultAt(at, faulted)}
	case "peek", "poke":
		return g.copy(addr, s)
	}
	panic("no call " + s.call)
}

// placed remembers an area that went elsewhere.
func (g *goProcess) placed(at, n uint64, err error) result {
	if err == nil && placeOf(at, g).base == absolute {
		g.outside[at] = pagesOf(n) * page
	}
	return answered(at, err)
}

// copy moves the bytes one by one, so that it is known which one faulted.
func (g *goProcess) copy(addr uintptr, s step) result {
	var r result
	b := make([]byte, s.size)
	at, faulted := faultIn(func() {
		for i := range b {
			if s.call == "peek" {
				b[i] = memory.Bytes(addr+uintptr(i), 1)[0]
			} else {
				memory.Bytes(addr+uintptr(i), 1)[0] = byte(s.more)
			}
			r.value++
		}
	})
	if s.call == "peek" {
		r.bytes = string(b[:r.value])
	}
	r.fault = faultAt(at, faulted)
	return r
}

// loadWord and storeWord are one access each. encoding/binary would not do: the
// race detector has it move byte by byte, and half a word then stands in the
// page before the one that faults.
func loadWord(addr uintptr, n int) uint64 {
	switch b := memory.Bytes(addr, n); n {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(*memory.At[uint16](b, 0))
	case 4:
		return uint64(*memory.At[uint32](b, 0))
	default:
		return *memory.At[uint64](b, 0)
	}
}

func storeWord(addr uintptr, n int, v uint64) {
	switch b := memory.Bytes(addr, n); n {
	case 1:
		b[0] = byte(v)
	case 2:
		*memory.At[uint16](b, 0) = uint16(v)
	case 4:
		*memory.At[uint32](b, 0) = uint32(v)
	default:
		*memory.At[uint64](b, 0) = v
	}
}

func TestStoreAcrossFaultLeavesNoHalf(t *testing.T) {
	newKernel(t) // is the machine the one that stores unaligned words
	addr, err := raw.Mmap(0, 2*page, raw.PROT_READ|raw.PROT_WRITE, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Munmap(addr, 2*page)
	if err := raw.Mprotect(addr+page, page, raw.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{2, 4, 8} {
		at, faulted := faultIn(func() { storeWord(addr+page-1, n, ^uint64(0)) })
		if !faulted || at != uint64(addr+page) {
			t.Errorf("%d bytes: fault at %#x, %v; want %#x", n, at, faulted, addr+page)
		}
		if b := memory.Bytes(addr, page)[page-1]; b != 0 {
			t.Errorf("%d bytes: %#x stands before the page that faulted", n, b)
		}
	}
}

// faultIn runs fn and tells the address at which the processor refused an
// access, if it did.
func faultIn(fn func()) (addr uint64, faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch e := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			addr, faulted = uint64(e.Addr()), true
		default:
			panic(e)
		}
	}()
	fn()
	return 0, false
}

func faultAt(addr uint64, faulted bool) fault {
	if !faulted {
		return fault{}
	}
	return fault{unknownSignal, 0, addr}
}

// unknownSignal stands for SIGSEGV and SIGBUS where the Go runtime does not say.
const unknownSignal = -1

func answered(value uint64, err error) result {
	var errno sys.Errno
	if errors.As(err, &errno) {
		return result{errno: int(errno)}
	}
	if err != nil {
		panic(err)
	}
	return result{value: value}
}

// A listedArea is a line of /proc/self/maps within a window.
type listedArea struct {
	area
	device string
	inode  uint64
}

func (g *goProcess) listed() (list []listedArea) {
	number := func(s string, base int) uint64 {
		n, err := strconv.ParseUint(s, base, 64)
		g.must(err)
		return n
	}
	text, err := os.ReadFile("/proc/self/maps")
	g.must(err)
	for line := range strings.Lines(string(text)) {
		word := strings.Fields(line)
		start, end, _ := strings.Cut(word[0], "-")
		a := listedArea{device: word[3], inode: number(word[4], 10)}
		a.start, a.end, a.perms, a.offset = number(start, 16), number(end, 16), word[1], number(word[2], 16)
		if placeOf(a.start, g).base == absolute {
			continue
		}
		a.object = anonymous
		if object, ok := g.inodes[inode{a.device, a.inode}]; ok {
			a.object = object
		} else if a.inode != 0 {
			a.object = sharedAnonymous
		}
		list = append(list, a)
	}
	return list
}

func (g *goProcess) areas(int) (list []area) {
	for _, a := range g.listed() {
		list = append(list, a.area)
	}
	return list
}

func (g *goProcess) locked(int) int {
	text, err := os.ReadFile("/proc/self/status")
	g.must(err)
	_, rest, _ := strings.Cut(string(text), "\nVmLck:")
	kB, err := strconv.Atoi(strings.Fields(rest)[0])
	g.must(err)
	return kB * 1024 / page
}

func (g *goProcess) pages(dst []pageState, _ int, addr uint64, n int) []pageState {
	g.buf = sized(g.buf, 8*n)
	_, err := g.pagemap.ReadAt(g.buf[:8*n], int64(addr/page*8))
	g.must(err)
	for i := range n {
		switch e := binary.LittleEndian.Uint64(g.buf[8*i:]); {
		case e>>62 == 0:
			dst = append(dst, absent)
		case e>>61&1 == 0:
			dst = append(dst, owned)
		default:
			dst = append(dst, shared)
		}
	}
	return dst
}

func (g *goProcess) content(object int) []byte {
	const most = 256 << 10
	g.buf = sized(g.buf, most)
	n, err := sys.Pread(int(g.files[fileOf(object, readWrite)].Fd()), g.buf[:most], 0)
	g.must(err)
	return g.buf[:n]
}

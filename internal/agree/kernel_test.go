package agree

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/tracee"
)

// A kernel is the machine that the tests run on. Its processes are forked from
// one that stays as it was started, so that a program costs no exec.
type kernel struct {
	rig       *tracee.Rig
	files     [objects]*os.File // open for reading and writing
	inodes    map[inode]int
	windows   [bases]uint64
	processes []*tracee.Process // of this program; an ended one is nil
	buf       []byte
	ptes      []tracee.PTE
}

// An inode identifies a file in /proc/PID/maps.
type inode struct {
	device string
	number uint64
}

// The limits of the processes, linux/resource.h.
const (
	rlimitData    = 2
	rlimitMemlock = 8
	rlimitAS      = 9

	unlimited   = ^uint64(0)
	hardMemlock = 64 << 10 // as low as any system has it
)

// lowWindow is where no process has anything of its own.
const lowWindow = 0x10000000

// lowest is the lowest address that may be mapped, vm.mmap_min_addr.
var lowest = sync.OnceValue(func() uint64 {
	b, err := os.ReadFile("/proc/sys/vm/mmap_min_addr")
	if err != nil {
		return 64 << 10
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 64 << 10
	}
	return max(n, page)
})

// newKernel starts the rig, and ties the test's goroutine to its thread.
func newKernel(t testing.TB) *kernel {
	t.Helper()
	k := &kernel{inodes: map[inode]int{}}
	open := objectFiles(t)
	for object := range objects {
		k.files[object] = open[fileOf(object, readWrite)]
	}
	testenv.Need(t, testenv.Feature{Name: "no hard limit of the address space and of data", Probe: limitless})
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	rig, err := tracee.Start(t.TempDir(), open...)
	testenv.Need(t, testenv.Feature{Name: "ptrace, and processes of amd64", Probe: func() error { return err }})
	t.Cleanup(rig.Close)
	k.rig = rig
	k.windows = [bases]uint64{low: lowWindow, scratch: tracee.Scratch}
	root := rig.Root
	for _, set := range []struct {
		what string
		err  error
	}{
		{"drop capabilities", root.DropCapabilities()},
		{"lower RLIMIT_MEMLOCK", root.Limit(rlimitMemlock, hardMemlock, hardMemlock)},
	} {
		if set.err != nil {
			t.Fatalf("%s: %v", set.what, set.err)
		}
	}
	testenv.Need(t, testenv.Feature{Name: "mremap of several areas, and the rest of what the engine learned from", Since: "6.18", Probe: k.movesSeveral})
	k.findHigh(t)
	k.findInodes(t)
	return k
}

// movesSeveral answers why the kernel is older than the one whose answers the
// engine gives: it does not move two areas at once (new in 6.17).
func (k *kernel) movesSeveral() error {
	root, addr := k.rig.Root, k.windows[low]
	defer root.Syscall(tracee.SysMunmap, addr, 4*page)
	for i, prot := range []uint64{protRead, protRead | protWrite} {
		if _, err := root.Syscall(tracee.SysMmap, addr+uint64(i)*page, page, prot, mapPrivate|mapAnonymous|mapFixed, ^uint64(0), 0); err != nil {
			return err
		}
	}
	_, err := root.Syscall(tracee.SysMremap, addr, 2*page, 2*page, remapMayMove|remapFixed, addr+2*page)
	return err
}

func limitless() error {
	for _, r := range []sys.Resource{sys.AddressSpace, sys.DataSize} {
		if _, hard, err := sys.Getrlimit(r); err != nil || hard != unlimited {
			return fmt.Errorf("limit %d is %#x, %v", r, hard, err)
		}
	}
	return nil
}

// findHigh asks where an area goes that may be anywhere: just there the window
// ends.
func (k *kernel) findHigh(t testing.TB) {
	root := k.rig.Root
	addr, err := root.Syscall(tracee.SysMmap, 0, page, protRead, mapPrivate|mapAnonymous, ^uint64(0), 0)
	if err != nil {
		t.Fatal(err)
	}
	root.Syscall(tracee.SysMunmap, addr, page)
	k.windows[high] = addr + page - windowPages*page
}

// findInodes maps each object once, to see how maps shows it.
func (k *kernel) findInodes(t testing.TB) {
	root := k.rig.Root
	for object := range objects {
		fd := uint64(firstFd + fileOf(object, readWrite))
		if _, err := root.Syscall(tracee.SysMmap, k.windows[low], page, protRead, mapShared|mapFixed, fd, 0); err != nil {
			t.Fatal(err)
		}
		areas, err := root.Areas()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range areas {
			if a.Start == k.windows[low] {
				k.inodes[inode{a.Device, a.Inode}] = object
			}
		}
		root.Syscall(tracee.SysMunmap, k.windows[low], page)
	}
	if len(k.inodes) != objects {
		t.Fatalf("the files can't be told apart: %v", k.inodes)
	}
}

// objectFiles makes the objects and opens each in each mode.
func objectFiles(t testing.TB) []*os.File {
	t.Helper()
	open := make([]*os.File, files)
	for object := range objects {
		var name string
		switch object {
		case disk:
			name = filepath.Join(testenv.DiskDir(t), "disk")
		case tmp:
			name = filepath.Join(testenv.TmpfsDir(t), "tmp")
		case mem:
			fd, err := sys.Memfd("mem", false, 0)
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), "mem")
			defer f.Close()
			name = fmt.Sprint("/proc/self/fd/", fd)
		}
		for mode, flags := range [modes]int{os.O_RDWR | os.O_CREATE, os.O_RDONLY, os.O_WRONLY} {
			f, err := os.OpenFile(name, flags, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			open[fileOf(object, mode)] = f
		}
	}
	return open
}

// reset ends the processes of the last program and starts the first of the
// next, with the objects' contents as given.
func (k *kernel) reset(content [objects][]byte) {
	for i := range k.processes {
		k.end(i)
	}
	k.processes = k.processes[:0]
	for object, f := range k.files {
		k.must(f.Truncate(0))
		_, err := f.WriteAt(content[object], 0)
		k.must(err)
	}
	first, err := k.rig.Root.Fork()
	k.must(err)
	k.processes = append(k.processes, first)
}

// must panics where the machine that is being watched can't be.
func (k *kernel) must(err error) {
	if err != nil {
		panic(err)
	}
}

func (k *kernel) end(proc int) {
	if p := k.processes[proc]; p != nil {
		k.must(p.Exit())
		k.processes[proc] = nil
	}
}

func (k *kernel) resolve(p place) uint64 { return k.windows[p.base] + p.off }

func (k *kernel) do(proc int, s step) result {
	p, addr := k.processes[proc], k.resolve(s.addr)
	fd := ^uint64(0)
	if s.file >= 0 {
		fd = uint64(firstFd + s.file)
	}
	call := func(number uint64, args ...uint64) result {
		value, err := p.Syscall(number, args...)
		return result{value: value, errno: k.errno(err)}
	}
	switch s.call {
	case "mmap":
		return call(tracee.SysMmap, addr, s.size, s.prot, s.flags, fd, s.off)
	case "munmap":
		return call(tracee.SysMunmap, addr, s.size)
	case "mprotect":
		return call(tracee.SysMprotect, addr, s.size, s.prot)
	case "mremap":
		return call(tracee.SysMremap, addr, s.size, s.more, s.flags, k.resolve(s.to))
	case "msync":
		return call(tracee.SysMsync, addr, s.size, s.flags)
	case "mlock":
		return call(tracee.SysMlock, addr, s.size)
	case "mlock2":
		return call(tracee.SysMlock2, addr, s.size, s.flags)
	case "munlock":
		return call(tracee.SysMunlock, addr, s.size)
	case "mlockall":
		return call(tracee.SysMlockall, s.flags)
	case "munlockall":
		return call(tracee.SysMunlockall)
	case "madvise":
		return call(tracee.SysMadvise, addr, s.size, s.flags)
	case "mincore":
		r := call(tracee.SysMincore, addr, s.size, tracee.Scratch)
		if r.errno == 0 {
			r.bytes = string(k.rig.Scratch()[:pagesOf(s.size)])
		}
		return r
	case "pread":
		return call(tracee.SysPread, fd, addr, s.size, s.off)
	case "pwrite":
		return call(tracee.SysPwrite, fd, addr, s.size, s.off)
	case "write":
		fill(k.rig.Scratch()[:s.size], s.more)
		return call(tracee.SysPwrite, fd, tracee.Scratch, s.size, s.off)
	case "truncate":
		return call(tracee.SysFtruncate, fd, s.off)
	case "fsync":
		return call(tracee.SysFsync, fd)
	case "memlock":
		return result{errno: k.errno(p.Limit(rlimitMemlock, s.more, hardMemlock))}
	case "as":
		return result{errno: k.errno(p.Limit(rlimitAS, s.more, unlimited))}
	case "data":
		return result{errno: k.errno(p.Limit(rlimitData, s.more, unlimited))}
	case "fork":
		child, err := p.Fork()
		if err != nil {
			return result{errno: k.errno(err)}
		}
		k.processes = append(k.processes, child)
		return result{value: uint64(len(k.processes) - 1)}
	case "exit":
		k.end(proc)
		return result{}
	case "load":
		value, f := p.Load(addr, int(s.size))
		return result{value: value, fault: k.fault(f)}
	case "store":
		return result{fault: k.fault(p.Store(addr, int(s.size), s.more))}
	case "peek":
		k.buf = sized(k.buf, int(s.size))
		n, f := p.Peek(k.buf[:s.size], addr)
		return result{value: uint64(n), bytes: string(k.buf[:n]), fault: k.fault(f)}
	case "poke":
		k.buf = sized(k.buf, int(s.size))
		fill(k.buf[:s.size], s.more)
		n, f := p.Poke(addr, k.buf[:s.size])
		return result{value: uint64(n), fault: k.fault(f)}
	}
	panic("no call " + s.call)
}

// errno is what a system call was answered.
func (k *kernel) errno(err error) int {
	errno, ok := err.(sys.Errno)
	if !ok {
		k.must(err)
	}
	return int(errno)
}

// fault is what an access was answered.
func (k *kernel) fault(err error) fault {
	f, ok := err.(*tracee.Fault)
	if !ok {
		k.must(err)
		return fault{}
	}
	return fault{int(f.Signal), f.Code, f.Addr}
}

// fill makes every byte v.
func fill(b []byte, v uint64) {
	for i := range b {
		b[i] = byte(v)
	}
}

// pagesOf is how many pages n bytes from a page's start on touch.
func pagesOf(n uint64) uint64 { return (n + page - 1) / page }

// sized is b, or a longer one, with room for n bytes.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		b = make([]byte, n)
	}
	return b[:cap(b)]
}

func (k *kernel) areas(proc int) []area {
	var all []area
	list, err := k.processes[proc].Areas()
	k.must(err)
	for _, a := range list {
		if a.Start == tracee.Code || a.Start == tracee.Scratch || a.Path == "[vsyscall]" {
			continue
		}
		got := area{start: a.Start, end: a.End, perms: a.Perms, offset: a.Offset, object: anonymous}
		if object, ok := k.inodes[inode{a.Device, a.Inode}]; ok {
			got.object = object
		} else if a.Inode != 0 {
			got.object = sharedAnonymous
		}
		all = append(all, got)
	}
	return all
}

func (k *kernel) locked(proc int) int {
	n, err := k.processes[proc].Locked()
	k.must(err)
	return n
}

func (k *kernel) pages(dst []pageState, proc int, addr uint64, n int) []pageState {
	var err error
	k.ptes, err = k.processes[proc].Pages(k.ptes[:0], addr, n)
	k.must(err)
	for _, e := range k.ptes {
		switch {
		case e.Private():
			dst = append(dst, owned)
		case e.Present():
			dst = append(dst, shared)
		default:
			dst = append(dst, absent)
		}
	}
	return dst
}

func (k *kernel) content(object int) []byte {
	const most = 256 << 10 // more than a program makes a file
	k.buf = sized(k.buf, most)
	n, err := sys.Pread(int(k.files[object].Fd()), k.buf[:most], 0)
	k.must(err)
	return k.buf[:n]
}

package agree

import (
	"errors"
	"fmt"

	"github.com/memwright/mmap/internal/tracee"
	"github.com/memwright/mmap/vmem"
)

// An engine is package vmem as a machine. Its processes have the two pages
// that the kernel's have too.
type engine struct {
	m         *vmem.Machine
	windows   [bases]uint64
	objects   [objects]*vmem.Object
	files     [files]*vmem.File
	scratch   *vmem.Object
	processes []*vmem.Process
	chosen    uint64 // where the next area goes that may be anywhere; 0: as the engine likes
	buf       []byte
}

// newEngine is an engine at the start of a program, with windows where the
// other machine has them.
func newEngine(windows [bases]uint64, content [objects][]byte) *engine {
	e := &engine{windows: windows}
	e.m = vmem.New(vmem.Config{Low: vmem.Addr(lowest()), Base: vmem.Addr(windows[high] + windowPages*page)})
	e.m.Choose.Place = func(*vmem.Process, uint64) (vmem.Addr, bool) {
		return vmem.Addr(e.chosen), e.chosen != 0
	}
	for object := range objects {
		o := e.m.Memory(objectNames[object])
		if object == disk {
			o = e.open(objectNames[object], nil)
			o.SetMaxSize(mostOnDisk)
		}
		e.objects[object] = o
		for mode, how := range [modes]vmem.Mode{vmem.ReadWrite, vmem.ReadOnly, vmem.WriteOnly} {
			f, err := o.Open(how)
			e.must(err)
			e.files[fileOf(object, mode)] = f
		}
		_, err := e.files[fileOf(object, readWrite)].WriteAt(content[object], 0)
		e.must(err)
	}
	first := e.m.Spawn()
	first.Limits.MemLock = hardMemlock
	e.processes = []*vmem.Process{first}

	exe := e.open("tracee", make([]byte, page))
	program, err := exe.Open(vmem.ReadOnly)
	e.must(err)
	_, err = first.Mmap(tracee.Code, page, vmem.ProtRead|vmem.ProtExec, vmem.MapPrivate|vmem.MapFixed, program, 0)
	e.must(err)
	e.scratch = e.m.Memory("scratch")
	both, err := e.scratch.Open(vmem.ReadWrite)
	e.must(err)
	e.must(both.Truncate(page))
	_, err = first.Mmap(tracee.Scratch, page, vmem.ProtRead|vmem.ProtWrite, vmem.MapShared|vmem.MapFixed, both, 0)
	e.must(err)
	return e
}

func (e *engine) open(name string, content []byte) *vmem.Object {
	o, err := e.m.Open(name, vmem.NewBytes(content))
	e.must(err)
	return o
}

// mostOnDisk is the largest file of ext4 with blocks of 4 KiB.
const mostOnDisk = 1<<44 - page

// must panics where the program can't begin.
func (e *engine) must(err error) {
	if err != nil {
		panic(err)
	}
}

func (e *engine) resolve(p place) uint64 { return e.windows[p.base] + p.off }

func (e *engine) do(proc int, s step) result {
	p, addr := e.processes[proc], vmem.Addr(e.resolve(s.addr))
	var f *vmem.File
	if s.file >= 0 && s.file < files {
		f = e.files[s.file]
	}
	off := int64(s.off)
	switch s.call {
	case "mmap":
		got, err := p.Mmap(addr, s.size, vmem.Prot(s.prot), vmem.MapFlags(s.flags), f, off)
		return told(uint64(got), err)
	case "munmap":
		return told(0, p.Munmap(addr, s.size))
	case "mprotect":
		return told(0, p.Mprotect(addr, s.size, vmem.Prot(s.prot)))
	case "mremap":
		got, err := p.Mremap(addr, s.size, s.more, vmem.RemapFlags(s.flags), vmem.Addr(e.resolve(s.to)))
		return told(uint64(got), err)
	case "msync":
		return told(0, p.Msync(addr, s.size, vmem.SyncFlags(s.flags)))
	case "mlock":
		return told(0, p.Mlock(addr, s.size))
	case "mlock2":
		return told(0, p.Mlock2(addr, s.size, vmem.LockFlags(s.flags)))
	case "munlock":
		return told(0, p.Munlock(addr, s.size))
	case "mlockall":
		return told(0, p.Mlockall(vmem.LockAllFlags(s.flags)))
	case "munlockall":
		return told(0, p.Munlockall())
	case "madvise":
		return told(0, p.Madvise(addr, s.size, vmem.Advice(s.flags)))
	case "mincore":
		vec := make([]byte, min(pagesOf(s.size), windowPages))
		r := told(0, p.Mincore(addr, s.size, vec))
		if r.errno == 0 {
			r.bytes = string(vec)
		}
		return r
	case "pread":
		n, err := p.Read(f, addr, s.size, off)
		return told(uint64(n), err)
	case "pwrite":
		n, err := p.Write(f, addr, s.size, off)
		return told(uint64(n), err)
	case "write":
		e.buf = sized(e.buf, int(s.size))
		fill(e.buf[:s.size], s.more)
		_, err := p.WriteAt(e.buf[:s.size], tracee.Scratch)
		e.must(err)
		n, err := p.Write(f, tracee.Scratch, s.size, off)
		return told(uint64(n), err)
	case "truncate":
		return told(0, f.Truncate(off))
	case "fsync":
		return told(0, f.Sync())
	case "memlock":
		return e.limit(&p.Limits.MemLock, s.more, hardMemlock)
	case "as":
		return e.limit(&p.Limits.AS, s.more, unlimited)
	case "data":
		return e.limit(&p.Limits.Data, s.more, unlimited)
	case "fork":
		e.processes = append(e.processes, p.Fork())
		return result{value: uint64(len(e.processes) - 1)}
	case "exit":
		p.Exit()
		e.processes[proc] = nil
		return result{}
	case "load":
		return load(p, addr, s.size)
	case "store":
		return store(p, addr, s.size, s.more)
	case "peek":
		e.buf = sized(e.buf, int(s.size))
		n, err := p.ReadAt(e.buf[:s.size], int64(addr))
		r := told(uint64(n), err)
		r.bytes = string(e.buf[:n])
		return r
	case "poke":
		e.buf = sized(e.buf, int(s.size))
		fill(e.buf[:s.size], s.more)
		n, err := p.WriteAt(e.buf[:s.size], int64(addr))
		return told(uint64(n), err)
	}
	panic("no call " + s.call)
}

// limit is setrlimit with a hard limit that stays: a soft one above it is
// EINVAL.
func (e *engine) limit(soft *uint64, to, hard uint64) result {
	if to > hard {
		return result{errno: einval}
	}
	*soft = to
	return result{}
}

func load(p *vmem.Process, addr vmem.Addr, width uint64) result {
	switch width {
	case 1:
		return loaded[uint8](p, addr)
	case 2:
		return loaded[uint16](p, addr)
	case 4:
		return loaded[uint32](p, addr)
	}
	return loaded[uint64](p, addr)
}

func loaded[T vmem.Word](p *vmem.Process, addr vmem.Addr) result {
	v, err := vmem.LoadAt[T](p, addr)
	return told(uint64(v), err)
}

func store(p *vmem.Process, addr vmem.Addr, width, value uint64) result {
	switch width {
	case 1:
		return told(0, vmem.StoreAt(p, addr, uint8(value)))
	case 2:
		return told(0, vmem.StoreAt(p, addr, uint16(value)))
	case 4:
		return told(0, vmem.StoreAt(p, addr, uint32(value)))
	}
	return told(0, vmem.StoreAt(p, addr, value))
}

// told turns an answer of the engine into a result.
func told(value uint64, err error) result {
	var errno vmem.Errno
	var f *vmem.Fault
	switch {
	case err == nil:
		return result{value: value}
	case errors.As(err, &f):
		return result{value: value, fault: fault{int(f.Signal), int(f.Code), uint64(f.Addr)}}
	case errors.As(err, &errno):
		return result{errno: int(errno)}
	}
	panic(fmt.Sprint("the engine answered ", err)) // ErrChoice: the kernel did what no kernel may
}

func (e *engine) areas(proc int) []area {
	var all []area
	for a := range e.processes[proc].Areas() {
		if a.Start == tracee.Code || a.Start == tracee.Scratch {
			continue
		}
		got := area{start: uint64(a.Start), end: uint64(a.End), perms: perms(a), offset: uint64(a.Offset), object: anonymous}
		if a.Object != nil {
			got.object = sharedAnonymous
			for i, o := range e.objects {
				if a.Object == o {
					got.object = i
				}
			}
		}
		all = append(all, got)
	}
	return all
}

func perms(a vmem.Area) string {
	s := []byte("---p")
	for i := range 3 {
		if a.Prot>>i&1 == 1 {
			s[i] = "rwx"[i]
		}
	}
	if a.Shared {
		s[3] = 's'
	}
	return string(s)
}

// dropFree takes a page of private memory that was given back by MADV_FREE.
func (e *engine) dropFree(proc int, addr uint64) bool {
	return e.processes[proc].DropFree(vmem.Addr(addr)) == nil
}

func (e *engine) locked(proc int) int { return int(e.processes[proc].Locked() / page) }

func (e *engine) pages(dst []pageState, proc int, addr uint64, n int) []pageState {
	first := len(dst)
	for range n {
		dst = append(dst, absent)
	}
	for at, entry := range e.processes[proc].Entries(vmem.Addr(addr), vmem.Addr(addr)+vmem.Addr(n*page)) {
		state := shared
		if entry.Bits&vmem.Private != 0 {
			state = owned
		}
		dst[first+int(uint64(at)-addr)/page] = state
	}
	return dst
}

func (e *engine) content(object int) []byte {
	e.buf = sized(e.buf, int(e.objects[object].Size()))
	n, _ := e.files[fileOf(object, readWrite)].ReadAt(e.buf[:e.objects[object].Size()], 0)
	return e.buf[:n]
}

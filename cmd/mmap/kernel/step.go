package kernel

import (
	"errors"
	"syscall"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/internal/tracee"
	"github.com/memwright/mmap/vmem"
)

// ErrElsewhere is told of a step at addresses where the two can't be compared:
// where the kernel's processes keep a page of their own, where this system lets
// nobody map, or where no addresses are.
var ErrElsewhere = errors.New("the addresses are not the script's")

// end is where the addresses of a process end, on amd64 with four levels.
const end = 1<<47 - vmem.PageSize

// firstMapped is the lowest address that the engine maps.
const firstMapped = 64 << 10

const noFile = ^uint64(0) // -1

// Do does what the engine has done, and tells what it came to. What the engine
// chose is in the moment.
func (m *Machine) Do(s *script.Moment) (script.Outcome, error) {
	return on(m, func() (script.Outcome, error) {
		switch s.Call {
		case "fork":
			parent, err := m.process(s.Args[0].Name)
			if err != nil {
				return script.Outcome{}, err
			}
			_, err = m.fork(parent, s.Result)
			return outcome(script.Outcome{Kind: script.Done}, err)
		case "exit":
			p, err := m.process(s.Args[0].Name)
			if err != nil {
				return script.Outcome{}, err
			}
			delete(m.processes, s.Args[0].Name)
			return script.Outcome{Kind: script.Done}, p.Exit()
		case "writeback":
			return m.writeBack(s.Args[0].Name)
		case "evict":
			return m.evict(s.Args[0].Name, evicted(s, m.FileOf(s.Args[0].Name)))
		}
		p, err := m.process(s.Process)
		if err != nil {
			return script.Outcome{}, err
		}
		switch s.Call {
		case "load", "store":
			return m.access(p, s)
		case "open", "close", "fsync", "truncate", "pread", "pwrite":
			return m.fileCall(p, s)
		}
		return m.memoryCall(p, s)
	})
}

// outcome turns a refusal of the kernel into one; other errors stay.
func outcome(o script.Outcome, err error) (script.Outcome, error) {
	switch err := err.(type) {
	case nil:
		return o, nil
	case syscall.Errno:
		return script.Outcome{Kind: script.Refused, Errno: vmem.Errno(err)}, nil
	case *tracee.Fault:
		return script.Outcome{Kind: script.Faulted, Signal: vmem.Signal(err.Signal), Code: vmem.Code(err.Code), Addr: vmem.Addr(err.Addr)}, nil
	}
	return o, err
}

// access loads or stores, byte by byte.
func (m *Machine) access(p *process, s *script.Moment) (script.Outcome, error) {
	n := max(s.Args[1].Num, int64(len(s.Args[1].Text)))
	err := elsewhere(s.At, uint64(n))
	o := script.Outcome{Kind: script.Done}
	if err != nil || uint64(s.At) > end-uint64(n) {
		return o, ErrElsewhere
	}
	if s.Call == "load" {
		o = script.Outcome{Kind: script.Loaded, Bytes: make([]byte, s.Args[1].Num)}
		_, err = p.Peek(o.Bytes, uint64(s.At))
	} else {
		_, err = p.Poke(uint64(s.At), []byte(s.Args[1].Text))
	}
	return outcome(o, err)
}

// ownPages are where a process has something that is not the script's.
var ownPages = []uint64{tracee.Code, tracee.Scratch}

// elsewhere tells whether a range touches what is not the script's.
func elsewhere(at vmem.Addr, n uint64) error {
	first, behind := uint64(at)&^(vmem.PageSize-1), uint64(at)+n
	if behind < first {
		behind = ^uint64(0)
	}
	for _, page := range ownPages {
		if n > 0 && first <= page && behind > page {
			return ErrElsewhere
		}
	}
	return nil
}

// tooLow tells whether an address may be mapped here and not in the engine, or
// the other way round.
func (m *Machine) tooLow(at vmem.Addr) bool {
	return m.lowest != firstMapped && uint64(at) < max(m.lowest, firstMapped)
}

// memoryCall does a call about a process's memory.
func (m *Machine) memoryCall(p *process, s *script.Moment) (script.Outcome, error) {
	num := func(i int) uint64 { return uint64(s.Args[i].Num) }
	at := uint64(s.At)
	call := func(number uint64, args ...uint64) (script.Outcome, error) {
		_, err := p.Syscall(number, args...)
		return outcome(script.Outcome{Kind: script.Done}, err)
	}
	switch s.Call {
	case "mmap":
		return m.mmap(p, s)
	case "mlockall":
		return m.lockAll(p, s)
	case "munlockall":
		return call(tracee.SysMunlockall)
	}
	if err := elsewhere(s.At, num(1)); err != nil {
		return script.Outcome{}, err
	}
	switch s.Call {
	case "mremap":
		return m.mremap(p, s)
	case "munmap":
		return call(tracee.SysMunmap, at, num(1))
	case "mprotect":
		return call(tracee.SysMprotect, at, num(1), num(2))
	case "msync":
		return call(tracee.SysMsync, at, num(1), num(2))
	case "madvise":
		return call(tracee.SysMadvise, at, num(1), num(2))
	case "mlock":
		return call(tracee.SysMlock, at, num(1))
	case "munlock":
		return call(tracee.SysMunlock, at, num(1))
	case "mlock2":
		return call(tracee.SysMlock2, at, num(1), num(2))
	}
	return m.mincore(p, s)
}

// mmap maps where the engine did.
func (m *Machine) mmap(p *process, s *script.Moment) (script.Outcome, error) {
	at, n, flags := s.At, uint64(s.Args[1].Num), vmem.MapFlags(s.Args[3].Num)
	if flags&(vmem.MapFixed|vmem.MapFixedNoReplace) != 0 {
		if elsewhere(at, n) != nil || m.tooLow(at) {
			return script.Outcome{}, ErrElsewhere
		}
	} else if s.Outcome.Kind == script.Address {
		at, flags = s.Outcome.Addr, flags|vmem.MapFixedNoReplace
		if err := elsewhere(at, n); err != nil {
			return script.Outcome{}, err
		}
	}
	fd, err := m.descriptor(p, s.Args[4].Name)
	if err != nil {
		return script.Outcome{}, err
	}
	got, err := p.Syscall(tracee.SysMmap, uint64(at), n, uint64(s.Args[2].Num), uint64(flags), fd, uint64(s.Args[5].Num))
	return outcome(script.Outcome{Kind: script.Address, Addr: vmem.Addr(got)}, err)
}

// mremap moves to where the engine did.
func (m *Machine) mremap(p *process, s *script.Moment) (script.Outcome, error) {
	length, flags, to := uint64(s.Args[2].Num), vmem.RemapFlags(s.Args[3].Num), s.To
	if flags&vmem.RemapFixed == 0 && s.Outcome.Kind == script.Address && s.Outcome.Addr != s.At {
		flags, to = flags|vmem.RemapFixed, s.Outcome.Addr
	}
	if flags&vmem.RemapFixed != 0 {
		if elsewhere(to, length) != nil || m.tooLow(to) {
			return script.Outcome{}, ErrElsewhere
		}
	} else if err := elsewhere(s.At, length); err != nil {
		return script.Outcome{}, err
	}
	got, err := p.Syscall(tracee.SysMremap, uint64(s.At), uint64(s.Args[1].Num), length, uint64(flags), uint64(to))
	return outcome(script.Outcome{Kind: script.Address, Addr: vmem.Addr(got)}, err)
}

// errNoRoom is told where the two pages that are not the script's may tip the scales.
var errNoRoom = errors.New("this system's limit of locked memory leaves no room for two pages more")

// lockAll locks all that is the script's: the limit makes room for the two pages
// that are not, and they are unlocked.
func (m *Machine) lockAll(p *process, s *script.Moment) (script.Outcome, error) {
	raised := min(m.MayLock+ours, m.hardLock)
	if err := p.Limit(limitMemLock, raised, m.hardLock); err != nil {
		return script.Outcome{}, err
	}
	_, err := p.Syscall(tracee.SysMlockall, uint64(s.Args[0].Num))
	o, err := outcome(script.Outcome{Kind: script.Done}, err)
	if raised < m.MayLock+ours && o.Errno == vmem.ENOMEM && s.Outcome.Kind == script.Done {
		err = errNoRoom
	}
	for _, page := range ownPages {
		_, unlocked := p.Syscall(tracee.SysMunlock, page, vmem.PageSize)
		err = errors.Join(err, unlocked)
	}
	return o, errors.Join(err, p.Limit(limitMemLock, m.MayLock, m.hardLock))
}

// mincore has the kernel answer into the page that this process sees too, which
// has room for 16 MiB of memory at a time.
func (m *Machine) mincore(p *process, s *script.Moment) (script.Outcome, error) {
	const most = vmem.PageSize * vmem.PageSize
	answer := []byte{}
	for at, left := uint64(s.At), uint64(s.Args[1].Num); ; {
		n := min(left, most)
		if _, err := p.Syscall(tracee.SysMincore, at, n, tracee.Scratch); err != nil {
			return outcome(script.Outcome{}, err)
		}
		answer = append(answer, m.rig.Scratch()[:(n+vmem.PageSize-1)/vmem.PageSize]...)
		at, left = at+n, left-n
		if left == 0 {
			return script.Outcome{Kind: script.Loaded, Bytes: answer}, nil
		}
	}
}

// descriptor is the number of a file in a process, which opens it where it first
// needs it; that of no file where it has been closed.
func (m *Machine) descriptor(p *process, name string) (uint64, error) {
	fd, ok := p.open[name]
	f := m.files[name]
	if ok || name == "" || f.closed {
		if !ok {
			fd = noFile
		}
		return fd, nil
	}
	path := m.rig.Scratch()
	path[copy(path[:len(path)-1], f.path)] = 0
	const closeOnExec, here = 0x80000, ^uint64(99) // O_CLOEXEC, AT_FDCWD
	flags := map[vmem.Mode]uint64{vmem.ReadOnly: 0, vmem.WriteOnly: 1, vmem.ReadWrite: 2}[f.mode]
	fd, err := p.Syscall(tracee.SysOpenat, here, tracee.Scratch, flags|closeOnExec)
	if err == nil {
		p.open[name] = fd
	}
	return fd, err
}

// fileCall does a call about a file.
func (m *Machine) fileCall(p *process, s *script.Moment) (script.Outcome, error) {
	name := s.Args[0].Name
	if s.Call == "open" {
		m.files[s.Result] = file{path: m.files[name].path, mode: vmem.Mode(s.Args[1].Num)}
		_, err := m.descriptor(p, s.Result)
		return outcome(script.Outcome{Kind: script.Done}, err)
	}
	fd, err := m.descriptor(p, name)
	if err != nil {
		return script.Outcome{}, err
	}
	o := script.Outcome{Kind: script.Done}
	switch s.Call {
	case "close":
		_, err = p.Syscall(tracee.SysClose, fd)
		m.forgetFile(p, name)
	case "fsync":
		_, err = p.Syscall(tracee.SysFsync, fd)
	case "truncate":
		_, err = p.Syscall(tracee.SysFtruncate, fd, uint64(s.Args[1].Num))
	default:
		n := uint64(s.Args[2].Num)
		if err := elsewhere(s.At, n); err != nil {
			return o, err
		}
		number := map[string]uint64{"pread": tracee.SysPread, "pwrite": tracee.SysPwrite}[s.Call]
		var moved uint64
		moved, err = p.Syscall(number, fd, uint64(s.At), n, uint64(s.Args[3].Num))
		o = script.Outcome{Kind: script.Number, Value: int64(moved)}
	}
	return outcome(o, err)
}

// forgetFile has every process lose a file that one has closed: the engine's
// files are open in all of them.
func (m *Machine) forgetFile(by *process, name string) {
	f := m.files[name]
	f.closed = true
	m.files[name] = f
	delete(by.open, name)
	for _, p := range append([]*process{&m.root}, values(m.processes)...) {
		if fd, ok := p.open[name]; ok {
			p.Syscall(tracee.SysClose, fd) // and if it can't: nobody uses it any more
			delete(p.open, name)
		}
	}
}

func values(processes map[string]*process) (list []*process) {
	for _, p := range processes {
		list = append(list, p)
	}
	return list
}

// Flags of sync_file_range(2) and posix_fadvise(2).
const (
	writeAndWait   = 7 // SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER
	adviseDontNeed = 4
)

// writeBack has the kernel write the file's dirty pages, and does not tell the
// disk to make them durable: sync_file_range(2).
func (m *Machine) writeBack(name string) (script.Outcome, error) {
	fd, err := m.descriptor(&m.root, name)
	if err != nil {
		return script.Outcome{}, err
	}
	_, err = m.root.Syscall(tracee.SysSyncRange, fd, 0, 0, writeAndWait)
	return outcome(script.Outcome{Kind: script.Done}, err)
}

// forget has the pages of a file that nobody shows leave memory, where they are
// clean and the kernel follows the advice.
func (m *Machine) forget(fd uint64, off, n int64) error {
	_, err := m.root.Syscall(tracee.SysFadvise, fd, uint64(off), uint64(n), adviseDontNeed)
	return err
}

// A run is pages of a file that follow each other, by their bytes.
type run struct{ off, end uint64 }

// evicted is the page that a step evicts, with the neighbours that the engine
// does not have in memory: the kernel keeps pages in groups, and lets go of whole
// ones.
func evicted(s *script.Moment, file string) run {
	first := s.Args[1].Num
	last := first
	for _, f := range s.State.Files {
		absent := func(i int64) bool { return i >= 0 && i < int64(len(f.Pages)) && f.Pages[i].Frame == 0 }
		if f.Name != file {
			continue
		}
		for absent(first - 1) {
			first--
		}
		for absent(last + 1) {
			last++
		}
	}
	return run{uint64(first) * vmem.PageSize, uint64(last+1) * vmem.PageSize}
}

// evict has pages of a file leave memory as far as a program can: they are
// written, every entry that shows one is dropped (MADV_DONTNEED, which loses
// nothing of a file's own page), and the kernel is advised that nobody needs them
// (posix_fadvise(2)). What it makes of that is told by [Machine.Cached].
func (m *Machine) evict(name string, pages run) (script.Outcome, error) {
	o, err := m.writeBack(name)
	if err != nil || o.Kind == script.Refused {
		return o, err
	}
	for _, p := range m.processes {
		areas, err := p.Areas()
		if err != nil {
			return o, err
		}
		for _, a := range areas {
			if a.Path != m.files[name].path {
				continue
			}
			shown := run{max(pages.off, a.Offset), min(pages.end, a.Offset+a.End-a.Start)}
			for off := shown.off; off < shown.end; off += vmem.PageSize {
				if err := m.dropEntry(p, a.Start+off-a.Offset); err != nil {
					return outcome(o, err)
				}
			}
		}
	}
	return outcome(o, m.forget(m.root.open[name], int64(pages.off), int64(pages.end-pages.off)))
}

// dropEntry drops a process's entry of a page that is a file's own.
func (m *Machine) dropEntry(p *process, at uint64) error {
	entry, err := p.Pages(nil, at, 1)
	if err != nil || !entry[0].FileOwned() {
		return err
	}
	_, err = p.Syscall(tracee.SysMadvise, at, vmem.PageSize, uint64(vmem.AdviceDontNeed))
	return err
}

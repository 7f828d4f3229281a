package tracee

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
)

// Requests, options and events of ptrace(2), from linux/ptrace.h.
const (
	ptraceCont        = 7
	ptraceGetRegs     = 12
	ptraceSetRegs     = 13
	ptraceSetOptions  = 0x4200
	ptraceGetEventMsg = 0x4201
	ptraceGetSigInfo  = 0x4202

	optionTraceFork = 1 << 1
	optionExitKill  = 1 << 20
	eventFork       = 1
)

// Registers by their place in struct user_regs_struct of amd64.
const (
	regR10     = 7
	regR9      = 8
	regR8      = 9
	regRax     = 10
	regRcx     = 11
	regRdx     = 12
	regRsi     = 13
	regRdi     = 14
	regOrigRax = 15
	regRip     = 16
	regCount   = 27
)

type registers [regCount * 8]byte

func (r *registers) get(i int) uint64    { return binary.LittleEndian.Uint64(r[8*i:]) }
func (r *registers) set(i int, v uint64) { binary.LittleEndian.PutUint64(r[8*i:], v) }

// A Rig is one executable, started once, and every process that came of it.
type Rig struct {
	Root *Process // the first process

	exe     string
	scratch []byte // the page at Scratch
	live    map[int]*Process
	regs    registers // reused by every step
	info    [128]byte // a siginfo_t
}

// A Process is stopped, except while one of its methods runs.
type Process struct {
	rig     *Rig
	pid     int
	base    registers // of an instruction about to run, before its arguments
	maps    *os.File
	status  *os.File
	pagemap *os.File
	buf     []byte
}

// Start writes the executable to dir and starts it with files as descriptors
// 3, 4 and so on.
func Start(dir string, files ...*os.File) (*Rig, error) {
	attr, err := sys.Traced()
	if err != nil {
		return nil, err
	}
	if runtime.GOARCH != "amd64" {
		return nil, sys.Unsupported("the tracee's instructions")
	}
	rig := &Rig{exe: filepath.Join(dir, "tracee"), live: map[int]*Process{}}
	if err := writeExecutable(rig.exe); err != nil {
		return nil, err
	}
	shared, err := rig.makeScratch()
	if err != nil {
		return nil, err
	}
	defer shared.Close()
	if err := sys.Pin(); err != nil {
		rig.Close()
		return nil, err
	}
	p, err := os.StartProcess(rig.exe, []string{rig.exe}, &os.ProcAttr{
		Env:   []string{},
		Files: append(append([]*os.File{nil, nil, nil}, files...), shared),
		Sys:   attr,
	})
	if err != nil {
		rig.Close()
		return nil, err
	}
	pid := p.Pid
	p.Release() // waited for by number: its handle would be one more descriptor
	rig.Root = rig.adopt(pid)
	if err := rig.Root.prepare(3 + len(files)); err != nil {
		rig.Close()
		return nil, err
	}
	return rig, nil
}

// writeExecutable keeps others from forking meanwhile: a child that holds the
// file open for writing would make it impossible to execute (ETXTBSY).
func writeExecutable(name string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, executable, 0o700)
}

func (r *Rig) makeScratch() (*os.File, error) {
	fd, err := sys.Memfd("tracee", false, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "scratch")
	if err := f.Truncate(PageSize); err != nil {
		f.Close()
		return nil, err
	}
	addr, err := sys.Mmap(0, PageSize, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED, fd, 0)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.scratch = mem.Bytes(addr, PageSize)
	return f, nil
}

// adopt takes in a process whose first stop is still to come.
func (r *Rig) adopt(pid int) *Process {
	p := &Process{rig: r, pid: pid}
	r.live[pid] = p
	return p
}

// prepare brings a new executable to where Start's promises hold.
func (p *Process) prepare(scratchFd int) error {
	status, err := sys.WaitTraced(p.pid)
	if err != nil {
		return err
	}
	if !stoppedBy(status, syscall.SIGTRAP) {
		return fmt.Errorf("the executable did not stop at its start: status %#x", status)
	}
	if err := sys.Ptrace(ptraceSetOptions, p.pid, 0, optionTraceFork|optionExitKill); err != nil {
		return err
	}
	if err := sys.PtraceCopy(ptraceGetRegs, p.pid, p.base[:]); err != nil {
		return err
	}
	p.base.set(regOrigRax, ^uint64(0)) // no system call is to be restarted
	for _, f := range []struct {
		file **os.File
		name string
	}{{&p.maps, "maps"}, {&p.status, "status"}, {&p.pagemap, "pagemap"}} {
		var err error
		if *f.file, err = p.open(f.name); err != nil {
			return err
		}
	}
	for _, a := range p.Areas() {
		if a.Start != Code && a.Path != "[vsyscall]" { // which is no area, and the same everywhere
			if _, errno := p.Syscall(SysMunmap, a.Start, a.End-a.Start); errno != 0 {
				return fmt.Errorf("unmap %s: %w", a.Path, errno)
			}
		}
	}
	if _, errno := p.Syscall(SysMmap, Scratch, PageSize, 3, 0x11, uint64(scratchFd), 0); errno != 0 { // readable and writable; MAP_SHARED, MAP_FIXED
		return fmt.Errorf("map the scratch page: %w", errno)
	}
	p.Syscall(SysClose, uint64(scratchFd))
	return nil
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.pid }

// Exe is the file of which Code is the first page.
func (r *Rig) Exe() string { return r.exe }

// Scratch is the page that every process has at [Scratch].
func (r *Rig) Scratch() []byte { return r.scratch }

// Close kills every process and gives back what Start took. The Rig is of no
// use then.
func (r *Rig) Close() {
	for _, p := range r.live {
		p.Kill()
	}
	sys.Munmap(mem.AddrOf(r.scratch), PageSize)
	r.scratch = nil
}

// Kill ends the process as SIGKILL does.
func (p *Process) Kill() {
	if kill, err := os.FindProcess(p.pid); err == nil {
		kill.Kill()
		kill.Release()
	}
	for {
		status, err := sys.WaitTraced(p.pid)
		if err != nil || ended(status) {
			break
		}
	}
	p.gone()
}

func (p *Process) gone() {
	delete(p.rig.live, p.pid)
	for _, f := range []*os.File{p.maps, p.status, p.pagemap} {
		if f != nil {
			f.Close()
		}
	}
}

func stopped(status uint32) bool                       { return status&0xff == 0x7f }
func stopSignal(status uint32) syscall.Signal          { return syscall.Signal(status >> 8 & 0xff) }
func stoppedBy(status uint32, sig syscall.Signal) bool { return status == uint32(sig)<<8|0x7f }
func ended(status uint32) bool                         { return !stopped(status) && status != 0xffff }

// errGone is how a step ends that ended the process.
var errGone = errors.New("the process has ended")

// run lets the process run from e.start, with what set puts into the registers,
// until it stops behind the instruction or at a fault of it. The registers are
// read back into rig.regs.
func (p *Process) run(e entry, set func(r *registers)) (*Fault, error) {
	r := &p.rig.regs
	*r = p.base
	r.set(regRip, e.start)
	set(r)
	if err := sys.PtraceCopy(ptraceSetRegs, p.pid, r[:]); err != nil {
		return nil, err
	}
	for {
		status, err := p.resume()
		if err != nil {
			return nil, err
		}
		switch {
		case ended(status):
			return nil, errGone
		case status>>16 == eventFork:
			if err := p.adoptChild(); err != nil {
				return nil, err
			}
			continue
		}
		switch stopSignal(status) {
		case syscall.SIGTRAP:
			if err := sys.PtraceCopy(ptraceGetRegs, p.pid, r[:]); err != nil {
				return nil, err
			}
			if r.get(regRip) != e.end {
				return nil, fmt.Errorf("stopped at %#x instead of %#x", r.get(regRip), e.end)
			}
			return nil, nil
		case syscall.SIGSEGV, syscall.SIGBUS:
			if err := sys.PtraceCopy(ptraceGetRegs, p.pid, r[:]); err != nil {
				return nil, err
			}
			return p.fault()
		}
		// Some signal from outside, as of a terminal: dropped.
	}
}

func (p *Process) resume() (status uint32, err error) {
	if err := sys.Ptrace(ptraceCont, p.pid, 0, 0); err != nil {
		return 0, err
	}
	return sys.WaitTraced(p.pid)
}

// adoptChild waits for the first stop of the process that p has just forked.
func (p *Process) adoptChild() error {
	var pid [8]byte
	if err := sys.PtraceCopy(ptraceGetEventMsg, p.pid, pid[:]); err != nil {
		return err
	}
	child := p.rig.adopt(int(binary.LittleEndian.Uint64(pid[:])))
	status, err := sys.WaitTraced(child.pid)
	if err != nil {
		return err
	}
	if !stopped(status) {
		return fmt.Errorf("the child's first status is %#x", status)
	}
	child.base = p.base
	return nil
}

func (p *Process) fault() (*Fault, error) {
	b := p.rig.info[:]
	if err := sys.PtraceCopy(ptraceGetSigInfo, p.pid, b); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	return &Fault{
		Signal: syscall.Signal(le.Uint32(b[0:])),
		Code:   int(int32(le.Uint32(b[8:]))),
		Addr:   le.Uint64(b[16:]),
	}, nil
}

// must panics where the rig itself failed.
func (p *Process) must(what string, err error) {
	if err != nil {
		panic(fmt.Sprintf("tracee: %s in process %d: %v", what, p.pid, err))
	}
}

func (p *Process) open(name string) (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(p.pid) + "/" + name)
}

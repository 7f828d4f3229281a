package tracee

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
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
	scratch []byte    // the page at Scratch
	regs    registers // reused by every step
	info    [128]byte // a siginfo_t

	live struct {
		sync.Mutex
		byPid   map[int]*Process // those not yet waited for to their end
		stopped bool             // none is to live any more
	}
}

// A Process is stopped, except while one of its methods runs.
type Process struct {
	rig     *Rig
	pid     int
	handle  *os.Process // to kill it by: its number may be another's by then
	base    registers   // of an instruction about to run, before its arguments
	maps    *os.File
	status  *os.File
	pagemap *os.File
	buf     []byte
}

// Start writes the executable to dir, which must let programs run, and starts it
// with files as descriptors 3, 4 and so on.
func Start(dir string, files ...*os.File) (*Rig, error) {
	attr, err := sys.Traced()
	if err != nil {
		return nil, err
	}
	if runtime.GOARCH != "amd64" {
		return nil, sys.Unsupported("the tracee's instructions")
	}
	rig := &Rig{exe: filepath.Join(dir, "tracee")}
	rig.live.byPid = map[int]*Process{}
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
		return nil, fmt.Errorf("start a process to trace: %w%s", err, whoRefuses(err))
	}
	rig.Root = rig.adopt(p)
	if err := rig.Root.prepare(3 + len(files)); err != nil {
		rig.Close()
		return nil, fmt.Errorf("trace a process: %w%s", err, whoRefuses(err))
	}
	return rig, nil
}

// whoRefuses names what may have answered so, where it can be found out.
func whoRefuses(err error) string {
	switch {
	case errors.Is(err, sys.EACCES):
		return " (is its directory mounted noexec? TMPDIR names another)"
	case !errors.Is(err, sys.EPERM):
		return ""
	}
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && string(scope) >= "2" {
		return " (kernel.yama.ptrace_scope is " + string(scope[:1]) + ")"
	}
	if status, err := os.ReadFile("/proc/thread-self/status"); err == nil && bytes.Contains(status, []byte("\nSeccomp:\t2")) {
		return " (a seccomp filter, as containers have, may refuse ptrace)"
	}
	return ""
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
func (r *Rig) adopt(handle *os.Process) *Process {
	p := &Process{rig: r, pid: handle.Pid, handle: handle}
	r.live.Lock()
	defer r.live.Unlock()
	r.live.byPid[p.pid] = p
	if r.live.stopped {
		handle.Kill()
	}
	return p
}

// Stop kills every process. It may be called from any goroutine: a method that
// waits for a process answers ErrGone, and so does every later one.
func (r *Rig) Stop() {
	r.live.Lock()
	defer r.live.Unlock()
	r.live.stopped = true
	for _, p := range r.live.byPid {
		p.handle.Kill()
	}
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
	areas, err := p.Areas()
	if err != nil {
		return err
	}
	for _, a := range areas {
		if a.Start != Code && a.Path != "[vsyscall]" { // which is no area, and the same everywhere
			if _, err := p.Syscall(SysMunmap, a.Start, a.End-a.Start); err != nil {
				return fmt.Errorf("unmap %s: %w", a.Path, err)
			}
		}
	}
	if _, err := p.Syscall(SysMmap, Scratch, PageSize, 3, 0x11, uint64(scratchFd), 0); err != nil { // readable and writable; MAP_SHARED, MAP_FIXED
		return fmt.Errorf("map the scratch page: %w", err)
	}
	_, err = p.Syscall(SysClose, uint64(scratchFd))
	return err
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
	r.Stop()
	for _, p := range r.live.byPid { // which nobody else changes
		p.Kill()
	}
	sys.Munmap(mem.AddrOf(r.scratch), PageSize)
	r.scratch = nil
}

// Kill ends the process as SIGKILL does.
func (p *Process) Kill() {
	p.handle.Kill()
	for {
		status, err := sys.WaitTraced(p.pid)
		if err != nil || ended(status) {
			break
		}
	}
	p.gone()
}

// gone forgets a process that was waited for to its end.
func (p *Process) gone() {
	p.rig.live.Lock()
	defer p.rig.live.Unlock()
	delete(p.rig.live.byPid, p.pid)
	p.handle.Release()
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

// ErrGone is how every call ends once the process has.
var ErrGone = errors.New("the process has ended")

// run lets the process run from e.start, with what set puts into the registers,
// until it stops behind the instruction, or at a fault of it: then the error is
// a *Fault. The registers are read back into rig.regs.
func (p *Process) run(e entry, set func(r *registers)) error {
	r := &p.rig.regs
	*r = p.base
	r.set(regRip, e.start)
	set(r)
	if err := p.request(ptraceSetRegs, r[:]); err != nil {
		return err
	}
	for {
		status, err := p.resume()
		if err != nil {
			return err
		}
		if status>>16 == eventFork {
			if err := p.adoptChild(); err != nil {
				return err
			}
			continue
		}
		switch stopSignal(status) {
		case syscall.SIGTRAP:
			if err := p.request(ptraceGetRegs, r[:]); err != nil {
				return err
			}
			if r.get(regRip) != e.end {
				return fmt.Errorf("stopped at %#x instead of %#x", r.get(regRip), e.end)
			}
			return nil
		case syscall.SIGSEGV, syscall.SIGBUS:
			if err := p.request(ptraceGetRegs, r[:]); err != nil {
				return err
			}
			return p.fault()
		}
		// Some signal from outside, as of a terminal: dropped.
	}
}

// resume lets the process run until its next stop.
func (p *Process) resume() (status uint32, err error) {
	if err := sys.Ptrace(ptraceCont, p.pid, 0, 0); err != nil {
		return 0, p.reap(err)
	}
	status, err = sys.WaitTraced(p.pid)
	if err == nil && ended(status) {
		p.gone()
		return 0, ErrGone
	}
	return status, err
}

// request makes a request of ptrace that fills a buffer, or reads one.
func (p *Process) request(request int, b []byte) error {
	if err := sys.PtraceCopy(request, p.pid, b); err != nil {
		return p.reap(err)
	}
	return nil
}

// reap waits for the end of a process that ptrace does not find any more: it
// was killed while it was stopped.
func (p *Process) reap(err error) error {
	if err != syscall.ESRCH {
		return err
	}
	p.rig.live.Lock()
	_, there := p.rig.live.byPid[p.pid]
	p.rig.live.Unlock()
	if there {
		p.Kill()
	}
	return ErrGone
}

// adoptChild waits for the first stop of the process that p has just forked.
func (p *Process) adoptChild() error {
	var pid [8]byte
	if err := p.request(ptraceGetEventMsg, pid[:]); err != nil {
		return err
	}
	handle, err := os.FindProcess(int(binary.LittleEndian.Uint64(pid[:])))
	if err != nil {
		return err
	}
	child := p.rig.adopt(handle)
	child.base = p.base
	status, err := sys.WaitTraced(child.pid)
	if err == nil && ended(status) {
		child.gone()
		return ErrGone
	}
	return err
}

// fault is the signal at which the process has stopped.
func (p *Process) fault() error {
	b := p.rig.info[:]
	if err := p.request(ptraceGetSigInfo, b); err != nil {
		return err
	}
	le := binary.LittleEndian
	return &Fault{
		Signal: syscall.Signal(le.Uint32(b[0:])),
		Code:   int(int32(le.Uint32(b[8:]))),
		Addr:   le.Uint64(b[16:]),
	}
}

func (p *Process) open(name string) (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(p.pid) + "/" + name)
}

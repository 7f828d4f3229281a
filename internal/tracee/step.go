package tracee

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// Numbers of system calls of amd64.
const (
	SysClose      = 3
	SysMmap       = 9
	SysMprotect   = 10
	SysMunmap     = 11
	SysPread      = 17
	SysPwrite     = 18
	SysMremap     = 25
	SysMsync      = 26
	SysMincore    = 27
	SysMadvise    = 28
	SysClone      = 56
	SysFsync      = 74
	SysFtruncate  = 77
	SysCapget     = 125
	SysCapset     = 126
	SysMlock      = 149
	SysMunlock    = 150
	SysMlockall   = 151
	SysMunlockall = 152
	SysSetrlimit  = 160
	SysExitGroup  = 231
	SysMlock2     = 325
)

// A Fault is the signal that an access raised.
type Fault struct {
	Signal syscall.Signal // SIGSEGV or SIGBUS
	Code   int            // si_code: 1 for SEGV_MAPERR, 2 for SEGV_ACCERR and BUS_ADRERR
	Addr   uint64         // si_addr
}

func (f *Fault) String() string {
	return fmt.Sprintf("%v, code %d, at %#x", f.Signal, f.Code, f.Addr)
}

// Syscall makes one system call and gives its result, or its error.
func (p *Process) Syscall(number uint64, args ...uint64) (uint64, syscall.Errno) {
	fault, err := p.run(syscallEntry, func(r *registers) {
		r.set(regRax, number)
		for i, arg := range args {
			r.set([...]int{regRdi, regRsi, regRdx, regR10, regR8, regR9}[i], arg)
		}
	})
	if fault != nil {
		err = errors.New(fault.String())
	}
	p.must("a system call", err)
	return p.result()
}

func (p *Process) result() (uint64, syscall.Errno) {
	got := p.rig.regs.get(regRax)
	if got >= ^uint64(4094) { // -4095 to -1: an error
		return 0, syscall.Errno(-got)
	}
	return got, 0
}

// Load is one load of 1, 2, 4 or 8 bytes.
func (p *Process) Load(addr uint64, width int) (value uint64, fault *Fault) {
	fault, err := p.run(loads[width], func(r *registers) { r.set(regRsi, addr) })
	p.must("a load", err)
	if fault != nil {
		return 0, fault
	}
	return p.rig.regs.get(regRax), nil
}

// Store is one store of 1, 2, 4 or 8 bytes.
func (p *Process) Store(addr uint64, width int, value uint64) *Fault {
	fault, err := p.run(stores[width], func(r *registers) { r.set(regRdi, addr); r.set(regRax, value) })
	p.must("a store", err)
	return fault
}

// Peek copies the bytes at addr to dst, byte by byte and at most a page, and
// gives the number that went through before a fault. It uses the scratch page.
func (p *Process) Peek(dst []byte, addr uint64) (n int, fault *Fault) {
	n, fault = p.copy(Scratch, addr, len(dst))
	return copy(dst, p.rig.scratch[:n]), fault
}

// Poke copies src to the bytes at addr, byte by byte and at most a page, and
// gives the number that went through before a fault. It uses the scratch page.
func (p *Process) Poke(addr uint64, src []byte) (n int, fault *Fault) {
	copy(p.rig.scratch, src)
	return p.copy(addr, Scratch, len(src))
}

func (p *Process) copy(to, from uint64, n int) (int, *Fault) {
	fault, err := p.run(copyEntry, func(r *registers) {
		r.set(regRdi, to)
		r.set(regRsi, from)
		r.set(regRcx, uint64(n))
	})
	p.must("a copy", err)
	return n - int(p.rig.regs.get(regRcx)), fault
}

// Fork makes a child with a copy of the address space, as fork(2) does. To the
// system it is a child of the test's process, which spares everybody the
// signals of its end (clone(2), CLONE_PARENT).
func (p *Process) Fork() (*Process, syscall.Errno) {
	const cloneParent, sigchld = 0x8000, 17
	pid, errno := p.Syscall(SysClone, cloneParent|sigchld, 0, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return p.rig.live[int(pid)], 0
}

// Exit lets the process end by itself.
func (p *Process) Exit() {
	_, err := p.run(syscallEntry, func(r *registers) { r.set(regRax, SysExitGroup); r.set(regRdi, 0) })
	if !errors.Is(err, errGone) {
		p.must("its end", fmt.Errorf("it goes on: %w", err))
	}
	p.gone()
}

// Limit sets the soft limit of the process's resource, leaving the hard one at
// hard (setrlimit(2)). It uses the scratch page.
func (p *Process) Limit(resource int, soft, hard uint64) syscall.Errno {
	binary.LittleEndian.PutUint64(p.rig.scratch[0:], soft)
	binary.LittleEndian.PutUint64(p.rig.scratch[8:], hard)
	_, errno := p.Syscall(SysSetrlimit, uint64(resource), Scratch)
	return errno
}

// DropCapabilities gives up every capability (capset(2)): limits bind then,
// whoever runs the test. It uses the scratch page.
func (p *Process) DropCapabilities() syscall.Errno {
	const version3 = 0x20080522 // linux/capability.h
	clear(p.rig.scratch[:64])
	binary.LittleEndian.PutUint32(p.rig.scratch, version3)
	_, errno := p.Syscall(SysCapset, Scratch, Scratch+16)
	return errno
}

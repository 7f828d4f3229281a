package tracee

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// Numbers of system calls of amd64.
const (
	SysRead       = 0
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
	SysGetrlimit  = 97
	SysCapget     = 125
	SysCapset     = 126
	SysMlock      = 149
	SysMunlock    = 150
	SysMlockall   = 151
	SysMunlockall = 152
	SysPrctl      = 157
	SysSetrlimit  = 160
	SysFadvise    = 221
	SysExitGroup  = 231
	SysOpenat     = 257
	SysSyncRange  = 277
	SysMlock2     = 325
	SysCachestat  = 451
)

// A Fault is the signal that an access raised.
type Fault struct {
	Signal syscall.Signal // SIGSEGV or SIGBUS
	Code   int            // si_code: 1 for SEGV_MAPERR, 2 for SEGV_ACCERR and BUS_ADRERR
	Addr   uint64         // si_addr
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%v, code %d, at %#x", f.Signal, f.Code, f.Addr)
}

// Syscall makes one system call and gives its result, or its error.
func (p *Process) Syscall(number uint64, args ...uint64) (uint64, error) {
	err := p.run(syscallEntry, func(r *registers) {
		r.set(regRax, number)
		for i, arg := range args {
			r.set([...]int{regRdi, regRsi, regRdx, regR10, regR8, regR9}[i], arg)
		}
	})
	if err != nil {
		return 0, err
	}
	got := p.rig.regs.get(regRax)
	if got >= ^uint64(4094) { // -4095 to -1: an error
		return 0, syscall.Errno(-got)
	}
	return got, nil
}

// Load is one load of 1, 2, 4 or 8 bytes.
func (p *Process) Load(addr uint64, width int) (value uint64, err error) {
	if err := p.run(loads[width], func(r *registers) { r.set(regRsi, addr) }); err != nil {
		return 0, err
	}
	return p.rig.regs.get(regRax), nil
}

// Store is one store of 1, 2, 4 or 8 bytes.
func (p *Process) Store(addr uint64, width int, value uint64) error {
	return p.run(stores[width], func(r *registers) { r.set(regRdi, addr); r.set(regRax, value) })
}

// Peek copies the bytes at addr to dst, byte by byte and at most a page, and
// gives the number that went through before a fault. It uses the scratch page.
func (p *Process) Peek(dst []byte, addr uint64) (n int, err error) {
	n, err = p.copy(Scratch, addr, len(dst))
	return copy(dst, p.rig.scratch[:n]), err
}

// Poke copies src to the bytes at addr, byte by byte and at most a page, and
// gives the number that went through before a fault. It uses the scratch page.
func (p *Process) Poke(addr uint64, src []byte) (n int, err error) {
	copy(p.rig.scratch, src)
	return p.copy(addr, Scratch, len(src))
}

func (p *Process) copy(to, from uint64, n int) (int, error) {
	err := p.run(copyEntry, func(r *registers) {
		r.set(regRdi, to)
		r.set(regRsi, from)
		r.set(regRcx, uint64(n))
	})
	if _, fault := err.(*Fault); err != nil && !fault {
		return 0, err
	}
	return n - int(p.rig.regs.get(regRcx)), err
}

// Fork makes a child with a copy of the address space, as fork(2) does. To the
// system it is a child of the caller's process, which spares everybody the
// signals of its end (clone(2), CLONE_PARENT).
func (p *Process) Fork() (*Process, error) {
	const cloneParent, sigchld = 0x8000, 17
	pid, err := p.Syscall(SysClone, cloneParent|sigchld, 0, 0, 0, 0)
	if err != nil {
		return nil, err
	}
	p.rig.live.Lock()
	defer p.rig.live.Unlock()
	return p.rig.live.byPid[int(pid)], nil
}

// Exit lets the process end by itself.
func (p *Process) Exit() error {
	err := p.run(syscallEntry, func(r *registers) { r.set(regRax, SysExitGroup); r.set(regRdi, 0) })
	if err == ErrGone {
		return nil
	}
	return fmt.Errorf("a process goes on after its exit: %v", err)
}

// Limit sets the soft limit of the process's resource, leaving the hard one at
// hard (setrlimit(2)). It uses the scratch page.
func (p *Process) Limit(resource int, soft, hard uint64) error {
	binary.LittleEndian.PutUint64(p.rig.scratch[0:], soft)
	binary.LittleEndian.PutUint64(p.rig.scratch[8:], hard)
	_, err := p.Syscall(SysSetrlimit, uint64(resource), Scratch)
	return err
}

// DropCapabilities gives up every capability (capset(2)): limits bind then,
// whoever the caller is. It uses the scratch page.
func (p *Process) DropCapabilities() error {
	const version3 = 0x20080522 // linux/capability.h
	clear(p.rig.scratch[:64])
	binary.LittleEndian.PutUint32(p.rig.scratch, version3)
	_, err := p.Syscall(SysCapset, Scratch, Scratch+16)
	return err
}

package vmem

// LockFlags are mlock2's flags.
type LockFlags int

// LockOnFault locks the pages that are in memory, and others when they come.
const LockOnFault LockFlags = 1

// LockAllFlags are mlockall's flags.
type LockAllFlags int

// The flags of mlockall, with Linux's numbers.
const (
	LockCurrent    LockAllFlags = 1 // the areas that there are
	LockFuture     LockAllFlags = 2 // those that will be made
	LockAllOnFault LockAllFlags = 4 // with one of the others: do not bring pages in
)

// mayLock tells whether a process may lock anything.
func (p *Process) mayLock() bool { return p.IPCLock || p.Limits.MemLock != 0 }

// mayLockMore tells whether n bytes more are within the limit.
func (p *Process) mayLockMore(n uint64) bool {
	return p.IPCLock || n>>pageShift+p.locked <= p.Limits.MemLock>>pageShift
}

// Mlock brings the pages of [addr, addr+n) in and keeps them in memory; both
// ends are rounded outward. It answers EPERM if nothing may be locked, ENOMEM
// beyond the limit, at a hole, and where a page could not be brought in: the
// areas are locked all the same, up to the hole.
func (p *Process) Mlock(addr Addr, n uint64) error {
	p.m.call("mlock")
	return p.lock(addr, n, vmLocked)
}

// Mlock2 is Mlock with flags.
func (p *Process) Mlock2(addr Addr, n uint64, flags LockFlags) error {
	p.m.call("mlock2")
	if flags&^LockOnFault != 0 {
		return EINVAL
	}
	if flags&LockOnFault != 0 {
		return p.lock(addr, n, vmLocked|vmOnFault)
	}
	return p.lock(addr, n, vmLocked)
}

func (p *Process) lock(addr Addr, n uint64, how vmFlags) error {
	if !p.mayLock() {
		return EPERM
	}
	start, length := addr.floor(), uint64((Addr(n) + addr - addr.floor()).ceil())
	end := start + Addr(length)
	if !p.mayLockMore(length) {
		already, to := uint64(0), end
		if end < start {
			to = p.m.cfg.High
		}
		for _, a := range p.in(start, to) {
			if a.flags&vmLocked != 0 {
				already += pages(max(a.start, start), min(a.end, to))
			}
		}
		if length>>pageShift+p.locked-already > p.Limits.MemLock>>pageShift {
			return ENOMEM
		}
	}
	if err := p.setLock(start, end, how); err != nil {
		return err
	}
	if start == end {
		return nil
	}
	for _, a := range p.in(start, end) {
		switch err := p.populate(a, max(a.start, start), min(a.end, end)); err {
		case nil:
		case EFAULT: // POSIX has it so
			return ENOMEM
		case ENOMEM:
			return EAGAIN
		default:
			return err
		}
	}
	return nil
}

// Munlock lets the pages of [addr, addr+n) go again. Locks do not add up: one
// Munlock undoes any number of Mlocks.
func (p *Process) Munlock(addr Addr, n uint64) error {
	p.m.call("munlock")
	start := addr.floor()
	return p.setLock(start, start+(Addr(n)+addr-start).ceil(), 0)
}

// setLock gives the areas of [start, end) the lock flags, up to the first hole.
func (p *Process) setLock(start, end Addr, how vmFlags) error {
	if end < start {
		return EINVAL
	}
	for start < end {
		a := p.at(start)
		if a == nil {
			return ENOMEM
		}
		to := min(a.end, end)
		if err := p.lockPart(a, start, to, how); err != nil {
			return err
		}
		start = to
	}
	return nil
}

func (p *Process) lockPart(a *area, start, end Addr, how vmFlags) error {
	flags := a.flags&^vmLockFlags | how
	if flags == a.flags {
		return nil
	}
	_, err := p.modify(a, start, end, flags, p.m.cfg.MaxAreas)
	return err
}

// Mlockall locks all areas, and with LockFuture those to come: each mmap then
// counts against the limit. Pages that could not be brought in are not told.
func (p *Process) Mlockall(flags LockAllFlags) error {
	p.m.call("mlockall")
	if flags&(LockCurrent|LockFuture) == 0 || flags&^(LockCurrent|LockFuture|LockAllOnFault) != 0 {
		return EINVAL
	}
	if !p.mayLock() {
		return EPERM
	}
	if flags&LockCurrent != 0 && !p.IPCLock && p.total > p.Limits.MemLock>>pageShift {
		return ENOMEM
	}
	how := vmLocked
	if flags&LockAllOnFault != 0 {
		how |= vmOnFault
	}
	p.locking = 0
	if flags&LockFuture != 0 {
		p.locking = how
	}
	if flags&LockCurrent == 0 {
		return nil
	}
	p.lockAll(how)
	for _, a := range p.areas {
		_ = p.populate(a, a.start, a.end) // not told, as Linux does
	}
	return nil
}

// Munlockall undoes Mlock and Mlockall.
func (p *Process) Munlockall() error {
	p.m.call("munlockall")
	p.locking = 0
	p.lockAll(0)
	return nil
}

func (p *Process) lockAll(how vmFlags) {
	for at := Addr(0); ; {
		a := p.first(at)
		if a == nil {
			return
		}
		at = a.end
		_ = p.lockPart(a, a.start, a.end, how) // whole areas are not split
	}
}

// populate brings the pages of a part of an area in, as faults would: a private
// writable one is written to, so that its pages are its own. It answers EFAULT
// where a page can't be had.
func (p *Process) populate(a *area, start, end Addr) error {
	if a.flags&vmOnFault != 0 {
		return nil
	}
	if a.flags&vmAccess == 0 {
		return EFAULT
	}
	how := load
	if a.flags&(vmWrite|vmShared) == vmWrite {
		how = store
	}
	return p.faultIn(start, end, how)
}

// faultIn makes every page of [start, end) reachable.
func (p *Process) faultIn(start, end Addr, how access) error {
	for at := start; at < end; at += PageSize {
		e := p.table.lookup(at)
		if e != nil && e.allows(how) {
			continue
		}
		if _, err := p.fault(at, how); err != nil {
			return inCall(err)
		}
	}
	return nil
}

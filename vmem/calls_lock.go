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
	how := vmLocked
	if flags&LockOnFault != 0 {
		how |= vmOnFault
	}
	return p.lock(addr, n, how)
}

func (p *Process) lock(addr Addr, n uint64, how vmFlags) error {
	if !p.mayLock() {
		return EPERM
	}
	start := addr.floor()
	length := (Addr(n) + addr - start).ceil()
	end := start + length
	counted := end
	if end < start {
		counted = p.m.cfg.High
	}
	again := p.mapped(start, counted, vmLocked) << pageShift
	if !p.mayLockMore(uint64(length) - again) {
		return ENOMEM
	}
	if err := p.setLock(start, end, how); err != nil {
		return err
	}
	for part := range p.parts(start, end) {
		switch err := p.populate(part); err {
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
	for part := range p.parts(start, end) {
		if part == nil {
			return ENOMEM
		}
		if err := p.modify(part, part.flags&^vmLockFlags|how); err != nil {
			return err
		}
	}
	return nil
}

// Mlockall locks all areas, and with LockFuture those to come: each mmap then
// counts against the limit. Pages that could not be brought in are not told.
func (p *Process) Mlockall(flags LockAllFlags) error {
	p.m.call("mlockall")
	switch {
	case flags&(LockCurrent|LockFuture) == 0 || flags&^(LockCurrent|LockFuture|LockAllOnFault) != 0:
		return EINVAL
	case !p.mayLock():
		return EPERM
	case flags&LockCurrent != 0 && !p.IPCLock && p.total > p.Limits.MemLock>>pageShift:
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
	if flags&LockCurrent != 0 {
		p.lockAll(how)
		for _, a := range p.areas {
			_ = p.populate(a) // not told, as Linux does
		}
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
	for part := range p.parts(0, p.m.cfg.High) {
		if part != nil {
			_ = p.modify(part, part.flags&^vmLockFlags|how) // whole areas are not split
		}
	}
}

// populate brings the pages of a part of an area in, as faults would: a private
// writable one is written to, so that its pages are its own. It answers EFAULT
// where a page can't be had.
func (p *Process) populate(part *area) error {
	switch {
	case part.flags&vmOnFault != 0:
		return nil
	case part.flags&vmAccess == 0:
		return EFAULT
	case part.flags&(vmWrite|vmShared) == vmWrite:
		return p.faultIn(part, store)
	}
	return p.faultIn(part, load)
}

func (p *Process) faultIn(part *area, how vmFlags) error {
	for at := part.start; at < part.end; at += PageSize {
		if e := p.table.lookup(at); e != nil && e.allows(how) {
			continue
		}
		if _, err := p.fault(at, how); err != nil {
			return inCall(err)
		}
	}
	return nil
}

package vmem

// Mprotect changes what may be done with [addr, addr+n). addr must be a page
// border, n is rounded up; 0 pages are fine. It answers EACCES for what the
// file or its mode forbids, and ENOMEM at a hole: what lies before is changed.
func (p *Process) Mprotect(addr Addr, n uint64, prot Prot) error {
	p.m.call("mprotect")
	end := addr + Addr(n).ceil()
	switch {
	case addr != addr.floor():
		return EINVAL
	case n == 0:
		return nil
	case end <= addr:
		return ENOMEM
	case prot&^(ProtRead|ProtWrite|ProtExec) != 0:
		return EINVAL
	}
	for part := range p.parts(addr, end) {
		if part == nil {
			return ENOMEM
		}
		if err := p.protect(part, prot.access()); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) protect(part *area, want vmFlags) error {
	if want&^part.may() != 0 {
		return EACCES
	}
	old := part.flags
	flags := old&^vmAccess | want
	if flags == old {
		return nil
	}
	if flags&(vmWrite|vmShared) == vmWrite && old&vmWrite == 0 {
		if n := part.pages(); p.mayAdd(old, n) == nil && p.mayAdd(flags, n) != nil {
			return ENOMEM
		}
		if old&vmNoReserve == 0 {
			flags |= vmAccount
		}
	} else if old&vmAccount != 0 && want&vmWrite == 0 && part.file == nil && part.lineage == nil {
		flags &^= vmAccount
	}
	if err := p.modify(part, flags); err != nil {
		return err
	}
	for _, e := range p.table.all(part.start, part.end) {
		e.bits &^= Present
		if want != 0 {
			e.bits |= Present
		}
		if want&vmWrite == 0 {
			e.bits &^= Writable
		}
	}
	if old&(vmWrite|vmShared|vmLocked) == vmLocked && want&vmWrite != 0 {
		_ = p.populate(part) // locked pages are copied now, so that no store waits later
	}
	return nil
}

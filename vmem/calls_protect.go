package vmem

// Mprotect changes what may be done with [addr, addr+n). addr must be a page
// border, n is rounded up; 0 pages are fine. It answers EACCES for what the
// file or its mode forbids, and ENOMEM at a hole: what lies before is changed.
func (p *Process) Mprotect(addr Addr, n uint64, prot Prot) error {
	p.m.call("mprotect")
	if addr != addr.floor() {
		return EINVAL
	}
	if n == 0 {
		return nil
	}
	end := addr + Addr(n).ceil()
	if end <= addr {
		return ENOMEM
	}
	if prot&^(ProtRead|ProtWrite|ProtExec) != 0 {
		return EINVAL
	}
	for addr < end {
		a := p.at(addr)
		if a == nil {
			return ENOMEM
		}
		to := min(a.end, end)
		if err := p.protect(a, addr, to, prot); err != nil {
			return err
		}
		addr = to
	}
	return nil
}

// protect changes the part of one area.
func (p *Process) protect(a *area, start, end Addr, prot Prot) error {
	want := prot.access()
	if want&^a.may() != 0 {
		return EACCES
	}
	old := a.flags
	flags := old&^vmAccess | want
	if flags == old {
		return nil
	}
	if flags&(vmWrite|vmShared) == vmWrite && old&vmWrite == 0 {
		if n := pages(start, end); p.mayHave(n) && !p.mayHaveData(n) {
			return ENOMEM
		}
		if old&vmNoReserve == 0 {
			flags |= vmAccount
		}
	} else if old&vmAccount != 0 && want&vmWrite == 0 && a.file == nil && a.lineage == nil {
		flags &^= vmAccount
	}
	a, err := p.modify(a, start, end, flags, p.m.cfg.MaxAreas)
	if err != nil {
		return err
	}
	for _, e := range p.table.all(start, end) {
		e.bits &^= Present
		if want != 0 {
			e.bits |= Present
		}
		if want&vmWrite == 0 {
			e.bits &^= Writable
		}
	}
	if old&(vmWrite|vmShared|vmLocked) == vmLocked && want&vmWrite != 0 {
		_ = p.populate(a, start, end) // locked pages are copied now, so that no store waits later
	}
	return nil
}

package vmem

// A Prot is what may be done with an area: mmap's prot.
type Prot int

// The protections, with Linux's numbers.
const (
	ProtNone  Prot = 0
	ProtRead  Prot = 1
	ProtWrite Prot = 2
	ProtExec  Prot = 4
)

// MapFlags are mmap's flags. Those that are not named here are ignored with
// MapPrivate and MapShared, and refused with MapSharedValidate.
type MapFlags int

// The flags, with Linux's numbers.
const (
	MapShared         MapFlags = 0x01
	MapPrivate        MapFlags = 0x02
	MapSharedValidate MapFlags = 0x03
	MapFixed          MapFlags = 0x10
	MapAnonymous      MapFlags = 0x20
	MapDenyWrite      MapFlags = 0x0800 // ignored, as Linux does
	MapExecutable     MapFlags = 0x1000 // ignored, as Linux does
	MapLocked         MapFlags = 0x2000
	MapNoReserve      MapFlags = 0x4000
	MapPopulate       MapFlags = 0x8000
	MapNonblock       MapFlags = 0x10000
	MapStack          MapFlags = 0x20000 // merges with its like alone (since Linux 6.7)
	MapFixedNoReplace MapFlags = 0x100000

	mapType  MapFlags = 0x0f
	mapKnown          = mapType | MapFixed | MapAnonymous | MapDenyWrite | MapExecutable | MapLocked |
		MapNoReserve | MapPopulate | MapNonblock | MapStack // Linux forgot MapFixedNoReplace
)

// access turns a protection into an area's flags, which have the same bits.
func (prot Prot) access() vmFlags { return vmFlags(prot) & vmAccess }

// Mmap maps n bytes of f from off on, or zeros with MapAnonymous, and returns
// the address. Nothing is read: faults do that, unless MapPopulate or
// MapLocked asks for it, whose failure is not told. n is rounded up to whole
// pages; off must be a page border. With a nil f it answers EBADF. The area
// stays when f is closed.
func (p *Process) Mmap(addr Addr, n uint64, prot Prot, flags MapFlags, f *File, off int64) (Addr, error) {
	p.m.call("mmap")
	if off&(PageSize-1) != 0 {
		return 0, EINVAL
	}
	if flags&MapAnonymous != 0 {
		f = nil
	} else if f == nil || f.closed {
		return 0, EBADF
	}
	if n == 0 {
		return 0, EINVAL
	}
	if flags&MapFixedNoReplace != 0 {
		flags |= MapFixed
	}
	if flags&MapFixed == 0 {
		if addr = addr.floor(); addr != 0 {
			addr = max(addr, p.m.cfg.Low)
		}
	}
	length := uint64(Addr(n).ceil())
	if length == 0 {
		return 0, ENOMEM
	}
	pgoff := uint64(off) >> pageShift
	if len(p.areas) > p.m.cfg.MaxAreas {
		return 0, ENOMEM
	}
	vm := prot.access() | p.locking | vmMayRead | vmMayWrite | vmMayExec
	if flags&MapLocked != 0 {
		vm |= vmLocked
	}
	addr, err := p.vacancy(addr, length, flags)
	if err != nil {
		return 0, err
	}
	if flags&MapLocked != 0 && !p.mayLock() {
		return 0, EPERM
	}
	if vm&vmLocked != 0 && !p.mayLockMore(length) {
		return 0, EAGAIN
	}
	if f != nil {
		vm, err = f.mappable(vm, length, pgoff, prot, flags)
	} else {
		vm, pgoff, err = anonymous(vm, addr, flags)
	}
	if err != nil {
		return 0, err
	}
	if flags&MapNoReserve != 0 {
		vm |= vmNoReserve
	}
	if flags&MapStack != 0 {
		vm |= vmNoHuge
	}
	if f == nil && vm&vmShared != 0 {
		o := p.m.Memory("/dev/zero (deleted)")
		o.size = int64(length)
		f = &File{object: o, mode: ReadWrite}
	}
	end := addr + Addr(length)
	if err := p.isolate(addr, end); err != nil { // stays, whatever comes
		return 0, err
	}
	if err := p.mayReplace(vm, addr, end); err != nil {
		return 0, err
	}
	if vm&(vmNoReserve|vmShared|vmWrite) == vmWrite {
		if most := p.m.cfg.MaxCommit; most > 0 && length > most {
			return 0, ENOMEM
		}
		vm |= vmAccount
	}
	p.unmap(addr, end)
	p.merge(&area{start: addr, end: end, pgoff: pgoff, flags: vm, file: f})
	if vm&vmLocked != 0 || flags&(MapPopulate|MapNonblock) == MapPopulate {
		for _, a := range p.in(addr, end) {
			_ = p.populate(a, max(a.start, addr), min(a.end, end)) // not told, as Linux does
		}
	}
	return addr, nil
}

// vacancy settles where a mapping goes: where it must, where it was hinted
// to and is free, or where there is room.
func (p *Process) vacancy(addr Addr, length uint64, flags MapFlags) (Addr, error) {
	c := &p.m.cfg
	if length > uint64(c.High) {
		return 0, ENOMEM
	}
	last := c.High - Addr(length)
	if flags&MapFixed != 0 {
		switch {
		case addr > last:
			return 0, ENOMEM
		case addr != addr.floor():
			return 0, EINVAL
		case addr < c.Low:
			return 0, EPERM
		case flags&MapFixedNoReplace != 0 && !p.free(addr, addr+Addr(length)):
			return 0, EEXIST
		}
		return addr, nil
	}
	if p.m.Choose.Place != nil {
		if chosen, ok := p.m.Choose.Place(p, length); ok {
			if chosen != chosen.floor() || chosen < c.Low || chosen > last || !p.free(chosen, chosen+Addr(length)) {
				return 0, ErrChoice
			}
			return chosen, nil
		}
	}
	if addr != 0 && addr <= last && p.free(addr, addr+Addr(length)) {
		return addr, nil
	}
	if addr, ok := p.place(length, c); ok {
		return addr, nil
	}
	return 0, ENOMEM
}

// mappable decides whether a file may be mapped like this, and what its area
// may do.
func (f *File) mappable(vm vmFlags, length, pgoff uint64, prot Prot, flags MapFlags) (vmFlags, error) {
	const limit = 1<<63 - 1 // whatever the file system allows
	if length > limit || pgoff > (limit-length)>>pageShift {
		return 0, EOVERFLOW
	}
	switch flags & mapType {
	case MapSharedValidate:
		if flags&^mapKnown != 0 {
			return 0, EOPNOTSUPP
		}
		fallthrough
	case MapShared:
		if prot&ProtWrite != 0 && f.mode&WriteOnly == 0 {
			return 0, EACCES
		}
		vm |= vmMayShare
		if f.mode&WriteOnly != 0 {
			vm |= vmShared
		} else {
			vm &^= vmMayWrite
		}
		fallthrough
	case MapPrivate:
		if f.mode&ReadOnly == 0 {
			return 0, EACCES
		}
		return vm, nil
	}
	return 0, EINVAL
}

// anonymous is the same for memory without a file.
func anonymous(vm vmFlags, addr Addr, flags MapFlags) (vmFlags, uint64, error) {
	switch flags & mapType {
	case MapShared:
		return vm | vmShared | vmMayShare, 0, nil
	case MapPrivate:
		return vm, uint64(addr) >> pageShift, nil
	}
	return 0, 0, EINVAL
}

// mayReplace tells whether an area of these flags fits into the limits at
// [start, end), where what is there now makes room for it.
func (p *Process) mayReplace(vm vmFlags, start, end Addr) error {
	var old uint64
	for _, a := range p.in(start, end) {
		old += pages(max(a.start, start), min(a.end, end))
	}
	return p.mayAdd(vm, pages(start, end)-old)
}

// mayAdd tells whether n pages more of these flags fit into the limits.
func (p *Process) mayAdd(vm vmFlags, n uint64) error {
	if !p.mayHave(n) || vm&(vmWrite|vmShared) == vmWrite && !p.mayHaveData(n) {
		return ENOMEM
	}
	return nil
}

// mayHave tells whether n more pages are within the limit of all areas.
func (p *Process) mayHave(n uint64) bool { return p.total+n <= p.Limits.AS>>pageShift }

// mayHaveData tells whether n more private writable pages are within the limit.
func (p *Process) mayHaveData(n uint64) bool {
	return p.Limits.Data == 0 || p.data+n <= p.Limits.Data>>pageShift
}

// Munmap takes [addr, addr+n) out of the address space, whatever is there;
// nothing being there is fine. addr must be a page border, n is rounded up.
// What was stored in shared areas stays with their objects, what was stored in
// private ones is gone.
func (p *Process) Munmap(addr Addr, n uint64) error {
	p.m.call("munmap")
	return p.vacate(addr, n)
}

// vacate makes [addr, addr+n) free. It can fail before it did anything.
func (p *Process) vacate(addr Addr, n uint64) error {
	if addr != addr.floor() || addr > p.m.cfg.High || n > uint64(p.m.cfg.High-addr) || n == 0 {
		return EINVAL
	}
	end := addr + Addr(n).ceil()
	if err := p.isolate(addr, end); err != nil {
		return err
	}
	p.unmap(addr, end)
	return nil
}

// isolate splits areas at both ends of [start, end). It can fail before it did
// anything: where a hole in the middle of an area makes one area too many.
func (p *Process) isolate(start, end Addr) error {
	if a := p.at(start); a != nil && a.start < start && end < a.end && len(p.areas) >= p.m.cfg.MaxAreas {
		return ENOMEM
	}
	p.cut(start)
	p.cut(end)
	return nil
}

// unmap removes areas and entries.
func (p *Process) unmap(start, end Addr) {
	p.drop(start, end)
	p.remove(start, end)
}

// drop empties the entries of [start, end): the areas stay, and the next
// access to each page is a fault again.
func (p *Process) drop(start, end Addr) {
	for at, e := range p.table.all(start, end) {
		p.hide(at, e)
	}
}

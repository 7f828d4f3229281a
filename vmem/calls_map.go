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
	MapLocked         MapFlags = 0x2000
	MapNoReserve      MapFlags = 0x4000
	MapPopulate       MapFlags = 0x8000
	MapNonblock       MapFlags = 0x10000
	MapStack          MapFlags = 0x20000 // merges with its like alone (since Linux 6.7)
	MapFixedNoReplace MapFlags = 0x100000

	mapIgnored MapFlags = 0x1800 // MAP_DENYWRITE and MAP_EXECUTABLE
	mapType    MapFlags = 0x0f
	mapKnown            = mapType | MapFixed | MapAnonymous | mapIgnored | MapLocked |
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
	length := uint64(Addr(n).ceil())
	if flags&MapAnonymous != 0 {
		f = nil
	}
	switch {
	case off&(PageSize-1) != 0:
		return 0, EINVAL
	case flags&MapAnonymous == 0 && f.usable(0, 0) != nil:
		return 0, EBADF
	case n == 0:
		return 0, EINVAL
	case length == 0 || len(p.areas) > p.m.cfg.MaxAreas:
		return 0, ENOMEM
	}
	if flags&MapFixedNoReplace != 0 {
		flags |= MapFixed
	}
	if flags&MapFixed == 0 {
		if addr = addr.floor(); addr != 0 {
			addr = max(addr, p.m.cfg.Low)
		}
	}
	addr, err := p.vacancy(addr, length, flags)
	if err != nil {
		return 0, err
	}
	a := &area{start: addr, end: addr + Addr(length), file: f}
	a.flags = prot.access() | p.locking | vmMayRead | vmMayWrite | vmMayExec
	if flags&MapLocked != 0 {
		if a.flags |= vmLocked; !p.mayLock() {
			return 0, EPERM
		}
	}
	if a.flags&vmLocked != 0 && !p.mayLockMore(length) {
		return 0, EAGAIN
	}
	if f != nil {
		a.pgoff = uint64(off) >> pageShift
		err = a.ofFile(prot, flags)
	} else {
		err = p.ofMemory(a, flags)
	}
	if err != nil {
		return 0, err
	}
	if flags&MapNoReserve != 0 {
		a.flags |= vmNoReserve
	}
	if flags&MapStack != 0 {
		a.flags |= vmNoHuge
	}
	if err := p.isolate(a.start, a.end); err != nil { // stays, whatever comes
		return 0, err
	}
	if err := p.mayAdd(a.flags, a.pages()-p.mapped(a.start, a.end, 0)); err != nil {
		return 0, err
	}
	if a.flags&(vmNoReserve|vmShared|vmWrite) == vmWrite {
		if most := p.m.cfg.MaxCommit; most > 0 && length > most {
			return 0, ENOMEM
		}
		a.flags |= vmAccount
	}
	part := *a
	p.unmap(a.start, a.end)
	p.merge(a)
	if part.flags&vmLocked != 0 || flags&(MapPopulate|MapNonblock) == MapPopulate {
		_ = p.populate(&part) // not told, as Linux does
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
	return p.place(length, c)
}

// ofFile decides whether a file may be mapped like this, and what its area may do.
func (a *area) ofFile(prot Prot, flags MapFlags) error {
	const most = 1 << 63 >> pageShift // pages, whatever the file system allows
	mode := a.file.mode
	switch kind := flags & mapType; {
	case a.pgoff+a.pages() >= most:
		return EOVERFLOW
	case kind != MapShared && kind != MapPrivate && kind != MapSharedValidate:
		return EINVAL
	case kind == MapSharedValidate && flags&^mapKnown != 0:
		return EOPNOTSUPP
	case kind != MapPrivate && prot&ProtWrite != 0 && mode&WriteOnly == 0, mode&ReadOnly == 0:
		return EACCES
	case kind == MapPrivate:
	case mode&WriteOnly != 0:
		a.flags |= vmShared | vmMayShare
	default:
		a.flags = a.flags&^vmMayWrite | vmMayShare
	}
	return nil
}

// ofMemory does the same for memory without a file.
func (p *Process) ofMemory(a *area, flags MapFlags) error {
	switch flags & mapType {
	case MapPrivate:
		a.pgoff = uint64(a.start) >> pageShift
	case MapShared:
		a.flags |= vmShared | vmMayShare
		o := p.m.Memory("/dev/zero (deleted)")
		o.size = int64(a.end - a.start)
		a.file = &File{object: o, mode: ReadWrite}
	default:
		return EINVAL
	}
	return nil
}

// mapped counts the pages in [start, end) whose areas have all of the flags.
func (p *Process) mapped(start, end Addr, flags vmFlags) (n uint64) {
	for part := range p.parts(start, end) {
		if part != nil && part.flags&flags == flags {
			n += part.pages()
		}
	}
	return n
}

// free tells whether no area overlaps [start, end).
func (p *Process) free(start, end Addr) bool { return p.mapped(start, end, 0) == 0 }

// mayAdd tells whether n pages more of these flags fit into the limits.
func (p *Process) mayAdd(flags vmFlags, n uint64) error {
	data := p.Limits.Data != 0 && flags&(vmWrite|vmShared) == vmWrite
	if p.total+n > p.Limits.AS>>pageShift || data && p.data+n > p.Limits.Data>>pageShift {
		return ENOMEM
	}
	return nil
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

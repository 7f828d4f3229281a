package vmem

// RemapFlags are mremap's flags.
type RemapFlags int

// The flags of mremap, with Linux's numbers.
const (
	RemapMayMove   RemapFlags = 1
	RemapFixed     RemapFlags = 2 // to the address given, whatever is there
	RemapDontUnmap RemapFlags = 4 // the old area stays, empty
)

// A remap is one call of Mremap, page borders only.
type remap struct {
	old, oldLen Addr
	to, newLen  Addr
	flags       RemapFlags
}

// moves tells whether the area gets another address in any case.
func (r remap) moves() bool { return r.flags&(RemapFixed|RemapDontUnmap) != 0 }

// Mremap makes [old, old+oldLen) newLen bytes long, in place if it can be, or
// where there is room with RemapMayMove, or at to with RemapFixed. Pages move
// without a copy. It returns where the area is. A length of 0 for the old one
// maps the pages of a shared area a second time.
//
// Areas are moved several at once only with RemapFixed and the same length
// (Linux 6.17); those before one that can't be moved are moved then.
func (p *Process) Mremap(old Addr, oldLen, newLen uint64, flags RemapFlags, to Addr) (Addr, error) {
	p.m.call("mremap")
	r := remap{old, Addr(oldLen).ceil(), to, Addr(newLen).ceil(), flags}
	if err := p.remapArguments(r); err != nil {
		return 0, err
	}
	if r.flags&RemapFixed != 0 && r.oldLen == r.newLen {
		return p.remapSeveral(r)
	}
	a := p.at(r.old)
	grows := r.newLen > r.oldLen
	at, err := r.old, p.remappable(a, r)
	switch {
	case err != nil:
		return 0, err
	case r.moves():
		at, err = p.remapTo(r)
	case r.newLen < r.oldLen:
		err = p.vacate(r.old+r.newLen, uint64(r.oldLen-r.newLen))
	case grows:
		at, err = p.grow(a, r)
	}
	if err != nil {
		return 0, err
	}
	if grows && a.flags&vmLocked != 0 {
		_ = p.populate(p.at(at).part(at+r.oldLen, at+r.newLen)) // not told, as Linux does
	}
	return at, nil
}

// remapArguments checks what needs no area.
func (p *Process) remapArguments(r remap) error {
	high := p.m.cfg.High
	switch {
	case r.flags&^(RemapMayMove|RemapFixed|RemapDontUnmap) != 0,
		r.old != r.old.floor(), r.newLen == 0, r.newLen > high:
		return EINVAL
	case !r.moves():
		return nil
	case r.to > high-r.newLen, r.to != r.to.floor(), r.flags&RemapMayMove == 0,
		r.flags&RemapDontUnmap != 0 && r.oldLen != r.newLen,
		r.old+r.oldLen > r.to && r.to+r.newLen > r.old: // they overlap
		return EINVAL
	case len(p.areas)+2 >= p.m.cfg.MaxAreas-3:
		return ENOMEM
	}
	return nil
}

// remappable checks the area that is to be moved or to grow.
func (p *Process) remappable(a *area, r remap) error {
	more := uint64(r.newLen - r.oldLen)
	switch {
	case a == nil:
		return EFAULT
	case r.newLen <= r.oldLen && !r.moves():
		return nil // shrinks in place, across whatever there is
	case r.oldLen == 0 && a.flags&(vmShared|vmMayShare) == 0:
		return EINVAL
	case min(r.oldLen, r.newLen) > a.end-r.old:
		return EFAULT
	case r.newLen <= r.oldLen:
		return nil
	case a.page(r.old)+uint64(r.newLen)>>pageShift < a.page(r.old):
		return EINVAL
	case a.flags&vmLocked != 0 && !p.mayLockMore(more):
		return EAGAIN
	}
	return p.mayAdd(a.flags, more>>pageShift)
}

// remapSeveral moves every area of the old range, with the gaps between them.
func (p *Process) remapSeveral(r remap) (Addr, error) {
	if p.at(r.old) == nil {
		return 0, EFAULT
	}
	for part := range p.parts(r.old, r.old+r.oldLen) {
		if part == nil {
			continue
		}
		n := part.end - part.start
		one := remap{part.start, n, r.to + (part.start - r.old), n, r.flags}
		if err := p.remappable(part, one); err != nil {
			return 0, err
		}
		if _, err := p.remapTo(one); err != nil {
			return 0, err
		}
	}
	return r.to, nil
}

// remapTo moves to where the caller or the choice wants it.
func (p *Process) remapTo(r remap) (Addr, error) {
	var where MapFlags
	if r.flags&RemapFixed != 0 {
		if err := p.vacate(r.to, uint64(r.newLen)); err != nil {
			return 0, err
		}
		where = MapFixed
		if p.at(r.old) == nil { // a length of 0, or one that passes all addresses, was in what was just unmapped
			return 0, EFAULT
		}
	}
	if r.newLen < r.oldLen {
		if err := p.vacate(r.old+r.newLen, uint64(r.oldLen-r.newLen)); err != nil {
			return 0, err
		}
		r.oldLen = r.newLen
	}
	a := p.at(r.old)
	if r.flags&RemapDontUnmap != 0 {
		if err := p.mayAdd(a.flags, uint64(r.newLen)>>pageShift); err != nil {
			return 0, err
		}
	}
	return p.move(a, r, where)
}

// grow makes the area longer in place, or moves it where it fits.
func (p *Process) grow(a *area, r remap) (Addr, error) {
	end := r.old + r.newLen
	if a.end == r.old+r.oldLen && end > a.end && end <= p.m.cfg.High && p.free(a.end, end) {
		p.extend(a, end)
		return r.old, nil
	}
	if r.flags&RemapMayMove == 0 {
		return 0, ENOMEM
	}
	r.to = 0
	return p.move(a, r, 0)
}

// move makes an area at r.to, or where there is room, and moves the entries to
// it. Private memory that nobody touched is as good as new: it counts its pages
// from its new address, so that it merges there.
func (p *Process) move(a *area, r remap, where MapFlags) (to Addr, err error) {
	if to, err = p.vacancy(r.to, uint64(r.newLen), where); err != nil {
		return 0, err
	}
	if len(p.areas) >= p.m.cfg.MaxAreas-3 {
		return 0, ENOMEM
	}
	whole := a.start == r.old && a.end == r.old+r.oldLen
	moved := a.part(r.old, a.end)
	moved.start, moved.end = to, to+r.newLen
	if a.file == nil && a.lineage == nil {
		moved.pgoff = uint64(to) >> pageShift
	}
	p.merge(moved)
	for at, e := range p.table.all(r.old, r.old+r.oldLen) {
		moved := *e
		moved.frame.held++ // nobody shows it in between
		p.hide(at, e)
		p.show(to+(at-r.old), moved.frame, moved.bits)
		moved.frame.held--
	}
	if r.flags&RemapDontUnmap == 0 {
		if r.oldLen > 0 {
			p.remove(r.old, r.old+r.oldLen)
		}
		return to, nil
	}
	left := p.at(r.old)
	left.flags &^= vmLockFlags // VmLck counts its pages for ever: so does Linux 6.18
	if whole && left.start == r.old && left.end == r.old+r.oldLen {
		left.lineage = nil // its pages are gone
	}
	return to, nil
}

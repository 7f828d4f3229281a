package vmem

// Advice is what madvise is told.
type Advice int

// The advice, with Linux's numbers. MADV_COLD and MADV_PAGEOUT are checked and
// do nothing: what leaves memory is a choice.
const (
	AdviceNormal         Advice = 0
	AdviceRandom         Advice = 1 // no read-ahead
	AdviceSequential     Advice = 2 // read ahead, not behind
	AdviceWillNeed       Advice = 3 // read into memory now
	AdviceDontNeed       Advice = 4 // destroys: private pages are zeros, or the file's, from now on
	AdviceFree           Advice = 8 // destroys, later, what is not written again
	AdviceRemove         Advice = 9 // destroys: zeros in the object
	AdviceDontFork       Advice = 10
	AdviceDoFork         Advice = 11
	AdviceDontDump       Advice = 16
	AdviceDoDump         Advice = 17
	AdviceWipeOnFork     Advice = 18
	AdviceKeepOnFork     Advice = 19
	AdviceCold           Advice = 20
	AdvicePageOut        Advice = 21
	AdvicePopulateRead   Advice = 22 // bring in, and tell what could not be
	AdvicePopulateWrite  Advice = 23
	AdviceDontNeedLocked Advice = 24 // AdviceDontNeed, of locked pages too
)

// A rule is what advice does to the part of an area, and to which ones: EINVAL
// for others.
type rule struct {
	set, clear vmFlags // changes the area
	needs, not vmFlags // of the area
	memory     bool    // not of files
	atOnce     bool    // ends at a hole: other advice goes on behind it
	do         func(p *Process, part *area) error
}

var rules = map[Advice]rule{
	AdviceNormal:         {clear: vmRandom | vmSequential},
	AdviceRandom:         {set: vmRandom, clear: vmSequential},
	AdviceSequential:     {set: vmSequential, clear: vmRandom},
	AdviceWillNeed:       {do: (*Process).prefetch},
	AdviceDontNeed:       {do: (*Process).discard, not: vmLocked},
	AdviceFree:           {do: (*Process).giveBack, not: vmLocked, memory: true},
	AdviceRemove:         {do: (*Process).punch, not: vmLocked},
	AdviceDontFork:       {set: vmDontCopy},
	AdviceDoFork:         {clear: vmDontCopy},
	AdviceDontDump:       {set: vmDontDump},
	AdviceDoDump:         {clear: vmDontDump},
	AdviceWipeOnFork:     {set: vmWipeOnFork, memory: true},
	AdviceKeepOnFork:     {clear: vmWipeOnFork},
	AdviceCold:           {not: vmLocked},
	AdvicePageOut:        {not: vmLocked},
	AdvicePopulateRead:   {do: reach(load), needs: vmRead, atOnce: true},
	AdvicePopulateWrite:  {do: reach(store), needs: vmWrite, atOnce: true},
	AdviceDontNeedLocked: {do: (*Process).discard},
}

// Madvise gives advice for [addr, addr+n). addr must be a page border, n is
// rounded up. It answers EINVAL for advice that does not fit an area, and
// ENOMEM for holes, after the rest is done. To populate ends at a hole, and is
// EFAULT where there is nothing behind an area.
func (p *Process) Madvise(addr Addr, n uint64, advice Advice) error {
	p.m.call("madvise")
	rule, ok := rules[advice]
	end := addr + Addr(n).ceil()
	if !ok || addr != addr.floor() || n != 0 && Addr(n).ceil() == 0 || end < addr {
		return EINVAL
	}
	var hole error
	for part := range p.parts(addr, end) {
		switch {
		case part == nil && rule.atOnce:
			return ENOMEM
		case part == nil:
			hole = ENOMEM
			continue
		case part.flags&rule.not != 0, part.flags&rule.needs != rule.needs, rule.memory && part.file != nil:
			return EINVAL
		}
		if rule.do != nil {
			if err := rule.do(p, part); err != nil {
				return err
			}
		}
		if p.modify(part, part.flags&^rule.clear|rule.set) != nil {
			return EAGAIN // so Linux says ENOMEM here
		}
	}
	return hole
}

func (p *Process) discard(part *area) error {
	p.drop(part.start, part.end)
	return nil
}

// giveBack marks private pages that nobody else shows as no longer needed: until
// they are written to, their bytes may become zeros at any moment.
func (p *Process) giveBack(part *area) error {
	for _, e := range p.table.all(part.start, part.end) {
		if f := e.frame; f != p.m.zero && len(f.mappers) == 1 {
			f.lazy = true
			e.bits &^= Dirty | Accessed
		}
	}
	return nil
}

// DropFree takes a page back that MADV_FREE gave, as a kernel does under
// pressure: it reads as zeros, to everybody who showed it. It answers ErrChoice
// for a page that was not given or was written to since.
func (p *Process) DropFree(addr Addr) error {
	e := p.table.lookup(addr)
	if e == nil || e.frame == nil || !e.frame.lazy {
		return ErrChoice
	}
	p.m.hideEverywhere(e.frame)
	return nil
}

func (p *Process) punch(part *area) error {
	switch last := part.pgoff + part.pages(); {
	case part.file == nil:
		return EINVAL
	case part.flags&(vmShared|vmMayWrite) != vmShared|vmMayWrite:
		return EACCES
	case last > uint64(part.file.object.maxSize)>>pageShift:
		return EFBIG
	default:
		return part.file.object.punch(part.pgoff, last)
	}
}

// prefetch reads the pages of an object. A failure is the next access's to tell.
func (p *Process) prefetch(part *area) error {
	if part.file == nil || part.file.object.store == nil {
		return nil
	}
	return part.file.object.loadAll(part.pgoff, part.pgoff+part.pages())
}

func reach(how vmFlags) func(*Process, *area) error {
	return func(p *Process, part *area) error { return p.faultIn(part, how) }
}

// Mincore tells for each page of [addr, addr+n) whether it is in memory: 1 or 0
// in vec, which has a byte a page. addr must be a page border. It answers
// ENOMEM at a hole, with what lies before it told.
func (p *Process) Mincore(addr Addr, n uint64, vec []byte) error {
	p.m.call("mincore")
	switch high := p.m.cfg.High; {
	case addr != addr.floor():
		return EINVAL
	case addr > high || n > uint64(high-addr):
		return ENOMEM
	}
	for i, at := 0, addr; at < addr+Addr(n); i, at = i+1, at+PageSize {
		a := p.at(at)
		switch {
		case a == nil:
			return ENOMEM
		case i >= len(vec):
			return EFAULT
		}
		vec[i] = 0
		if e := p.table.lookup(at); e != nil && e.frame != nil || a.file != nil && a.file.object.cached(a.page(at)) != nil {
			vec[i] = 1
		}
	}
	return nil
}

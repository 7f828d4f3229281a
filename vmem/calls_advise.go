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

// flagAdvice is the advice that only changes what an area is.
var flagAdvice = map[Advice]struct{ set, clear vmFlags }{
	AdviceNormal:     {0, vmRandom | vmSequential},
	AdviceRandom:     {vmRandom, vmSequential},
	AdviceSequential: {vmSequential, vmRandom},
	AdviceDontFork:   {vmDontCopy, 0},
	AdviceDoFork:     {0, vmDontCopy},
	AdviceDontDump:   {vmDontDump, 0},
	AdviceDoDump:     {0, vmDontDump},
	AdviceWipeOnFork: {vmWipeOnFork, 0},
	AdviceKeepOnFork: {0, vmWipeOnFork},
}

// Madvise gives advice for [addr, addr+n). addr must be a page border, n is
// rounded up. It answers EINVAL for advice that does not fit an area, and
// ENOMEM for holes, after the rest is done.
func (p *Process) Madvise(addr Addr, n uint64, advice Advice) error {
	p.m.call("madvise")
	_, changesFlags := flagAdvice[advice]
	advise := p.advise
	switch advice {
	case AdvicePopulateRead, AdvicePopulateWrite:
	case AdviceWillNeed, AdviceDontNeed, AdviceFree, AdviceRemove, AdviceCold, AdvicePageOut, AdviceDontNeedLocked:
	default:
		if !changesFlags {
			return EINVAL
		}
		advise = p.adviseFlags
	}
	end := addr + Addr(n).ceil()
	if addr != addr.floor() || n != 0 && Addr(n).ceil() == 0 || end < addr {
		return EINVAL
	}
	if advice == AdvicePopulateRead || advice == AdvicePopulateWrite {
		return p.populateAll(addr, end, advice)
	}
	var hole error
	for addr < end {
		a := p.first(addr)
		if a == nil || a.start >= end {
			return ENOMEM
		}
		if a.start > addr {
			addr, hole = a.start, ENOMEM
		}
		to := min(a.end, end)
		if err := advise(a, addr, to, advice); err != nil {
			return err
		}
		addr = to
	}
	return hole
}

// adviseFlags changes the flags of a part of an area.
func (p *Process) adviseFlags(a *area, start, end Addr, advice Advice) error {
	if advice == AdviceWipeOnFork && a.file != nil {
		return EINVAL
	}
	change := flagAdvice[advice]
	flags := a.flags&^change.clear | change.set
	if flags == a.flags {
		return nil
	}
	if _, err := p.modify(a, start, end, flags, p.m.cfg.MaxAreas); err != nil {
		return EAGAIN // so Linux says ENOMEM here
	}
	return nil
}

// advise acts on the pages of a part of an area.
func (p *Process) advise(a *area, start, end Addr, advice Advice) error {
	locked := a.flags&vmLocked != 0
	switch advice {
	case AdviceDontNeed, AdviceDontNeedLocked:
		if locked && advice == AdviceDontNeed {
			return EINVAL
		}
		p.drop(start, end)
	case AdviceFree:
		if locked || a.file != nil {
			return EINVAL
		}
		p.giveBack(start, end)
	case AdviceRemove:
		switch {
		case locked || a.file == nil:
			return EINVAL
		case a.flags&(vmShared|vmMayWrite) != vmShared|vmMayWrite:
			return EACCES
		case a.page(end-1)+1 > uint64(a.file.object.maxSize)>>pageShift:
			return EFBIG
		}
		return a.file.object.punch(a.page(start), a.page(end-1)+1)
	case AdviceWillNeed:
		if a.file != nil && a.file.object.store != nil {
			a.file.object.prefetch(a.page(start), a.page(end-1)+1)
		}
	case AdviceCold, AdvicePageOut:
		if locked {
			return EINVAL
		}
	}
	return nil
}

// giveBack marks private pages that nobody else shows as no longer needed: until
// they are written to, their bytes may become zeros at any moment.
func (p *Process) giveBack(start, end Addr) {
	for _, e := range p.table.all(start, end) {
		if f := e.frame; f != p.m.zero && len(f.mappers) == 1 {
			f.lazy = true
			e.bits &^= Dirty | Accessed
		}
	}
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

// prefetch reads the pages of [first, last) that are not in memory, as far as
// there is room. A failure is the next access's to tell.
func (o *Object) prefetch(first, last uint64) {
	for i := first; i < min(last, o.end()); i++ {
		if o.pages[i] == nil {
			if _, err := o.load(i); err != nil {
				return
			}
		}
	}
}

// populateAll brings the pages of [start, end) in for reading or for writing.
// It answers EINVAL where the area forbids that, EFAULT where there is nothing
// behind it, ENOMEM at a hole; what lies before is done.
func (p *Process) populateAll(start, end Addr, advice Advice) error {
	how, need := load, vmRead
	if advice == AdvicePopulateWrite {
		how, need = store, vmWrite
	}
	for start < end {
		a := p.at(start)
		switch {
		case a == nil:
			return ENOMEM
		case a.flags&need == 0:
			return EINVAL
		}
		to := min(a.end, end)
		if err := p.faultIn(start, to, how); err != nil {
			return err
		}
		start = to
	}
	return nil
}

// Mincore tells for each page of [addr, addr+n) whether it is in memory: 1 or 0
// in vec, which has a byte a page. addr must be a page border. It answers
// ENOMEM at a hole, with what lies before it told.
func (p *Process) Mincore(addr Addr, n uint64, vec []byte) error {
	p.m.call("mincore")
	if addr != addr.floor() {
		return EINVAL
	}
	if high := p.m.cfg.High; addr > high || n > uint64(high-addr) {
		return ENOMEM
	}
	for i, at := 0, addr; at < addr+Addr(n); i, at = i+1, at+PageSize {
		a := p.at(at)
		if a == nil {
			return ENOMEM
		}
		if i >= len(vec) {
			return EFAULT
		}
		vec[i] = 0
		if e := p.table.lookup(at); e != nil && e.frame != nil || a.file != nil && a.file.object.cached(a.page(at)) != nil {
			vec[i] = 1
		}
	}
	return nil
}

package vmem

import "strconv"

// What a processor does with an address, as the permissions of which one allows
// it: what may be written or executed may be read, since amd64 without
// protection keys can't forbid it.
const (
	load  = vmAccess
	store = vmWrite
	fetch = vmExec
)

// A Signal is what a fault that can't be resolved sends.
type Signal uint8

// The signals of memory accesses, with Linux's numbers.
const (
	SIGBUS  Signal = 7
	SIGSEGV Signal = 11
)

// A Code is the si_code of a signal. The codes of the two signals share
// numbers: read it together with the signal.
type Code uint8

// The codes, with Linux's numbers.
const (
	MAPERR Code = 1   // of SIGSEGV: no area
	ACCERR Code = 2   // of SIGSEGV: the area forbids it
	ADRERR Code = 2   // of SIGBUS: nothing behind the area, or the object failed
	KERNEL Code = 128 // of SIGSEGV: no address at all; Addr is 0 then
)

// A Fault is an access that could not be done: what a process would be told by
// a signal. The address is the first byte that could not be reached.
type Fault struct {
	Signal Signal
	Code   Code
	Addr   Addr
	Err    error // the Store's error, if that is why
}

// Error names the signal, the code and the address.
func (f *Fault) Error() string {
	name := map[Signal]map[Code]string{
		SIGSEGV: {MAPERR: "SIGSEGV (MAPERR)", ACCERR: "SIGSEGV (ACCERR)", KERNEL: "SIGSEGV (SI_KERNEL)"},
		SIGBUS:  {ADRERR: "SIGBUS (ADRERR)"},
	}[f.Signal][f.Code]
	s := name + " at 0x" + strconv.FormatUint(uint64(f.Addr), 16)
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap is the Store's error, or nil.
func (f *Fault) Unwrap() error { return f.Err }

// touch is one access of a processor: through the page table if its entry
// allows it, by a fault if not. The frame is the page of a; it stays valid
// until the next access.
func (p *Process) touch(a Addr, how vmFlags) (*frame, error) {
	e := p.table.lookup(a)
	if e == nil || !e.allows(how) || how == fetch { // no bit of an entry says that
		var err error
		if e, err = p.fault(a, how); err != nil {
			return nil, err
		}
	}
	e.bits |= Accessed
	if how == store {
		e.bits |= Dirty
		e.frame.lazy = false
	}
	return e.frame, nil
}

// inCall is a fault as a call tells it that met it: EFAULT.
func inCall(err error) error {
	if _, ok := err.(*Fault); ok {
		return EFAULT
	}
	return err
}

// signal tells of a fault that can't be resolved.
func (p *Process) signal(kind EventKind, f Fault) error {
	p.m.tell(Event{Kind: kind, Process: p, Addr: f.Addr})
	return &f
}

// fault decides what an access means that the page table did not allow, and
// returns the entry that allows it. This is the whole mechanism:
//
//	not canonical                       SIGSEGV, SI_KERNEL, without the address
//	no area                             SIGSEGV, MAPERR
//	the area forbids it                 SIGSEGV, ACCERR
//	the entry shows a page, and this is a store that it does not allow:
//	    private: the page is its own and nobody else has it    take it (reuse)
//	    private: otherwise                                     copy it (copy-on-write)
//	    shared:                                                now it is dirty (notify)
//	the entry is empty:
//	    no object, a load                                      the page of zeros
//	    no object, a store                                     a fresh page of zeros
//	    beyond the end of the object    SIGBUS, ADRERR
//	    the Store can't read it         SIGBUS, ADRERR
//	    private, a store                                       a copy of the object's page
//	    otherwise                                              the object's page,
//	                                                           minor if it was in memory, major if not
func (p *Process) fault(a Addr, how vmFlags) (*entry, error) {
	ar, e, at := p.at(a), p.table.lookup(a), a.floor()
	var err error
	switch {
	case !a.canonical():
		err = p.signal(FaultSegv, Fault{Signal: SIGSEGV, Code: KERNEL})
	case ar == nil:
		err = p.signal(FaultSegv, Fault{SIGSEGV, MAPERR, a, nil})
	case ar.flags&how == 0:
		err = p.signal(FaultSegv, Fault{SIGSEGV, ACCERR, a, nil})
	case e != nil && e.allows(how): // a fetch
	case e != nil && e.frame != nil:
		err = p.writeProtected(ar, at, e)
	case ar.file == nil:
		err = p.untouched(ar, at, how)
	default:
		err = p.objectPage(ar, a, how)
	}
	return p.table.lookup(a), err
}

// resolved tells of a fault that f was the answer to.
func (p *Process) resolved(kind EventKind, at Addr, f *frame) {
	p.m.tell(Event{Kind: kind, Process: p, Addr: at, Object: f.object, Off: f.off(), Frame: f.number})
}

// writeProtected resolves a store to a page that is there and may not be written.
func (p *Process) writeProtected(ar *area, at Addr, e *entry) error {
	f := e.frame
	switch {
	case !ar.private():
		p.resolved(FaultNotify, at, f)
		f.object.dirty(f)
	case f.object == nil && len(f.mappers) == 1:
		p.resolved(FaultReuse, at, f)
	default:
		return p.copyOnWrite(ar, at, f)
	}
	e.bits |= Writable
	return nil
}

// copyOnWrite gives the process a page of its own with the bytes of f.
func (p *Process) copyOnWrite(ar *area, at Addr, f *frame) error {
	f.held++ // making room must not take away what is copied
	own, err := p.m.newFrame()
	f.held--
	if err != nil {
		return err
	}
	p.space.begin(ar)
	*own.data = *f.data
	ev := Event{Kind: FaultCopy, Process: p, Addr: at, Object: f.object, Off: f.off(), Frame: own.number, From: f.number}
	p.m.tell(ev)
	ev.Kind, ev.N = BytesCopied, PageSize
	p.m.tell(ev)
	if e := p.table.lookup(at); e != nil && e.frame != nil {
		p.hide(at, e)
	}
	p.show(at, own, Present|Writable|Private)
	return nil
}

// untouched resolves the first access to a page of private memory.
func (p *Process) untouched(ar *area, at Addr, how vmFlags) error {
	if how != store {
		p.resolved(FaultZero, at, p.m.zero)
		p.show(at, p.m.zero, Present|Private)
		return nil
	}
	f, err := p.m.zeroFrame(Event{Process: p, Addr: at})
	if err != nil {
		return err
	}
	p.space.begin(ar)
	p.resolved(FaultFresh, at, f)
	p.show(at, f, Present|Writable|Private)
	return nil
}

// objectPage resolves the first access to a page of an object.
func (p *Process) objectPage(ar *area, a Addr, how vmFlags) error {
	o, index, at := ar.file.object, ar.page(a), a.floor()
	if how == store && ar.private() {
		p.space.begin(ar) // before anything can fail, as Linux does
	}
	if index >= o.end() {
		return p.signal(FaultBus, Fault{SIGBUS, ADRERR, a, nil})
	}
	f, missed, err := o.page(index, ar.flags)
	if failed, ok := err.(*storeError); ok {
		return p.signal(FaultBus, Fault{SIGBUS, ADRERR, a, failed.cause})
	} else if err != nil {
		return err
	}
	kind := FaultMinor
	if missed && o.store != nil {
		kind = FaultMajor
	}
	p.resolved(kind, at, f)
	switch {
	case how == store && ar.private():
		return p.copyOnWrite(ar, at, f)
	case how == store:
		o.dirty(f)
		p.show(at, f, Present|Writable)
	case missed:
		p.show(at, f, ar.entryBits(o))
	default:
		return p.mapAround(ar, a)
	}
	return nil
}

// entryBits are those of an entry that shows a page of the object. A store to a
// page that has a Store must be noticed, so that it becomes dirty; one to
// memory alone need not be.
func (ar *area) entryBits(o *Object) Bits {
	if !ar.private() && ar.flags&vmWrite != 0 && o.store == nil {
		return Present | Writable
	}
	return Present
}

// mapAround fills the entry of a, whose page is in memory, and the empty ones
// beside it whose pages are too: the next access to them is no fault. The block
// is aligned, of a power of two, and ends with the area and its lowest level.
func (p *Process) mapAround(ar *area, a Addr) error {
	n := p.m.cfg.FaultAround
	if p.m.Choose.FaultAround != nil {
		if chosen, ok := p.m.Choose.FaultAround(p, a); ok {
			if n = chosen; n < 1 || n > fanout || n&(n-1) != 0 {
				return ErrChoice
			}
		}
	}
	o := ar.file.object
	block := Addr(n) << pageShift
	start := max(a&^(block-1), ar.start)
	end := min(start+block, ar.end, (a|(fanout<<pageShift-1))+1)
	for at := start; at < end && ar.page(at) < o.end(); at += PageSize {
		if e := p.table.lookup(at); e != nil && e.frame != nil {
			continue
		}
		if f := o.cached(ar.page(at)); f != nil {
			p.show(at, f, ar.entryBits(o))
		}
	}
	return nil
}

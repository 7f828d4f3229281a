package vmem

import "slices"

// Fork returns a copy of the process. Areas are copied, pages are not: private
// ones are shown by both, read-only, until one of them stores. Pages that any
// fault finds again are left to faults, as Linux does. Locks are not inherited.
func (p *Process) Fork() *Process {
	p.m.call("fork")
	child := p.m.Spawn()
	child.Limits, child.IPCLock = p.Limits, p.IPCLock
	for _, a := range p.areas {
		if a.flags&vmDontCopy != 0 {
			continue
		}
		copied := *a
		copied.flags &^= vmLockFlags
		copied.lineage = nil
		child.link(&copied)
		if a.flags&vmWipeOnFork != 0 || a.lineage == nil {
			continue
		}
		copied.lineage = &lineage{inherited: true}
		for at, e := range p.table.all(a.start, a.end) {
			e.bits &^= Writable // neither may store from now on: the first who does copies
			child.show(at, e.frame, e.bits&^(Accessed|Dirty))
		}
	}
	return child
}

// Exit ends the process: everything is unmapped. Its calls must not be used
// any more.
func (p *Process) Exit() {
	p.m.call("exit")
	p.drop(0, p.m.cfg.High)
	p.space = space{}
	p.m.processes = slices.DeleteFunc(p.m.processes, func(q *Process) bool { return q == p })
}

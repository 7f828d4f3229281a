package vmem

// SyncFlags are msync's flags.
type SyncFlags int

// The flags of msync, with Linux's numbers. Linux takes neither SyncAsync nor
// SyncNow, too.
const (
	SyncAsync      SyncFlags = 1 // MS_ASYNC: does nothing, write-back comes by itself
	SyncInvalidate SyncFlags = 2 // MS_INVALIDATE: only refuses locked areas
	SyncNow        SyncFlags = 4 // MS_SYNC: write and make durable
)

// Msync with SyncNow writes the dirty pages of the shared areas in
// [addr, addr+n) to their Stores and makes them durable. Private areas are
// passed over. addr must be a page border, n is rounded up. It answers EBUSY
// for SyncInvalidate on a locked area, EIO for what could not be written, and
// ENOMEM for holes, after the rest is done.
func (p *Process) Msync(addr Addr, n uint64, flags SyncFlags) error {
	p.m.call("msync")
	if flags&^(SyncAsync|SyncInvalidate|SyncNow) != 0 || addr != addr.floor() ||
		flags&(SyncAsync|SyncNow) == SyncAsync|SyncNow {
		return EINVAL
	}
	start, end := addr, addr+Addr(n).ceil()
	if end < start {
		return ENOMEM
	}
	var hole error
	for start < end {
		a := p.first(start)
		if a == nil {
			return ENOMEM
		}
		if a.start > start {
			if flags == SyncAsync {
				return ENOMEM
			}
			if start = a.start; start >= end {
				return ENOMEM
			}
			hole = ENOMEM
		}
		if flags&SyncInvalidate != 0 && a.flags&vmLocked != 0 {
			return EBUSY
		}
		to := min(a.end, end)
		if flags&SyncNow != 0 && a.file != nil && !a.private() {
			if err := a.file.object.sync(a.file, a.page(start), a.page(to-1)+1); err != nil {
				return err
			}
		}
		start = a.end
	}
	return hole
}

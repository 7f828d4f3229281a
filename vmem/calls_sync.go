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
	end := addr + Addr(n).ceil()
	switch {
	case flags&^(SyncAsync|SyncInvalidate|SyncNow) != 0, addr != addr.floor(),
		flags&(SyncAsync|SyncNow) == SyncAsync|SyncNow:
		return EINVAL
	case end < addr:
		return ENOMEM
	}
	var hole error
	for part := range p.parts(addr, end) {
		if part == nil {
			hole = ENOMEM
			continue
		}
		if flags&SyncInvalidate != 0 && part.flags&vmLocked != 0 {
			return EBUSY
		}
		if flags&SyncNow != 0 && part.file != nil && !part.private() {
			if err := part.file.object.sync(part.file, part.pgoff, part.pgoff+part.pages()); err != nil {
				return err
			}
		}
	}
	return hole
}

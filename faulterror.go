package mmap

import (
	"errors"
	"io/fs"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

var errUnknownFault = errors.New("unknown cause")

// faultError finds out why the page at addr can't be had. The signal does not
// tell, so the object is asked again: its size, the page's protection, its
// blocks, its bytes. The caller is inside the gate.
func (m *Mapping) faultError(addr uintptr, store bool) *FaultError {
	statistics.faults.Add(1)
	at := page.Down(int64(addr-m.area.base), m.pageSize)
	off := m.filePage(int(at))
	if m.fd < 0 {
		off = max(0, at-int64(m.delta))
	}
	return &FaultError{Off: off, Err: m.causeOfFault(addr, off, store), anonymous: m.fd < 0}
}

func (m *Mapping) causeOfFault(addr uintptr, off int64, store bool) error {
	prot, known := protectionAt(addr)
	if known && (prot&ProtRead == 0 || store && prot&ProtWrite == 0) {
		return because(fs.ErrPermission, "the page is protected %v", prot)
	}
	if m.fd < 0 {
		return errUnknownFault
	}
	st, err := sys.Fstat(m.fd)
	if err != nil {
		return err
	}
	if st.Kind == sys.Regular && off >= st.Size {
		return because(ErrPastEnd, "the file has %d bytes now", st.Size)
	}
	if _, err := sys.Pread(m.fd, make([]byte, 1), off); err != nil {
		return err
	}
	if m.opt.Access == ReadWrite {
		// The page can be read, so it was a store. A hole needs a block, and
		// asking for one tells whether the disk has it.
		if err := sys.Allocate(m.fd, off, int64(m.pageSize)); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if known && prot&ProtWrite == 0 {
		return because(fs.ErrPermission, "a store to a page that is protected %v", prot)
	}
	return errUnknownFault
}

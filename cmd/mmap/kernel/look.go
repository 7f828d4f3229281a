package kernel

import (
	"encoding/binary"
	"os"
	"slices"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/internal/tracee"
	"github.com/memwright/mmap/vmem"
)

// An Area is a line of /proc/PID/maps.
type Area = tracee.Area

// An Entry is what /proc/PID/pagemap tells of a page.
type Entry = tracee.PTE

// Areas are those that the script has made in a process.
func (m *Machine) Areas(name string) ([]Area, error) {
	return on(m, func() ([]Area, error) {
		p, err := m.process(name)
		if err != nil {
			return nil, err
		}
		areas, err := p.Areas()
		return slices.DeleteFunc(areas, func(a Area) bool {
			return slices.Contains(ownPages, a.Start) || a.Path == "[vsyscall]"
		}), err
	})
}

// Locked is VmLck of /proc/PID/status, in bytes.
func (m *Machine) Locked(name string) (uint64, error) {
	return on(m, func() (uint64, error) {
		p, err := m.process(name)
		if err != nil {
			return 0, err
		}
		pages, err := p.Locked()
		return uint64(pages) * vmem.PageSize, err
	})
}

// Entries looks n pages up from addr on, and touches none.
func (m *Machine) Entries(name string, addr vmem.Addr, n int) ([]Entry, error) {
	return on(m, func() ([]Entry, error) {
		p, err := m.process(name)
		if err != nil {
			return nil, err
		}
		return p.Pages(nil, uint64(addr), n)
	})
}

// Page has the process load a whole page. It answers false where that is
// refused by a signal.
func (m *Machine) Page(name string, addr vmem.Addr) (content script.Content, readable bool, err error) {
	page, err := on(m, func() ([]byte, error) {
		p, err := m.process(name)
		if err != nil {
			return nil, err
		}
		page := make([]byte, vmem.PageSize)
		if _, err = p.Peek(page, uint64(addr)); err != nil {
			page = nil
		}
		if _, fault := err.(*tracee.Fault); fault {
			err = nil
		}
		return page, err
	})
	if page == nil || err != nil {
		return script.Content{}, false, err
	}
	return script.ContentOf(page), true, nil
}

// A Stored file is its size and its pages, the last one maybe shorter. A page is
// nil that is not in memory, and would come there if it were read.
type Stored struct {
	Size  int64
	Pages [][]byte
}

// File is what reads of a file give; with whole, all of it.
func (m *Machine) File(name string, whole bool) (Stored, error) {
	return on(m, func() (s Stored, err error) {
		f, err := os.Open(m.path(name))
		if err != nil {
			return s, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return s, err
		}
		s.Size = info.Size()
		for off := int64(0); off < s.Size; off += vmem.PageSize {
			page := make([]byte, min(s.Size-off, vmem.PageSize))
			if in, _, known := m.cached(name, off, vmem.PageSize); known && in == 0 && !whole {
				page = nil
			}
			if _, err := f.ReadAt(page, off); err != nil {
				return s, err
			}
			s.Pages = append(s.Pages, page)
		}
		return s, nil
	})
}

// Cached is how many pages of a part of a file are in memory, and how many of
// them the disk does not have yet. It answers false where the kernel does not
// tell. A length of 0 is to the end.
func (m *Machine) Cached(name string, off, n int64) (pages, dirty uint64, known bool) {
	on(m, func() (any, error) {
		pages, dirty, known = m.cached(name, off, n)
		return nil, nil
	})
	return pages, dirty, known
}

// cached asks cachestat(2), since Linux 6.5.
func (m *Machine) cached(name string, off, n int64) (pages, dirty uint64, known bool) {
	fd, err := m.descriptor(&m.root, name)
	if err != nil {
		return 0, 0, false
	}
	page, le := m.rig.Scratch(), binary.LittleEndian
	le.PutUint64(page[0:], uint64(off))
	le.PutUint64(page[8:], uint64(n))
	if _, err := m.root.Syscall(tracee.SysCachestat, fd, tracee.Scratch, tracee.Scratch+16, 0); err != nil {
		return 0, 0, false
	}
	return le.Uint64(page[16:]), le.Uint64(page[24:]) + le.Uint64(page[32:]), true // nr_cache, nr_dirty, nr_writeback
}

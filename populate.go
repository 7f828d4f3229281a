package mmap

import (
	"context"
	"errors"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/sys"
)

// populateBytes is how much one system call of Populate brings in, and so how
// finely a context can interrupt it: a disk of 100 MB/s takes 20 ms for it.
const populateBytes = 2 << 20

// Populate brings every page that the n bytes from off touch into memory and
// into this mapping's page table, by system calls: other goroutines run
// meanwhile, and a page that can't be had is an error with a FaultError in it
// that names the page. It reads, so that no page of a file becomes dirty. ctx is
// looked at every 2 MiB.
//
// It uses MADV_POPULATE_READ (Linux 5.14). Where the kernel refuses that, the
// pages of a file are read into the page cache instead and mapped at the first
// touch, and anonymous pages are touched.
func (m *Mapping) Populate(ctx context.Context, off int64, n int) error {
	s, err := m.enterRange("populate", off, n)
	if err != nil {
		return err
	}
	defer m.gate.leave(s, anAccess)
	if err := m.populate(ctx, off, n); err != nil {
		return m.fail("populate", off, n, err)
	}
	return nil
}

// populate is Populate inside the gate, with a checked range.
func (m *Mapping) populate(ctx context.Context, off int64, n int) error {
	step := max(populateBytes, m.pageSize)
	for at, end := int(off), int(off)+n; at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := min(end, (at+m.delta)/step*step+step-m.delta)
		if err := m.populateStep(int64(at), next-at); err != nil {
			return err
		}
		if m.isCold() {
			m.believe(int64(at), next-at, false)
		}
		at = next
	}
	return nil
}

// populateStep brings in at most one step.
func (m *Mapping) populateStep(off int64, n int) error {
	addr, length := m.pages(off, n)
	err := sys.Madvise(addr, length, sys.MADV_POPULATE_READ)
	switch err {
	case nil:
		return nil
	case error(sys.EFAULT), error(sys.ENOMEM):
		if cause := m.firstBadPage(off, n); cause != nil {
			return cause
		}
		return sys.Madvise(addr, length, sys.MADV_POPULATE_READ) // it was transient
	}
	// Before Linux 5.14 (EINVAL), under a filter (EPERM, ENOSYS), or not Linux.
	return m.firstBadPage(off, n)
}

// firstBadPage goes through the range page by page and tells the first that
// can't be had. It reads a file's page by a system call before it touches it,
// because a page whose reading fails slowly would never come back from a touch:
// the runtime's signals make the kernel start the read again.
func (m *Mapping) firstBadPage(off int64, n int) error {
	var b [1]byte
	for at, end := int(off), int(off)+n; at < end; at = (at+m.delta)/m.pageSize*m.pageSize + m.pageSize - m.delta {
		if m.fd >= 0 {
			pageOff := m.filePage((at + m.delta) / m.pageSize * m.pageSize)
			if _, err := sys.Pread(m.fd, b[:], pageOff); errors.Is(err, error(sys.EIO)) {
				return m.fileFault(pageOff-m.opt.Offset, err)
			}
		}
		if addr, faulted := fault.Copy(b[:], m.slice(int64(at), 1), m.area.base, m.area.span); faulted {
			return m.faultError(addr, false)
		}
	}
	return nil
}

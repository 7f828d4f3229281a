package mmap

import (
	"io"
	"io/fs"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/page"
)

// View calls fn with the n bytes from off. While fn runs the mapping can't be
// closed or resized, and a memory fault on them in this goroutine ends fn and
// becomes an [Error] with a [FaultError] in it. fn's own error is returned as
// it is; a panic of fn passes through.
//
// p must not be kept, nor values that point into it. What the guard can't
// catch: an access by another goroutine, by C code, in a channel operation, or
// in a map insert that compares a key in p; copy the bytes out first. Storing to
// p works where the mapping is writable, and nothing is synced: see WriteView.
func (m *Mapping) View(off int64, n int, fn func(p []byte) error) error {
	return m.withView("view", off, n, fn)
}

// WriteView is View for stores to a file: after fn has returned nil, the range
// is synced as by SyncRange with SyncWait. On an error nothing is undone and
// nothing is synced: stores that were made remain in the page cache.
//
// It needs a ReadWrite mapping of a file: for private memory, use View.
func (m *Mapping) WriteView(off int64, n int, fn func(p []byte) error) error {
	if err := m.mayStore(); err != nil {
		return m.fail("write view", off, n, err)
	}
	if !m.syncs() {
		return m.fail("write view", off, n, because(ErrNoFile, "nothing could be synced; use View"))
	}
	if err := m.withView("write view", off, n, fn); err != nil {
		return err
	}
	return m.SyncRange(off, n, SyncWait)
}

// withView holds a view out while fn runs. Its name is what Close looks for on
// its own stack.
func (m *Mapping) withView(op string, off int64, n int, fn func(p []byte) error) error {
	s, err := m.enterAs(aView, op, off, n)
	if err != nil {
		return err
	}
	defer m.gate.leave(s, aView)
	p := m.slice(off, n)
	addr, faulted, err := fault.Call(m.area.base, m.area.span, func() error { return fn(p) })
	if faulted {
		return m.fail(op, off, n, m.faultError(addr, false))
	}
	return err
}

// ReadAt copies the bytes from off into p (io.ReaderAt). At the mapping's end
// it returns what there is and io.EOF. A page that can't be had is an error, and
// the bytes before that page are in p.
func (m *Mapping) ReadAt(p []byte, off int64) (int, error) {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return 0, m.fail("read", off, len(p), err)
	}
	defer m.gate.leave(s, anAccess)
	if off < 0 {
		return 0, m.fail("read", off, len(p), because(ErrOutOfRange, "mapping of %d bytes", m.area.length))
	}
	if off >= int64(m.area.length) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := min(len(p), m.area.length-int(off))
	if _, faulted := fault.Copy(p[:n], m.slice(off, n), m.area.base, m.area.span); faulted {
		if good, addr := m.copyPages(p[:n], off, false); good < n {
			return good, m.fail("read", off, len(p), m.faultError(addr, false))
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p to the mapping from off (io.WriterAt): into the page cache
// for ReadWrite, into private copies for CopyOnWrite. It never extends the
// mapping: a p that does not fit is refused whole. A page that can't be had is
// an error, and the bytes before that page are stored.
func (m *Mapping) WriteAt(p []byte, off int64) (int, error) {
	if err := m.mayStore(); err != nil {
		return 0, m.fail("write", off, len(p), err)
	}
	s, err := m.enterRange("write", off, len(p))
	if err != nil {
		return 0, err
	}
	defer m.gate.leave(s, anAccess)
	if _, faulted := fault.Copy(m.slice(off, len(p)), p, m.area.base, m.area.span); faulted {
		if good, addr := m.copyPages(p, off, true); good < len(p) {
			return good, m.fail("write", off, len(p), m.faultError(addr, true))
		}
	}
	return len(p), nil
}

// copyPages repeats a copy that faulted, page by page, and tells how many bytes
// came through before the first page that can't be had, and an address in that
// page. A block copy that faults tells neither: it need not start at its first
// byte.
func (m *Mapping) copyPages(p []byte, off int64, store bool) (good int, addr uintptr) {
	for i := 0; i < len(p); {
		j := min(len(p), i+m.pageSize-page.Delta(off+int64(i)+int64(m.delta), m.pageSize))
		dst, src := p[i:j], m.slice(off+int64(i), j-i)
		if store {
			dst, src = src, dst
		}
		if addr, faulted := fault.Copy(dst, src, m.area.base, m.area.span); faulted {
			return i, addr
		}
		i = j
	}
	return len(p), 0 // the page has come back meanwhile
}

// mayStore refuses stores that the mapping was not made for.
func (m *Mapping) mayStore() error {
	if m.opt.Access == ReadOnly || m.opt.Access == NoAccess && m.fd >= 0 {
		return because(fs.ErrPermission, "the mapping is %v", m.opt.Access)
	}
	return nil
}

package mmap

import (
	"io"
	"io/fs"
	"iter"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/invariant"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// View calls fn with the n bytes from off. While fn runs the mapping can't be
// closed or resized, and a memory fault on them in this goroutine ends fn and
// becomes an [Error] with a [FaultError] in it. fn's own error is returned as
// it is; a panic of fn passes through.
//
// The guard covers the whole mapping, so fn may also use what [Slice] gave.
//
// A View of a file spans at most ViewBytes: all of it is brought in before fn
// runs, by calls that hold up nobody else. See [Mapping.Windows].
//
// fn may use the mapping, but must not wait for another goroutine that does: a
// Protect, Lock or Close that waits for this View keeps that one waiting.
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

// ViewBytes is the most that one View of a file may span: what it brings in must
// still be in memory when it is used. [Mapping.Windows] cuts a larger range.
const ViewBytes = 64 << 20

// withView holds a view out while fn runs. Its name is what Close looks for on
// its own stack. One deferred call does what has to be done at the end in any
// case: each costs two nanoseconds.
func (m *Mapping) withView(op string, off int64, n int, fn func(p []byte) error) (err error) {
	s, err := m.gate.enter(aView)
	if err != nil {
		return m.fail(op, off, n, err)
	}
	if !page.Within(off, n, m.area.length) {
		return m.outside(s, aView, op, off, n)
	}
	if invariant.Enabled {
		defer m.gate.hold()()
	}
	done, armed := false, fault.Arm()
	defer func() {
		armed.Disarm()
		if done {
			m.gate.leave(s, aView)
			return
		}
		defer m.gate.leave(s, aView)
		if addr, faulted := fault.Caught(recover(), m.area.base, m.area.span); faulted {
			err = m.fail(op, off, n, m.faultError(addr, false))
		}
	}()
	if n > 0 && m.isCold() && (n > ViewBytes || !m.believed(s, off, n)) {
		err = m.bringInView(op, off, n)
	}
	if err == nil {
		m.handOut()
		err = fn(m.slice(off, n))
	}
	done = true
	return err
}

// bringInView has what a View of a file shows in memory.
func (m *Mapping) bringInView(op string, off int64, n int) error {
	if n > ViewBytes {
		return m.fail(op, off, n, because(ErrViewTooLarge, "at most %d bytes at once; walk the range with Windows(off, n, size)", ViewBytes))
	}
	return m.failIf(op, off, n, m.bringIn(off, n))
}

// Windows cuts the n bytes from off into pieces of size bytes, the first shorter
// so that the others begin at multiples of size in the file, and yields each one's
// offset and length:
//
//	for off, n := range m.Windows(0, m.Len(), 1<<20) {
//		if err := m.View(off, n, fn); err != nil {
//
// size is rounded down to a multiple of the page, and lies between a page and
// ViewBytes, which is less than the largest huge page. Windows looks at no memory, and yields nothing for an n that is not
// positive.
func (m *Mapping) Windows(off int64, n, size int) iter.Seq2[int64, int] {
	size = min(max(size/m.pageSize, 1)*m.pageSize, ViewBytes)
	return func(yield func(int64, int) bool) {
		for n > 0 {
			piece := min(n, size-int((off+int64(m.delta))%int64(size)))
			if !yield(off, piece) {
				return
			}
			off, n = off+int64(piece), n-piece
		}
	}
}

// ViewOf is View for n values of type T from byte offset off, with the conditions
// of [Slice]: aligned, in range, no Go pointers in T.
func ViewOf[T any](m *Mapping, off int64, n int, fn func(v []T) error) error {
	size, err := sizeOf[T](m, "view", off, n)
	if err != nil {
		return err
	}
	return m.withView("view", off, n*size, func(p []byte) error {
		if err := aligned[T](m, off, len(p)); err != nil {
			return m.fail("view", off, len(p), err)
		}
		return fn(mem.Slice[T](mem.AddrOf(p), n))
	})
}

// ReadAt copies the bytes from off into p (io.ReaderAt). At the mapping's end
// it returns what there is and io.EOF. A page that can't be had is an error, and
// n counts the bytes before that page, which are in p.
//
// Bytes that are not known to be in memory are read by a call, so that nobody
// else waits for the disk. On an error what lies behind n bytes in p is undefined.
func (m *Mapping) ReadAt(p []byte, off int64) (n int, err error) {
	if sys.StoresInOrder && m.glance(p, off) {
		return len(p), nil
	}
	return m.readInside(p, off)
}

// readInside is ReadAt by way of the gate.
func (m *Mapping) readInside(p []byte, off int64) (n int, err error) {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return 0, m.fail("read", off, len(p), err)
	}
	defer m.gate.leave(s, anAccess)
	switch {
	case off < 0:
		return 0, m.fail("read", off, len(p), because(ErrOutOfRange, "mapping of %d bytes", m.area.length))
	case len(p) == 0:
		return 0, nil
	case off >= int64(m.area.length):
		return 0, io.EOF
	}
	want := min(len(p), m.area.length-int(off))
	switch {
	case want >= callBytes && m.isCold() && m.fileShowsMemory():
		n, err = m.readLarge(p[:want], off)
	case m.isCold() && !m.believed(s, off, want):
		n, err = m.readCold(p[:want], off)
	default:
		n, err = m.readMemory(p[:want], off)
	}
	if err != nil {
		return n, m.fail("read", off, len(p), err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// glance is ReadAt without entering: it copies, and then looks whether the area is
// still the one that it copied from. That takes no locked operation, so it lets the
// processor go on with the next read while this one waits for memory. It reports
// false if the bytes may not be relied on, or if there is more to it; then ReadAt
// begins anew, inside the gate.
//
// An excluder hides the area before it changes anything, by a locked store, and
// removing a page from a page table reaches every processor before munmap, mremap
// or mprotect returns. So a load that found something else at these addresses came
// after the area was hidden. This machine keeps its loads in order: the look at
// the end comes later still, and sees that. On a machine which does not, and under the
// race detector, there is no glance.
//
// Until it has looked, p may hold anything: what was unmapped meanwhile and what was
// mapped there since. io.ReaderAt lets all of p be used as scratch space, and here it is
// cleared, so that a caller who is told an error finds zeros. A fault at stale
// addresses is caught as any other. What is not excluded is that the load of a
// goroutine which was stopped just here touches a page of somebody else: it may have
// to wait for that page's disk or its userfaultfd, with the P in its hand, and of a
// device's registers that react to being read it is a read.
func (m *Mapping) glance(p []byte, off int64) (good bool) {
	a := m.gate.shown.Load()
	if a == nil || len(p) == 0 || len(p) > glanceBytes || off < 0 || off > int64(a.length-len(p)) {
		return false
	}
	if m.isCold() {
		if s := nearestSeat(); s.passed() {
			tick()
		}
		if !m.presence.holds(m.pageRange(off, len(p))) {
			return false
		}
	}
	armed := fault.Arm()
	defer func() {
		armed.Disarm()
		if !good {
			fault.Caught(recover(), a.base, a.span)
			fault.Clear(p, a.base, a.span)
		}
	}()
	copy(p, mem.Bytes(a.base+uintptr(m.delta)+uintptr(off), len(p)))
	return m.gate.shown.Load() == a
}

// callBytes is from where on a file call reads what is in memory too: it then costs as
// little as the copy, less where the page table's entries are not in the processor's
// caches, since the kernel copies by larger ones, and it gives the P away if it lasts.
const callBytes = 512 << 10

// glanceBytes is the most that is read without entering: from here on the price of
// entering is nothing.
const glanceBytes = 32 << 10

// readMemory copies from memory, inside the gate.
func (m *Mapping) readMemory(p []byte, off int64) (int, error) {
	if _, faulted := fault.Copy(p, m.slice(off, len(p)), m.area.base, m.area.span); faulted {
		if good, addr := m.copyPages(p, off, false); good < len(p) {
			return good, m.faultError(addr, false)
		}
	}
	return len(p), nil
}

// WriteAt copies p to the mapping from off (io.WriterAt): into the page cache
// for ReadWrite, into private copies for CopyOnWrite. It never extends the
// mapping: a p that does not fit is refused whole. A page that can't be had is
// an error, and n counts the bytes before that page, which are stored.
//
// Pages of a file that were not written a moment ago are written by a call, so
// that nobody else waits for a slow, frozen or full disk.
func (m *Mapping) WriteAt(p []byte, off int64) (n int, err error) {
	if err := m.mayStore(); err != nil {
		return 0, m.fail("write", off, len(p), err)
	}
	s, err := m.enterRange("write", off, len(p))
	if err != nil {
		return 0, err
	}
	defer m.gate.leave(s, anAccess)
	if m.writesFile(s, off, len(p)) {
		n, err = m.writeCold(p, off)
	} else {
		n, err = m.writeMapped(s, p, off)
	}
	return n, m.failIf("write", off, len(p), err)
}

// writeMapped is WriteAt where a file call can't stand in for the stores, or need
// not: the pages are in memory first. The caller is inside the gate.
func (m *Mapping) writeMapped(s *seat, p []byte, off int64) (int, error) {
	if m.isCold() && len(p) > 0 && !m.believed(s, off, len(p)) {
		if err := m.bringIn(off, len(p)); err != nil {
			return m.before(p, off, err, m.writeMemory)
		}
	}
	return m.writeMemory(p, off)
}

// writeMemory copies to memory, inside the gate.
func (m *Mapping) writeMemory(p []byte, off int64) (int, error) {
	if _, faulted := fault.Copy(m.slice(off, len(p)), p, m.area.base, m.area.span); faulted {
		if good, addr := m.copyPages(p, off, true); good < len(p) {
			return good, m.faultError(addr, true)
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

package mmap

import (
	"context"
	"math"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// A Mapping is a range of memory that shows a file, another object, or memory
// of its own. Its methods may be called from any goroutine at any time, Close
// included.
type Mapping struct {
	path string
	opt  Options // as resolved: Access is never DefaultAccess
	stat sys.Stat
	fd   int // descriptor of the object, -1 for private anonymous memory
	dir  int // directory whose entry Sync still has to make durable, -1 when none

	pageSize int // bytes; the huge page size for memory from the pool
	delta    int // from the first mapped byte to the mapping's first byte: Offset in its page

	// inode is shared by every live mapping that may sync the same file; nil
	// for those that may not.
	inode       *inode
	entrySynced atomic.Bool // the directory entry of a file that Create made is durable
	shrunk      atomic.Bool // Resize gave pages back that may hold stores which no Sync has covered

	// parent is the reservation that this mapping was placed into by
	// FixedReplace; tenants counts those placed into this one.
	parent  *Mapping
	tenants atomic.Int32

	unreadable atomic.Bool  // Protect has taken the reading of some page away
	unwritable atomic.Bool  // Protect has taken the writing of some page away
	handedOut  atomic.Bool  // memory, or its address, has been given to the user
	coherence  atomic.Int32 // what coherent found out, 0 before
	direct     bool         // file calls on fd go past the page cache (O_DIRECT)
	appends    bool         // writes to fd go to the file's end (O_APPEND)
	onlyWaits  atomic.Bool  // file calls on fd always wait for the disk (no RWF_NOWAIT)
	pageShift  uint8        // log2 of pageSize

	presence presence
	tracked  bool      // it is counted, and the collector watches over it
	madeBy   []uintptr // the stack that made it, while drops are reported
	gate     gate
	area     area
}

// area is where the mapping lies. It changes only while the gate keeps everyone
// out, and is read only inside the gate.
type area struct {
	base     uintptr // first mapped byte, page-aligned; 0 when nothing is mapped
	span     int     // mapped bytes, whole pages
	reserved int     // address space held from base, at least span
	length   int     // the mapping's length: what the user sees, from base+delta
}

// show shows the area as it is now to those who look at it from outside the gate.
func (m *Mapping) show() {
	a := m.area
	m.gate.shown.Store(&a)
}

// reopen ends an exclusion that may have changed the area.
func (m *Mapping) reopen() {
	a := m.area
	m.gate.reopen(&a)
}

// Addr is the address of the mapping's first byte: what mmap returned, adjusted
// to Offset. It is 0 for a mapping that is empty or closed. Resize may change it
// unless Reserve holds the space.
func (m *Mapping) Addr() uintptr {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return 0
	}
	defer m.gate.leave(s, anAccess)
	if m.area.base == 0 || m.area.length == 0 && m.area.reserved == 0 {
		return 0
	}
	m.handOut()
	return m.area.base + uintptr(m.delta)
}

// Len is the mapping's length in bytes, 0 when it is closed.
func (m *Mapping) Len() int {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return 0
	}
	defer m.gate.leave(s, anAccess)
	return m.area.length
}

// Span is the page-rounded range of addresses that is mapped: the address of
// its first byte and its length in bytes. Both are 0 when nothing is mapped.
func (m *Mapping) Span() (addr uintptr, length int) {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return 0, 0
	}
	defer m.gate.leave(s, anAccess)
	if m.area.span == 0 {
		return 0, 0
	}
	m.handOut()
	return m.area.base, m.area.span
}

// PageSize is the size in bytes of the mapping's pages: the system's page size,
// or the huge page size for memory from the pool of huge pages.
func (m *Mapping) PageSize() int { return m.pageSize }

// Access tells how the mapping was made.
func (m *Mapping) Access() Access { return m.opt.Access }

// Name is the file's name as it was given, "" for anonymous memory.
func (m *Mapping) Name() string { return m.path }

// Bytes is the mapping's memory: no copy, no check, the speed of a pointer. It
// is borrowed and unguarded, and nil when the mapping is closed:
//
//   - after Close, or a Resize that shrinks or moves, an access through it
//     faults or, worse, reads what has been mapped there since;
//   - an access to a page that can't be had (the file was truncated, the disk
//     failed or is full) kills the process with SIGBUS;
//   - a store to a read-only mapping kills it with SIGSEGV;
//   - an access to a page that is not in memory keeps the goroutine's P until
//     the disk has answered.
//
// View, WriteView, ReadAt and WriteAt have none of the first three.
func (m *Mapping) Bytes() []byte {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return nil
	}
	defer m.gate.leave(s, anAccess)
	m.handOut()
	return m.slice(0, m.area.length)
}

// Slice is n values of type T from byte offset off of the mapping, without a
// copy. off must suit T's alignment at the mapping's address, the values must
// lie within the mapping, and T must hold no Go pointer at any depth, since the
// collector does not look into mapped memory. It is as unguarded as [Mapping.Bytes].
// The values are in the machine's byte order.
func Slice[T any](m *Mapping, off int64, n int) ([]T, error) {
	size, err := sizeOf[T](m, "slice", off, n)
	if err != nil {
		return nil, err
	}
	s, err := m.enterRange("slice", off, n*size)
	if err != nil {
		return nil, err
	}
	defer m.gate.leave(s, anAccess)
	if err := aligned[T](m, off, n*size); err != nil {
		return nil, m.fail("slice", off, n*size, err)
	}
	m.handOut()
	return mem.Slice[T](m.area.base+uintptr(m.delta)+uintptr(off), n), nil
}

// sizeOf is the size of a T, if n of them can be looked at in mapped memory and
// their size can be told.
func sizeOf[T any](m *Mapping, op string, off int64, n int) (size int, err error) {
	size, _ = mem.Layout[T]()
	switch {
	case !mem.PointerFree[T]():
		err = invalid("type %T holds Go pointers, which the garbage collector would not see", *new(T))
	case n < 0 || size > 0 && n > math.MaxInt/size:
		err = because(ErrOutOfRange, "%d values of %d bytes", n, size)
	}
	return size, m.failIf(op, off, n, err)
}

// aligned refuses an offset that does not suit T. No bytes are aligned wherever
// they are.
func aligned[T any](m *Mapping, off int64, bytes int) error {
	_, align := mem.Layout[T]()
	if bytes == 0 || (int64(m.delta)+off)%int64(align) == 0 { // the base is page-aligned
		return nil
	}
	return invalid("offset %d is not aligned to %d bytes at this address", off, align)
}

// File is a new descriptor of what is behind the mapping, to hand to another
// process. The caller closes it. It shares the mapping's open file description,
// and so the kernel's one report of a failed write-out: do not fsync it.
func (m *Mapping) File() (*os.File, error) {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return nil, m.fail("file", 0, 0, err)
	}
	defer m.gate.leave(s, anAccess)
	if m.fd < 0 {
		return nil, m.fail("file", 0, 0, because(ErrNoFile, "private anonymous memory has no descriptor; use Shared"))
	}
	fd, err := sys.Dup(m.fd)
	if err != nil {
		return nil, m.fail("file", 0, 0, err)
	}
	name := m.path
	if name == "" {
		name = "memfd:mmap"
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Close unmaps. It waits until the accesses and views that are inside have
// left; those that come later get fs.ErrClosed, and so does a second Close. It
// does not sync: what was stored through a shared mapping is in the page cache
// and will be written out, but not before any particular moment. Private copies
// are lost.
//
// Called inside a View on the same goroutine, while views of this mapping are
// out, it fails with ErrBusy instead of waiting for itself; so it does while
// other mappings stand inside this one (FixedReplace).
//
// Slices from Bytes and Slice must not be used any more: see there.
func (m *Mapping) Close() error { return m.CloseContext(context.Background()) }

// CloseContext is Close that gives up when ctx ends, with ctx's error. The
// mapping then stays open; accesses made in between have got fs.ErrClosed.
func (m *Mapping) CloseContext(ctx context.Context) error {
	if m.tenants.Load() > 0 {
		return m.fail("close", 0, 0, because(ErrBusy, "%d mappings stand inside this reservation", m.tenants.Load()))
	}
	if err := m.gate.exclude(ctx, stateClosing, insideView); err != nil {
		return m.fail("close", 0, 0, m.gate.explain(err))
	}
	if m.tenants.Load() > 0 {
		m.reopen()
		return m.fail("close", 0, 0, because(ErrBusy, "%d mappings stand inside this reservation", m.tenants.Load()))
	}
	reserved := m.area.reserved
	if err := m.unmap(); err != nil { // the memory is still there: so is the mapping
		m.reopen()
		return m.fail("close", 0, 0, err)
	}
	m.untrack(reserved)
	m.leaveInode()
	m.release()
	m.gate.shut()
	return nil
}

// release closes the descriptors. Nothing is lost by an error of close here:
// the kernel frees the descriptor in any case, and data is Sync's business.
func (m *Mapping) release() {
	if m.fd >= 0 {
		sys.Close(m.fd)
	}
	if m.dir >= 0 {
		sys.Close(m.dir)
	}
}

// insideView reports whether the calling goroutine is inside a call that holds
// a view out, of whichever mapping.
func insideView() bool {
	var pcs [64]uintptr
	for skip := 2; ; {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for n > 0 {
			f, more := frames.Next()
			if f.Function == viewFrame {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
		skip += n
	}
}

const viewFrame = "github.com/memwright/mmap.(*Mapping).withView"

// slice is n bytes of the mapping from off. The caller is inside the gate and
// has checked the range. The slice has no spare capacity.
func (m *Mapping) slice(off int64, n int) []byte {
	return mem.Bytes(m.area.base+uintptr(m.delta)+uintptr(off), n)
}

// pages is the page-rounded range of addresses that n bytes from off touch.
func (m *Mapping) pages(off int64, n int) (addr, length uintptr) {
	if n == 0 {
		return m.area.base, 0
	}
	r, _ := page.Outward(page.Range{Off: off + int64(m.delta), Len: int64(n)}, m.pageSize)
	return m.area.base + uintptr(r.Off), uintptr(r.Len)
}

// enterRange lets a short access in and checks its range.
func (m *Mapping) enterRange(op string, off int64, n int) (*seat, error) {
	return m.enterAs(anAccess, op, off, n)
}

// enterAs lets an access or a view in and checks its range.
func (m *Mapping) enterAs(what uint64, op string, off int64, n int) (*seat, error) {
	s, err := m.gate.enter(what)
	if err != nil {
		return nil, m.fail(op, off, n, err)
	}
	if !page.Within(off, n, m.area.length) {
		return nil, m.outside(s, what, op, off, n)
	}
	return s, nil
}

func (m *Mapping) outside(s *seat, what uint64, op string, off int64, n int) error {
	length := m.area.length
	m.gate.leave(s, what)
	return m.fail(op, off, n, because(ErrOutOfRange, "mapping of %d bytes", length))
}

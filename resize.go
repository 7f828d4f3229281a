package mmap

import (
	"context"
	"errors"

	"github.com/memwright/mmap/internal/sys"
)

// Resize changes the mapping's length to n bytes. It refuses with ErrBusy while
// views are out, and while other mappings stand inside this one; short accesses
// wait for it.
//
// Growing a ReadWrite mapping of a file past the file's end grows the file, with
// blocks reserved for the new part, so that a full disk is an error here. Growing
// a ReadOnly or CopyOnWrite mapping goes no further than the file's end at this
// moment. New parts get the options' Pattern, HugePages, Populate and Lock.
//
// Shrinking gives memory back and never shortens the file: nothing is lost but
// private copies. To shorten it, truncate the file that [Mapping.File] gives.
//
// Up to Options.Reserve the bytes stay where they are. Beyond it they may move,
// and slices from Bytes and Slice are then stale. Off Linux, where there is no
// mremap(2), private memory can't be grown without Reserve.
func (m *Mapping) Resize(n int) error {
	return m.resizeWhen(context.Background(), n, func() bool { return true })
}

// ResizeContext is Resize that waits for views that are out, and gives up when ctx
// ends. Inside a View on the same goroutine it fails with ErrBusy.
func (m *Mapping) ResizeContext(ctx context.Context, n int) error {
	return m.resizeWhen(ctx, n, insideView)
}

func (m *Mapping) resizeWhen(ctx context.Context, n int, refuse func() bool) error {
	if n < 0 {
		return m.fail("resize", 0, n, invalid("length %d is negative", n))
	}
	if err := m.gate.exclude(ctx, stateExcluded, refuse); err != nil {
		return m.fail("resize", 0, n, m.gate.explain(err))
	}
	defer m.reopen()
	if m.tenants.Load() > 0 {
		return m.fail("resize", 0, n, because(ErrBusy, "%d mappings stand inside this reservation", m.tenants.Load()))
	}
	before := m.area.reserved
	m.presence.forget() // now: what is new may be brought in, and is believed in then
	err := m.resize(n)
	statistics.mappedBytes.Add(int64(m.area.reserved - before))
	return m.failIf("resize", 0, n, err)
}

func (m *Mapping) resize(n int) error {
	span, _, err := m.rounded(n, 0)
	if err != nil {
		return err
	}
	old := m.area
	if n > old.length {
		if err := m.growObject(n, span); err != nil {
			return err
		}
	}
	switch {
	case span > old.span:
		err = m.growArea(span)
	case span < old.span:
		m.shrunk.Store(true)
		err = m.shrinkArea(span)
	}
	if err != nil {
		return m.translate(err, uint64(max(0, span-old.span)))
	}
	m.area.length = n
	if n > old.length {
		if err := m.prepare(context.Background(), int64(old.length), n-old.length); err != nil {
			m.area.length = old.length // the part is mapped, but not as asked for
			return err
		}
	}
	return nil
}

// growObject makes sure that there are bytes behind a mapping of n bytes.
func (m *Mapping) growObject(n, span int) error {
	if m.fd < 0 {
		return nil
	}
	if m.sharedAnonymous() {
		return m.growMemfd(span)
	}
	st, err := sys.Fstat(m.fd)
	if err != nil {
		return err
	}
	m.stat = st
	size, err := m.size()
	end := m.opt.Offset + int64(n)
	switch {
	case err != nil:
		return err
	case end < m.opt.Offset:
		return invalid("offset %d plus length %d is more than a file can have", m.opt.Offset, n)
	case size == unknownSize || end <= size:
		return nil
	case m.opt.Access != ReadWrite || m.stat.Kind != sys.Regular:
		return because(ErrPastEnd, "%d bytes reach past the %d bytes of the file; only ReadWrite grows a file", n, size)
	}
	return growFile(m.fd, size, m.opt.Offset+int64(m.area.length), end)
}

// growArea maps up to span bytes: in place where the addresses are held, else
// wherever the kernel finds room.
func (m *Mapping) growArea(span int) error {
	old := m.area
	switch {
	case span <= old.reserved:
		if err := m.mapPart(old.span, span); err != nil {
			return err
		}
		m.area.span = span
		return nil
	case m.parent != nil:
		return because(ErrBusy, "the mapping stands in a reservation and can't move out of it")
	case old.span == 0: // empty until now
		return m.mapAnew(span)
	case m.fd >= 0 && m.stat.Kind == sys.CharDevice:
		// The driver decided at mmap what there is (/dev/zero: memory of that
		// length). mremap would add addresses without pages.
		return because(errors.ErrUnsupported, "a device's mapping can't grow; map it again, or keep room by Reserve")
	}
	base, err := withRoom(func() (uintptr, error) {
		return sys.Mremap(old.base, uintptr(old.span), uintptr(span), sys.MREMAP_MAYMOVE, 0)
	})
	// Not Linux, or pages from the pool, which can't be grown.
	cannot := errors.Is(err, errors.ErrUnsupported) || err == error(sys.EINVAL)
	switch {
	case err == nil:
		m.area.base, m.area.span, m.area.reserved = base, span, span
		if old.reserved > old.span {
			sys.Munmap(old.base+uintptr(old.span), uintptr(old.reserved-old.span))
		}
		if base != old.base && m.handedOut.Load() {
			quarantine.holdFree(old.base, old.span)
		}
		return nil
	case cannot && m.fd >= 0 && m.opt.Access != CopyOnWrite:
		return m.mapAnew(span) // shared memory holds nothing of its own: map it again elsewhere
	case cannot:
		return because(err, "this private memory can't be grown; keep room by Reserve")
	case err == error(sys.EFAULT):
		return because(err, "parts of the mapping have different protections, locks or advice; make them the same, or keep room by Reserve")
	}
	return err
}

// mapAnew maps the whole area somewhere else and gives the old one up.
func (m *Mapping) mapAnew(span int) error {
	base, err := withRoom(func() (uintptr, error) {
		return sys.Mmap(0, uintptr(span), m.opt.prot(), m.opt.flags(m.fd), m.fd, m.filePage(0))
	})
	if err != nil {
		return err
	}
	old := m.area
	m.area.base, m.area.span, m.area.reserved = base, span, span
	if old.reserved > 0 {
		return m.giveUp(old.base, old.reserved)
	}
	return nil
}

// shrinkArea gives the pages behind span back. Held addresses stay held.
func (m *Mapping) shrinkArea(span int) error {
	old := m.area
	if old.reserved > old.span || m.parent != nil || m.opt.Reserve > 0 {
		if err := m.holdPart(span, old.span); err != nil {
			return err
		}
		m.area.span = span
		return nil
	}
	if err := m.giveUp(old.base+uintptr(span), old.span-span); err != nil {
		return err
	}
	m.area.span, m.area.reserved = span, span
	if span == 0 {
		m.area.base = 0
	}
	return nil
}

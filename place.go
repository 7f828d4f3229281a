package mmap

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"sync"
	"weak"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// place maps length bytes where the options want them, inside a reservation of
// addresses when room to grow is asked for.
func (m *Mapping) place(length int) error {
	m.delta = page.Delta(m.opt.Offset, m.pageSize)
	span, reserved, err := m.rounded(length, m.opt.Reserve)
	if err != nil {
		return err
	}
	m.area = area{span: span, reserved: max(span, reserved), length: length}
	if m.area.reserved == 0 {
		m.becomeReservation()
		return nil // empty: there is nothing to map
	}
	if m.opt.Placement == FixedReplace {
		if err := m.joinReservation(); err != nil {
			return err
		}
	}
	if reserved > span {
		err = m.reserve()
		if err == nil && span > 0 {
			if err = m.mapPart(0, span); err != nil {
				m.vacate()
			}
		}
	} else {
		m.area.base, err = m.mmap(m.wanted(), span, m.opt.prot(), m.opt.flags(m.fd), m.fd, m.filePage(0))
	}
	if err != nil {
		m.leaveReservation()
		return m.translate(err, uint64(m.area.reserved))
	}
	m.becomeReservation()
	return nil
}

// rounded is the two lengths in whole pages, counted from the page that the
// mapping starts in.
func (m *Mapping) rounded(length, reserve int) (span, reserved int, err error) {
	for _, n := range []*int{&length, &reserve} {
		if *n == 0 {
			continue
		}
		up, ok := page.Up(int64(*n)+int64(m.delta), m.pageSize)
		if !ok || up > math.MaxInt {
			return 0, 0, invalid("%d bytes don't fit in the address space", *n)
		}
		*n = int(up)
	}
	return length, reserve, nil
}

// filePage is the page-aligned file offset behind byte at of the area.
func (m *Mapping) filePage(at int) int64 {
	if m.fd < 0 {
		return 0
	}
	return page.Down(m.opt.Offset, m.pageSize) + int64(at)
}

// wanted is the page-aligned address that the options name, 0 for anywhere.
func (m *Mapping) wanted() uintptr {
	if m.opt.Placement == Anywhere {
		return 0
	}
	return m.opt.Addr - uintptr(m.delta)
}

// reserve holds the addresses for the mapping and its growth. They cost no
// memory, and no one else is given them.
//
// Pages from the pool must lie on their own boundaries, and the kernel does not
// know yet what will be mapped here: then room for the alignment is taken too,
// and given back.
func (m *Mapping) reserve() (err error) {
	length, slack := m.area.reserved, 0
	if m.opt.Placement == Anywhere && m.pageSize > os.Getpagesize() {
		slack = m.pageSize
	}
	m.area.base, err = m.mmap(m.wanted(), length+slack, sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
	if err != nil || slack == 0 {
		return err
	}
	head := -m.area.base % uintptr(m.pageSize)
	if head > 0 {
		err = sys.Munmap(m.area.base, head)
	}
	m.area.base += head
	return errors.Join(err, sys.Munmap(m.area.base+uintptr(length), uintptr(slack)-head))
}

// mapPart maps [from, to) of the area over addresses that the mapping holds.
func (m *Mapping) mapPart(from, to int) error {
	_, err := withRoom(func() (uintptr, error) {
		return sys.Mmap(m.area.base+uintptr(from), uintptr(to-from), m.opt.prot(),
			m.opt.flags(m.fd)|sys.MAP_FIXED, m.fd, m.filePage(from))
	})
	if err != nil {
		holdAgain(m.area.base+uintptr(from), to-from)
	}
	return err
}

// holdAgain holds addresses that were held, after a mapping over them failed: the
// kernel takes away what is there before it asks the file, and its limits before
// Linux 6.12. Where it has taken nothing away, nothing is done.
func holdAgain(addr uintptr, length int) { holdAddresses(addr, length, sys.MAP_FIXED_NOREPLACE) }

// holdPart gives [from, to) of the area back and keeps its addresses.
func (m *Mapping) holdPart(from, to int) error {
	_, err := sys.Mmap(m.area.base+uintptr(from), uintptr(to-from), sys.PROT_NONE,
		sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_FIXED, -1, 0)
	return err
}

// mmap is the call with the options' placement.
func (m *Mapping) mmap(addr uintptr, length int, prot, flags uint32, fd int, off int64) (uintptr, error) {
	if d := addr % uintptr(m.pageSize); d != 0 {
		return 0, invalid("Addr %#x must lie %d bytes into a page of %d, as the Offset does", m.opt.Addr, m.delta, m.pageSize)
	}
	switch m.opt.Placement {
	case FixedNoReplace:
		flags |= sys.MAP_FIXED_NOREPLACE
	case FixedReplace:
		flags |= sys.MAP_FIXED
	}
	if addr != 0 {
		quarantine.free(addr, length) // who asks for closed addresses may have them
	}
	got, err := withRoom(func() (uintptr, error) { return sys.Mmap(addr, uintptr(length), prot, flags, fd, off) })
	if err != nil && m.parent != nil {
		holdAgain(addr, length)
	}
	if err == nil && m.opt.Placement == FixedNoReplace && got != addr {
		// Before Linux 4.17 the flag is unknown and the address a hint.
		sys.Munmap(got, uintptr(length))
		return 0, sys.EEXIST
	}
	return got, err
}

// unmap removes the area. A mapping that stands in a reservation leaves
// addresses behind that still belong to it.
func (m *Mapping) unmap() error {
	m.endReservation()
	if err := m.vacate(); err != nil {
		m.becomeReservation()
		return err
	}
	m.leaveReservation()
	m.area = area{}
	return nil
}

// vacate gives the addresses back to whom they belong.
func (m *Mapping) vacate() error {
	switch a := m.area; {
	case a.reserved == 0:
		return nil
	case m.parent != nil:
		return m.holdPart(0, a.reserved)
	default:
		return m.giveUp(a.base, a.reserved)
	}
}

// reservations are the live anonymous mappings with NoAccess: address space
// that FixedReplace may place others into. Being here keeps none from the collector.
var reservations struct {
	sync.Mutex
	live map[weak.Pointer[Mapping]]struct{}
}

func (m *Mapping) isReservation() bool { return m.opt.Access == NoAccess && m.fd < 0 }

func (m *Mapping) becomeReservation() {
	if !m.isReservation() {
		return
	}
	reservations.Lock()
	defer reservations.Unlock()
	if reservations.live == nil {
		reservations.live = make(map[weak.Pointer[Mapping]]struct{})
	}
	reservations.live[weak.Make(m)] = struct{}{}
}

func (m *Mapping) endReservation() {
	if !m.isReservation() {
		return
	}
	reservations.Lock()
	defer reservations.Unlock()
	maps.DeleteFunc(reservations.live, func(w weak.Pointer[Mapping], _ struct{}) bool {
		r := w.Value()
		return r == nil || r == m // of one that the collector has found the pointer is nil already
	})
}

func liveReservations() (live []*Mapping) {
	reservations.Lock()
	defer reservations.Unlock()
	for w := range reservations.live {
		if r := w.Value(); r != nil {
			live = append(live, r)
		}
	}
	return live
}

// joinReservation finds the innermost reservation that the wanted addresses lie
// in. It is fine if there is none; lying half in one is not.
func (m *Mapping) joinReservation() error {
	start, n := m.wanted(), uintptr(m.area.reserved)
	for _, r := range liveReservations() {
		joined, err := r.admit(start, n)
		if err != nil {
			m.leaveReservation()
			return err
		}
		switch {
		case !joined:
		case m.parent != nil && m.parent.area.reserved <= r.area.reserved: // with a tenant counted, it stays as it is
			r.tenants.Add(-1)
		default:
			m.leaveReservation()
			m.parent = r
		}
	}
	return nil
}

// admit counts a tenant at [start, start+n) if that lies in the reservation.
// It counts inside the gate, so that a Close of the reservation sees it. A Close
// that is still waiting may give up, and would leave a tenant that nobody counted.
func (m *Mapping) admit(start, n uintptr) (bool, error) {
	for {
		s, err := m.gate.enter(anAccess)
		if err == nil {
			defer m.gate.leave(s, anAccess)
			inside, err := m.area.holds(start, n)
			if inside {
				m.tenants.Add(1)
			}
			return inside, err
		}
		switch a, closed := m.gate.closing(); {
		case closed:
			return false, nil // no longer a reservation
		case a != nil:
			inside, err := a.holds(start, n)
			if inside {
				err = because(ErrBusy, "the reservation is being closed")
			}
			return false, err
		}
	}
}

// holds reports whether [start, start+n) lies in the area. Lying there in part is
// an error.
func (a *area) holds(start, n uintptr) (bool, error) {
	end := a.base + uintptr(a.reserved)
	switch {
	case start >= end || a.base >= start+n:
		return false, nil
	case start < a.base || start+n > end:
		return false, because(ErrBusy, "the addresses lie partly in a reservation and partly outside")
	}
	return true, nil
}

func (m *Mapping) leaveReservation() {
	if m.parent != nil {
		m.parent.tenants.Add(-1)
		m.parent = nil
	}
}

// explainOpen says what to do about a refused open.
func explainOpen(err error) error {
	switch {
	case err == error(sys.EPERM):
		return because(err, "the system forbids it: an immutable file, a device that this container may not use, or a security policy")
	case errors.Is(err, fs.ErrPermission):
		return because(err, "the mode or owner of the file, or of a directory on the way, forbids this access")
	case err == error(sys.EISDIR):
		return because(err, "it is a directory; map a file in it")
	case err == error(sys.ENXIO):
		return because(err, "a socket or a device without a driver can't be opened by name")
	case err == error(sys.ETXTBSY):
		return because(err, "the file is a running program; it can't be opened for writing")
	}
	return err
}

// explainAccess says which permission of the descriptor is missing.
func (m *Mapping) explainAccess(err error) error {
	r, w, accessErr := sys.Access(m.fd)
	switch {
	case accessErr != nil:
	case !r:
		return because(err, "the file is open write-only, and every mapping reads; open it with os.O_RDWR")
	case !w && m.opt.Access == ReadWrite:
		return because(err, "the file is open read-only; open it with os.O_RDWR, or ask for ReadOnly or CopyOnWrite")
	}
	return because(err, "the kernel, a seal or a security policy forbids this access to the file")
}

package mmap

import (
	"context"
	"errors"
	"io/fs"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// Protect changes what may be done with every page that the n bytes from off
// touch, neighbouring bytes of those pages included (mprotect(2)). Until it is
// changed back, an access that p forbids is an error in View, ReadAt and
// WriteAt, and kills the process through a bare slice.
//
// It waits until the accesses and views that are inside have left, and keeps
// others out meanwhile: a store of theirs that waits for a disk would make the
// system call wait with it, and then every change of the address space, the Go
// heap's growth included. Inside a View on the same goroutine it fails with
// ErrBusy.
//
// A mapping of a file made without ReadWrite or CopyOnWrite can't be made
// writable.
func (m *Mapping) Protect(off int64, n int, p Prot) error {
	return m.ProtectContext(context.Background(), off, n, p)
}

// ProtectContext is Protect that gives up when ctx ends before those inside have
// left.
func (m *Mapping) ProtectContext(ctx context.Context, off int64, n int, p Prot) error {
	if p > ProtRead|ProtWrite|ProtExec {
		return m.fail("protect", off, n, invalid("protection %#x does not exist", uint8(p)))
	}
	return m.change(ctx, "protect", off, n, func() error { return m.protect(off, n, p) })
}

// change runs fn with nobody else inside and the range checked.
func (m *Mapping) change(ctx context.Context, op string, off int64, n int, fn func() error) error {
	if err := m.gate.exclude(ctx, stateExcluded, insideView); err != nil {
		return m.fail(op, off, n, m.gate.explain(err))
	}
	defer m.reopen()
	if !page.Within(off, n, m.area.length) {
		return m.fail(op, off, n, because(ErrOutOfRange, "mapping of %d bytes", m.area.length))
	}
	return m.failIf(op, off, n, fn())
}

func (m *Mapping) protect(off int64, n int, p Prot) error {
	fileOnlyRead := m.fd >= 0 && m.opt.Access != ReadWrite && m.opt.Access != CopyOnWrite
	if p&ProtWrite != 0 && fileOnlyRead {
		return because(fs.ErrPermission, "the mapping is %v; map the file ReadWrite or CopyOnWrite", m.opt.Access)
	}
	addr, length := m.pages(off, n)
	if length == 0 {
		return nil
	}
	if p&ProtRead == 0 {
		m.unreadable.Store(true) // no file call may stand in for what now faults
	}
	if p&ProtWrite == 0 {
		m.unwritable.Store(true)
	}
	if err := sys.Mprotect(addr, length, protBits(p)); err != nil {
		return m.translate(err, uint64(length))
	}
	return nil
}

func protBits(p Prot) uint32 {
	var bits uint32
	for prot, bit := range map[Prot]uint32{ProtRead: sys.PROT_READ, ProtWrite: sys.PROT_WRITE, ProtExec: sys.PROT_EXEC} {
		if p&prot != 0 {
			bits |= bit
		}
	}
	return bits
}

// Lock keeps the pages that the n bytes from off touch in memory. LockNow brings
// them in first (mlock(2)); if a page can't be had or the limit is met, no page of
// the range stays locked, not by an earlier Lock either.
// LockOnFault locks each page when it is first touched (mlock2(2), Linux 4.4).
//
// LockNow brings the pages in beside other accesses. Then, and for LockOnFault and
// Unlock, it waits for those inside as Protect does, and fails with ErrBusy inside
// a View on the same goroutine.
//
// On a CopyOnWrite mapping LockNow copies every page. Locked bytes count against
// RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK.
func (m *Mapping) Lock(off int64, n int, mode LockMode) error {
	return m.LockContext(context.Background(), off, n, mode)
}

// LockContext is Lock that gives up when ctx ends before the pages are in and
// those inside have left. The range is then locked as it was before.
func (m *Mapping) LockContext(ctx context.Context, off int64, n int, mode LockMode) error {
	if mode != LockNow && mode != LockOnFault {
		return m.fail("lock", off, n, invalid("%v is no way to lock", mode))
	}
	if mode == LockNow {
		// The call that locks holds the address space, so a disk should not be
		// waited for in it.
		err := m.bringInFor(ctx, "lock", off, n)
		if errors.As(err, new(*FaultError)) {
			m.unlock(ctx, off, n) // what an earlier Lock had locked of it
		}
		if err != nil {
			return err
		}
	}
	return m.change(ctx, "lock", off, n, func() error { return m.lock(off, n, mode) })
}

// bringInFor has the range in memory, as an access beside others. A range that
// would not be locked anyway for want of room is left alone.
func (m *Mapping) bringInFor(ctx context.Context, op string, off int64, n int) error {
	s, err := m.enterRange(op, off, n)
	if err != nil {
		return err
	}
	defer m.gate.leave(s, anAccess)
	_, length := m.pages(off, n)
	if explainLockLimit(nil, uint64(length)) != nil {
		return nil
	}
	return m.failIf(op, off, n, m.populate(ctx, off, n))
}

// lock is Lock inside the gate, with a checked range.
func (m *Mapping) lock(off int64, n int, mode LockMode) error {
	addr, length := m.pages(off, n)
	if length == 0 {
		return nil
	}
	err := m.mlock(addr, length, off, n, mode)
	if err == nil {
		return nil
	}
	// The area is marked locked before its pages are brought in, so a page that
	// can't be had leaves the mark behind. It goes before the limit is looked at:
	// what is marked counts as locked.
	sys.Munlock(addr, length)
	if _, isErrno := err.(sys.Errno); !isErrno {
		return err
	}
	locked := explainLockLimit(err, uint64(length))
	if errors.As(locked, new(*LimitError)) {
		return locked
	}
	if cause := m.firstBadPage(off, n); cause != nil {
		return cause
	}
	return locked
}

// mlock marks the range, which meets the limit, and then brings it in by
// populate before mlock(2) itself would: of a page whose reading fails, mlock
// repeats the read for ever (__mm_populate takes "try again" for progress; seen
// on Linux 6.18).
func (m *Mapping) mlock(addr, length uintptr, off int64, n int, mode LockMode) error {
	err := sys.Mlock2(addr, length, sys.MLOCK_ONFAULT)
	if mode == LockOnFault || err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := m.populate(context.Background(), off, n); err != nil {
		return err
	}
	return sys.Mlock(addr, length)
}

// Unlock undoes Lock for every page that the n bytes from off touch. Locks do
// not nest.
func (m *Mapping) Unlock(off int64, n int) error {
	return m.unlock(context.Background(), off, n)
}

func (m *Mapping) unlock(ctx context.Context, off int64, n int) error {
	return m.change(ctx, "unlock", off, n, func() error {
		addr, length := m.pages(off, n)
		if length == 0 {
			return nil
		}
		return sys.Munlock(addr, length)
	})
}

package mmap

import (
	"context"
	"errors"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// Advice is a hint about how memory will be used. No advice loses data: those
// that do are [Discard].
type Advice uint8

// The hints. Where one appeared after Linux 2.6 the version is named; an older
// kernel answers an error for which errors.Is(err, errors.ErrUnsupported) holds.
const (
	AdviseNormal      Advice = iota // read ahead around what is touched
	AdviseSequential                // read far ahead
	AdviseRandom                    // read only what is touched
	AdviseWillNeed                  // start reading in, and do not wait
	AdviseHugePage                  // use transparent huge pages (2.6.38)
	AdviseNoHugePage                // do not (2.6.38)
	AdviseCollapse                  // make huge pages of what is there now (6.1)
	AdviseMergeable                 // let the kernel merge equal private pages (2.6.32)
	AdviseUnmergeable               // do not (2.6.32)
	AdviseDontFork                  // a child made by fork does not get the range
	AdviseDoFork                    // it does
	AdviseDontDump                  // leave the range out of core dumps (3.4)
	AdviseDoDump                    // do not (3.4)
	AdviseCold                      // reclaim these pages before others (5.4)
	AdvisePageOut                   // reclaim these pages now: written to the file or swap, not lost (5.4)
)

func (a Advice) String() string {
	return name("Advice", a, "normal", "sequential", "random", "will need", "huge page", "no huge page", "collapse",
		"mergeable", "unmergeable", "don't fork", "do fork", "don't dump", "do dump", "cold", "page out")
}

var adviceNumber = [...]int{
	AdviseNormal: sys.MADV_NORMAL, AdviseSequential: sys.MADV_SEQUENTIAL, AdviseRandom: sys.MADV_RANDOM,
	AdviseWillNeed: sys.MADV_WILLNEED, AdviseHugePage: sys.MADV_HUGEPAGE, AdviseNoHugePage: sys.MADV_NOHUGEPAGE,
	AdviseCollapse: sys.MADV_COLLAPSE, AdviseMergeable: sys.MADV_MERGEABLE, AdviseUnmergeable: sys.MADV_UNMERGEABLE,
	AdviseDontFork: sys.MADV_DONTFORK, AdviseDoFork: sys.MADV_DOFORK, AdviseDontDump: sys.MADV_DONTDUMP,
	AdviseDoDump: sys.MADV_DODUMP, AdviseCold: sys.MADV_COLD, AdvisePageOut: sys.MADV_PAGEOUT,
}

// Advise gives the kernel a hint about every page that the n bytes from off
// touch (madvise(2)).
func (m *Mapping) Advise(off int64, n int, a Advice) error {
	s, err := m.enterRange("advise", off, n)
	if err != nil {
		return err
	}
	defer m.gate.leave(s, anAccess)
	if int(a) >= len(adviceNumber) {
		return m.fail("advise", off, n, invalid("%v does not exist", a))
	}
	if err := m.advise(off, n, a); err != nil {
		return m.fail("advise", off, n, err)
	}
	return nil
}

func (m *Mapping) advise(off int64, n int, a Advice) error {
	addr, length := m.pages(off, n)
	if length == 0 {
		return nil
	}
	err := sys.Madvise(addr, length, adviceNumber[a])
	if a == AdvisePageOut {
		m.presence.forget()
	}
	if err == error(sys.EINVAL) {
		return because(errors.Join(errors.ErrUnsupported, err), "this kernel or this kind of memory does not know the advice %q, or pages are locked that it would move", a)
	}
	return err
}

// Discard is a way to lose data on purpose.
type Discard uint8

// The ways to discard.
const (
	DropPrivate Discard = iota // private pages are lost: CopyOnWrite shows the file again, anonymous memory zeros (MADV_DONTNEED)
	PunchHole                  // the file's bytes become zeros and its blocks are freed, for everyone (fallocate, FALLOC_FL_PUNCH_HOLE)
	FreeLazily                 // private anonymous pages may turn to zeros at any moment until they are stored to again (MADV_FREE, Linux 4.5)
)

func (d Discard) String() string {
	return name("Discard", d, "drop private copies", "punch a hole", "free lazily")
}

// Discard loses the n bytes from off in the way d says. DropPrivate and
// FreeLazily act on whole pages, and never on more than was asked for: the range
// must begin and end at page boundaries of the mapping, or at its ends.
// PunchHole takes any range of a ReadWrite mapping of a file or of Shared memory,
// and needs a file system that can (ext4, XFS, Btrfs, tmpfs).
func (m *Mapping) Discard(off int64, n int, d Discard) error {
	s, err := m.enterRange("discard", off, n)
	if err != nil {
		return err
	}
	defer m.gate.leave(s, anAccess)
	if n == 0 {
		return nil
	}
	if err := m.discard(off, n, d); err != nil {
		return m.fail("discard", off, n, err)
	}
	return nil
}

func (m *Mapping) discard(off int64, n int, d Discard) error {
	private := m.fd < 0 || m.opt.Access == CopyOnWrite
	switch {
	case d == PunchHole:
		if m.fd < 0 || m.opt.Access != ReadWrite {
			return because(ErrNoFile, "only a ReadWrite mapping of a file can punch a hole in it")
		}
		defer m.presence.forget() // a store needs a block again
		return sys.PunchHole(m.fd, m.opt.Offset+off, int64(n))
	case d > FreeLazily:
		return invalid("%v does not exist", d)
	case !private:
		return invalid("%v is for private memory; this mapping is shared", d)
	case d == FreeLazily && m.fd >= 0:
		return invalid("%v is for anonymous memory; use DropPrivate", d)
	}
	if !m.wholePages(off, n) {
		return invalid("the range must begin and end at multiples of the %d-byte page (less %d), or at the mapping's ends", m.pageSize, m.delta)
	}
	addr, length := m.pages(off, n)
	number := sys.MADV_DONTNEED
	if d == FreeLazily {
		number = sys.MADV_FREE
	}
	err := sys.Madvise(addr, length, number)
	m.presence.forget() // the file's pages may not be in memory
	if err == error(sys.EINVAL) {
		return because(err, "locked memory can't be discarded; Unlock it first")
	}
	return err
}

func (m *Mapping) wholePages(off int64, n int) bool {
	start, end := off+int64(m.delta), off+int64(n)+int64(m.delta)
	return (off == 0 || page.Delta(start, m.pageSize) == 0) &&
		(int(off)+n == m.area.length || page.Delta(end, m.pageSize) == 0)
}

// prepare gives a newly mapped part what the options ask for. The mapping is
// not shared yet, or the gate keeps everyone out.
func (m *Mapping) prepare(ctx context.Context, off int64, n int) error {
	if n == 0 {
		return nil
	}
	var hints []Advice
	switch m.opt.Pattern {
	case Sequential:
		hints = append(hints, AdviseSequential)
	case Random:
		hints = append(hints, AdviseRandom)
	}
	if m.opt.HugePages == TransparentHuge {
		hints = append(hints, AdviseHugePage)
	}
	for _, h := range hints {
		if err := m.advise(off, n, h); err != nil {
			return err
		}
	}
	if m.opt.Populate {
		if err := m.populate(ctx, off, n); err != nil {
			return err
		}
	}
	if m.opt.Lock != LockNone {
		return m.lock(off, n, m.opt.Lock)
	}
	return nil
}

package mmap

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// What an access does about pages that are not known to be in memory. All of it
// is system calls: the scheduler takes the P away while the disk is slow, and a
// page that can't be read is an errno. A plain touch of a page whose reading
// fails after more than about 10 ms would never come back: the runtime's
// preemption signal interrupts the fault, and the kernel starts the read again.

// coldBytes is the most that one call reads or writes.
const coldBytes = 1 << 20

// scratchBytes is how much bringIn reads at a time only to have it in memory, and
// smallBytes how much of that needs no buffer from the pool, which every
// collection empties.
const (
	scratchBytes = 256 << 10
	smallBytes   = 4 << 10
)

var scratch = sync.Pool{New: func() any { return new([scratchBytes]byte) }}

// readCold is ReadAt for bytes that may be on the disk. Where a file call sees
// what the mapping shows, pread brings in, copies and tells the errno at once;
// elsewhere the pages are brought in and then copied from memory. The caller is
// inside the gate and has checked the range.
func (m *Mapping) readCold(p []byte, off int64) (int, error) {
	if !m.fileShowsMemory() {
		if err := m.bringIn(off, len(p)); err != nil {
			return m.before(p, off, err, m.readMemory)
		}
		return m.readMemory(p, off)
	}
	defer countColdRead(clock())
	n, _, err := m.readCalls(p, off)
	return n, err
}

// readLarge is ReadAt by file calls whether the bytes are in memory or not. It is a cold
// read if one of the calls had to wait, or may have had to.
func (m *Mapping) readLarge(p []byte, off int64) (int, error) {
	start := clock()
	n, waited, err := m.readCalls(p, off)
	if waited {
		countColdRead(start)
	}
	return n, err
}

// readCalls is ReadAt by file calls that see what the mapping shows.
func (m *Mapping) readCalls(p []byte, off int64) (n int, waited bool, err error) {
	for n < len(p) {
		k, slow, err := m.readFile(p[n:min(len(p), n+coldBytes)], off+int64(n))
		n += k
		waited = waited || slow
		switch {
		case err == error(sys.EFAULT) || err == nil && k == 0:
			// p itself can't be stored to, which is not ours to tell. Or the file
			// ends here: its last page shows zeros, those behind fault at once.
			k, err := m.readMemory(p[n:], off+int64(n))
			return n + k, waited, err
		case err != nil:
			return n, waited, m.fileFault(off+int64(n), err)
		}
	}
	return n, waited, nil
}

// readFile reads the file by a call. n bytes are good, with an error too; what
// they lie in is believed to be in memory. n is 0 at the file's end. It tells
// whether it may have waited for a disk.
//
// Where the kernel can, a first call takes what is in the page cache, or else
// begins to read and returns. Then the other goroutines have a turn before a
// second call waits. So the disk is given as many reads at once as there are
// goroutines, where calls that wait at once would give it as many as the
// scheduler has found time to work around; and most find their bytes there.
func (m *Mapping) readFile(p []byte, off int64) (n int, waited bool, err error) {
	defer func() {
		m.believe(off, n, false)
		statistics.fileBytes.Add(int64(n))
	}()
	at := m.opt.Offset + off
	if !m.onlyWaits.Load() {
		n, err = sys.PreadNow(m.fd, p, at)
		switch {
		case err == nil:
			return n, false, nil
		case err == error(sys.EAGAIN):
			runtime.Gosched()
		case errors.Is(err, errors.ErrUnsupported), err == error(sys.EPERM), err == error(sys.EINVAL):
			m.onlyWaits.Store(true) // the file system, a filter, or a kernel before 4.14
		}
	}
	start := clock()
	n, err = sys.Pread(m.fd, p, at)
	took := clock() - start
	epoch.waited.Store(took)
	tick()
	if 0 < n && n < len(p) && took > int64(slowCall) && m.readFailed(off+int64(n)) {
		err = sys.EIO
	}
	return max(n, 0), true, err
}

// slowCall is how long a call lasts that is not made again only to hear why it
// came back short.
const slowCall = 5 * time.Millisecond

// readFailed reports whether the page at off has a place in the page cache and
// no bytes: after a call that came back short there, its reading has failed.
// pread tells the bytes before the page, and would tell the errno only when
// asked to read the page once more. Nearly always it is EIO.
func (m *Mapping) readFailed(off int64) bool {
	addr, length := m.pages(off, 1)
	start := page.Down(m.opt.Offset+off, m.pageSize)
	var vec [1]byte
	if !m.presence.mincoreIsTrue(m) || m.mincore(addr, int(length), vec[:]) != nil || vec[0]&1 != 0 {
		return false
	}
	st, err := sys.Cachestat(m.fd, start, int64(length))
	return err == nil && st.Cached > 0
}

// before moves what lies before the page that could not be brought in.
func (m *Mapping) before(p []byte, off int64, cause error, move func(p []byte, off int64) (int, error)) (int, error) {
	var f *FaultError
	if !errors.As(cause, &f) {
		return 0, cause
	}
	good := min(f.Off-m.opt.Offset-off, int64(len(p)))
	if good <= 0 {
		return 0, cause
	}
	n, err := move(p[:good], off)
	if err == nil {
		err = cause
	}
	return n, err
}

// fileFault is the FaultError of a page that a file call could not read or write.
func (m *Mapping) fileFault(off int64, err error) error {
	statistics.faults.Add(1)
	return &FaultError{Off: page.Down(m.opt.Offset+off, m.pageSize), Err: err}
}

// fileShowsMemory reports whether a file call sees the bytes that the mapping
// shows: no page can be a private copy or protected, the descriptor reads through
// the page cache, and the file system keeps one cache per file.
func (m *Mapping) fileShowsMemory() bool {
	return m.opt.Access != CopyOnWrite && m.opt.Access != NoAccess &&
		!m.unreadable.Load() && !m.direct && m.coherent()
}

// bringIn has the n bytes from off in memory when it returns nil, and believes
// so. It reads the file where that fills the page cache, and otherwise asks for
// the pages themselves.
func (m *Mapping) bringIn(off int64, n int) error {
	if !m.isCold() || n == 0 {
		return nil
	}
	if m.allResident(off, n) {
		m.believe(off, n, false)
		return nil
	}
	defer countColdRead(clock())
	switch {
	case m.stat.Kind != sys.Regular || m.direct:
		return m.populate(context.Background(), off, n)
	case n <= smallBytes:
		var buf [smallBytes]byte
		return m.readInto(buf[:], off, n)
	}
	buf := scratch.Get().(*[scratchBytes]byte)
	defer scratch.Put(buf)
	return m.readInto(buf[:], off, n)
}

// readInto reads the n bytes from off, piece by piece, into one buffer: what
// counts is that they are in memory then.
func (m *Mapping) readInto(buf []byte, off int64, n int) error {
	for end := off + int64(n); off < end; {
		k, _, err := m.readFile(buf[:min(end-off, int64(len(buf)))], off)
		off += int64(k)
		switch {
		case err != nil && m.isPrivate(off): // then the file's page is not the one shown
			off += int64(m.pageSize - page.Delta(off+int64(m.delta), m.pageSize))
		case err != nil:
			return m.fileFault(off, err)
		case k == 0: // past the file's end: a touch fails at once and without a disk
			return nil
		}
	}
	return nil
}

// isPrivate reports whether the page at off is known to be a private copy.
func (m *Mapping) isPrivate(off int64) bool {
	if m.opt.Access != CopyOnWrite {
		return false
	}
	n, err := m.countPrivate(off, 1)
	return err == nil && n == 1
}

// allResident asks the kernel whether a larger range is in memory, which is
// cheaper than to read it again. For a small one the reading is.
func (m *Mapping) allResident(off int64, n int) bool {
	const worthAsking = 64 << 10
	if n < worthAsking || !m.presence.mincoreIsTrue(m) {
		return false
	}
	for run, err := range m.residentRuns(off, n) {
		return err == nil && run.Off == off && run.Len == int64(n)
	}
	return false
}

// writeCold is WriteAt for bytes of a shared file that may be on the disk, or may
// have no block yet: pwrite reads, allocates and waits without holding up others,
// even on a frozen or full disk, and tells the errno. It never makes the file
// longer: what lies past its end is left to memory. The caller is inside the gate
// and has checked the range.
func (m *Mapping) writeCold(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		// A truncation by another process between this look and the write is
		// undone up to the end of the piece: the kernel has no write that does
		// not extend.
		st, err := sys.Fstat(m.fd)
		if err != nil {
			return n, err
		}
		at := off + int64(n)
		size := min(int64(len(p)-n), coldBytes, st.Size-m.opt.Offset-at)
		if size <= 0 {
			k, err := m.writeMemory(p[n:], at)
			return n + k, err
		}
		k, err := sys.Pwrite(m.fd, p[n:n+int(size)], m.opt.Offset+at)
		switch {
		case k > 0:
			m.believe(at, k, true)
			statistics.fileBytes.Add(int64(k))
			n += k
		case err == error(sys.EIO), err == error(sys.ENOSPC), err == error(sys.EDQUOT):
			return n, m.fileFault(at, err)
		default: // a seal or a limit that binds calls and not stores
			k, err := m.writeMemory(p[n:], at)
			return n + k, err
		}
	}
	return len(p), nil
}

// writesFile reports whether WriteAt of the n bytes from off goes through the
// file: where the file and the mapping show the same, and a store might have to
// wait for a disk. With Pattern Random it always does, since a store makes the
// whole folio dirty that the page lies in, and a write only its blocks.
func (m *Mapping) writesFile(s *seat, off int64, n int) bool {
	if n == 0 || !m.syncs() || m.unwritable.Load() || m.appends || !m.fileShowsMemory() {
		return false
	}
	return m.opt.Pattern == Random || !m.believed(s, off, n) || !m.believedDirty(off, n)
}

package mmap

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// SyncMode is what SyncRange does.
type SyncMode uint8

// The modes.
const (
	SyncWait       SyncMode = iota // write the range and wait for the device (msync, MS_SYNC)
	SyncStart                      // start writing and return (sync_file_range; MS_ASYNC does nothing on Linux); on overlayfs it waits
	SyncInvalidate                 // SyncWait, then drop the range from the page cache and verify that it is gone
)

func (s SyncMode) String() string {
	return name("SyncMode", s, "wait", "start", "invalidate")
}

// Sync makes every store made through the mapping so far durable: the data and
// the metadata needed to read it back, and for a file made by Create its
// directory entry. It returns when the device has answered.
//
// After a failure the kernel forgets which pages it could not write: a second
// msync or fsync answers success, and the pages revert to what the disk holds
// when they are evicted. So the failure is remembered by every live mapping of
// the file, and each later Sync of any of them fails with ErrSyncFailed and the
// first error in it. To go on, close them all, check what the file holds, and
// map it again.
//
// On a ReadOnly mapping there is nothing to write, and Sync returns nil. On
// CopyOnWrite and anonymous memory it fails with ErrNoFile: a success would be
// taken for durability.
func (m *Mapping) Sync() error {
	s, err := m.gate.enter(anAccess)
	if err != nil {
		return m.fail("sync", 0, 0, err)
	}
	defer m.gate.leave(s, anAccess)
	return m.sync("sync", 0, m.area.length, true)
}

// SyncRange syncs the pages that the n bytes from off touch. See Sync for what a
// failure means.
//
// SyncInvalidate is what people expect of MS_INVALIDATE, which on Linux drops
// nothing: afterwards the next read comes from the device. Neighbouring pages of
// the same large folio are dropped with the range. Pages stay, and
// ErrStillCached says how many, while another mapping or process maps them, while
// they are locked, or when they became dirty again.
func (m *Mapping) SyncRange(off int64, n int, mode SyncMode) error {
	s, err := m.enterRange("sync", off, n)
	if err != nil {
		return err
	}
	defer m.gate.leave(s, anAccess)
	switch mode {
	case SyncWait:
		return m.sync("sync", off, n, false)
	case SyncStart:
		return m.startSync(off, n)
	case SyncInvalidate:
		if err := m.sync("sync", off, n, false); err != nil {
			return err
		}
		return m.dropCache(off, n)
	}
	return m.fail("sync", off, n, invalid("%v does not exist", mode))
}

// sync writes the range. With entry it also makes the file's own metadata and
// directory entry durable. The caller is inside the gate.
func (m *Mapping) sync(op string, off int64, n int, entry bool) error {
	if err := m.maySync(); err != nil {
		return m.fail(op, off, n, err)
	}
	if !m.syncs() {
		return nil // ReadOnly: nothing to write
	}
	if entry && m.shrunk.Load() {
		if err := sys.Fsync(m.fd); err != nil {
			return m.fail(op, off, n, m.inode.remember(err))
		}
	} else if addr, length := m.pages(off, n); length > 0 {
		// On Linux this is fsync's data part for the byte range, with the
		// metadata needed to read it back (vfs_fsync_range, datasync=1), on the
		// mapping's own open file description.
		if err := sys.Msync(addr, length, sys.MS_SYNC); err != nil {
			return m.fail(op, off, n, m.inode.remember(err))
		}
	}
	if !entry || m.dir < 0 {
		return nil
	}
	return m.syncEntry(op)
}

// syncEntry makes a file that Create made survive a crash by name: first the
// file, then the directory. Once is enough.
func (m *Mapping) syncEntry(op string) error {
	m.inode.entry.Lock()
	defer m.inode.entry.Unlock()
	if m.entrySynced.Load() {
		return nil
	}
	if err := sys.Fsync(m.fd); err != nil {
		return m.fail(op, 0, 0, m.inode.remember(err))
	}
	if err := sys.Fsync(m.dir); err != nil {
		return m.fail(op, 0, 0, m.inode.remember(because(err, "syncing the directory")))
	}
	m.entrySynced.Store(true)
	return nil
}

func (m *Mapping) startSync(off int64, n int) error {
	if err := m.maySync(); err != nil {
		return m.fail("sync", off, n, err)
	}
	if !m.syncs() || n == 0 {
		return nil
	}
	if !m.ownCache() {
		return m.sync("sync", off, n, false) // there is nothing to start on the descriptor: this waits
	}
	r, _ := page.Outward(page.Range{Off: m.opt.Offset + off, Len: int64(n)}, m.pageSize)
	err := sys.WriteOut(m.fd, r.Off, r.Len)
	if errors.Is(err, errors.ErrUnsupported) { // not Linux: there MS_ASYNC means it
		addr, length := m.pages(off, n)
		err = sys.Msync(addr, length, sys.MS_ASYNC)
	}
	if err != nil {
		return m.fail("sync", off, n, m.inode.remember(err))
	}
	return nil
}

// maySync refuses what would promise durability and give none.
func (m *Mapping) maySync() error {
	switch {
	case m.opt.Access == CopyOnWrite:
		return because(ErrNoFile, "the mapping is copy-on-write")
	case m.fd < 0 || m.sharedAnonymous():
		return because(ErrNoFile, "the memory is anonymous")
	case m.inode != nil:
		return m.inode.failure()
	}
	return nil
}

// syncs reports whether stores through the mapping reach a file.
func (m *Mapping) syncs() bool {
	return m.opt.Access == ReadWrite && m.fd >= 0 && !m.sharedAnonymous()
}

func (m *Mapping) sharedAnonymous() bool { return m.fd >= 0 && m.opt.Sharing == Shared }

// folioBytes is the largest piece in which the page cache keeps a file, on
// machines with 4 KiB pages. A piece is dropped whole or not at all.
const folioBytes = 2 << 20

// dropCache drops the range from the page cache and verifies it.
func (m *Mapping) dropCache(off int64, n int) error {
	if n == 0 {
		return nil
	}
	if m.stat.Kind != sys.Regular {
		return m.fail("sync", off, n, because(errors.ErrUnsupported, "only a regular file's cache can be dropped"))
	}
	exact, _ := page.Outward(page.Range{Off: m.opt.Offset + off, Len: int64(n)}, m.pageSize)
	wide, ok := page.Outward(exact, max(folioBytes, m.pageSize))
	if !ok {
		wide = exact
	}
	// Pages that are being read ahead can't be dropped until they are there, so
	// a few more tries follow, over a quarter of a second.
	left, r := PageCount(0), exact
	for pause := time.Duration(0); pause < 256*time.Millisecond; pause = max(time.Millisecond, 2*pause) {
		time.Sleep(pause)
		err := m.dropRange(r)
		if err == nil {
			left, err = m.cached(off, n)
		}
		if err != nil || left == 0 {
			return m.failIf("sync", off, n, err)
		}
		r = wide
	}
	return m.fail("sync", off, n, fmt.Errorf("%w: %d of %d; they are locked, dirty again, being read, or mapped by another mapping or process",
		ErrStillCached, left, exact.Len/int64(m.pageSize)))
}

// cached counts the pages of the range that are in the page cache.
func (m *Mapping) cached(off int64, n int) (PageCount, error) {
	r := Residency{Resident: Unknown}
	m.countCache(off, n, &r)
	if r.Resident == Unknown {
		if err := m.countResident(off, n, &r); err != nil {
			return 0, err
		}
	}
	if r.Resident == Unknown {
		return 0, because(errors.ErrUnsupported, "the range was written, but the kernel hides whether it left the page cache")
	}
	return r.Resident, nil
}

// dropRange takes a range of the file out of this mapping's page table, which alone
// would keep it cached, and then out of the cache.
func (m *Mapping) dropRange(r page.Range) error {
	defer m.presence.forget()
	start := page.Down(m.opt.Offset, m.pageSize)
	from := max(r.Off, start)
	to := min(r.End(), start+int64(m.area.span))
	if from < to {
		// Shared pages of a file: dropping the entries loses nothing.
		err := sys.Madvise(m.area.base+uintptr(from-start), uintptr(to-from), sys.MADV_DONTNEED)
		if err == error(sys.EINVAL) {
			return because(ErrStillCached, "the range is locked in memory; Unlock it first")
		} else if err != nil {
			return err
		}
	}
	if err := sys.DropCache(m.fd, r.Off, r.Len); err != nil {
		return err
	}
	return nil
}

// inodes are the files that live mappings may sync.
var inodes struct {
	sync.Mutex
	live map[inodeKey]*inode
}

type inodeKey struct{ dev, ino uint64 }

// An inode remembers, for every live mapping of a file, that a sync failed. The
// kernel tells it once per open file description and then forgets.
type inode struct {
	key    inodeKey
	refs   int // guarded by inodes
	failed atomic.Pointer[error]
	entry  sync.Mutex // one syncEntry at a time; held across its fsyncs
}

func joinInode(st sys.Stat) *inode {
	key := inodeKey{st.Dev, st.Ino}
	inodes.Lock()
	defer inodes.Unlock()
	if inodes.live == nil {
		inodes.live = make(map[inodeKey]*inode)
	}
	i := inodes.live[key]
	if i == nil {
		i = &inode{key: key}
		inodes.live[key] = i
	}
	i.refs++
	return i
}

func (m *Mapping) leaveInode() {
	if m.inode == nil {
		return
	}
	inodes.Lock()
	defer inodes.Unlock()
	if m.inode.refs--; m.inode.refs == 0 {
		delete(inodes.live, m.inode.key)
	}
}

// remember keeps the first failure to write, and passes err on. An answer that
// the arguments were wrong, that there is no such call for this object, or that
// a filter refuses it, wrote nothing and lost nothing.
func (i *inode) remember(err error) error {
	switch err {
	case error(sys.EINVAL), error(sys.EBUSY), error(sys.ESPIPE), error(sys.EPERM):
		return err
	}
	i.failed.CompareAndSwap(nil, &err)
	return err
}

func (i *inode) failure() error {
	if first := i.failed.Load(); first != nil {
		return &syncFailure{*first}
	}
	return nil
}

// syncFailure is a later sync's answer: ErrSyncFailed and the first failure.
type syncFailure struct{ first error }

func (e *syncFailure) Error() string {
	return ErrSyncFailed.Error() + " (" + e.first.Error() + "); what it holds is not known: close every mapping of it, check it, and map it again"
}

func (e *syncFailure) Unwrap() []error { return []error{ErrSyncFailed, e.first} }

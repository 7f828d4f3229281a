package shm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/anchor"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// A Segment is memory that several processes share, as one participant of it.
// Its methods may be called by any number of goroutines.
//
// Offsets are bytes from the start of the segment's file, of which the first
// [Segment.DataStart] belong to this package.
type Segment struct {
	name   string // as it was given; "" for an anonymous one
	path   string // "" for an anonymous one
	head   header
	lockFD int // the description that holds the locks: never mapped, never handed out
	dataFD int // another one: mapped and handed out

	data  *mmap.Mapping  // for the user
	space *shmsync.Space // the same memory, for locks: see control.go
	area  *control
	slot  int // -1 for one who only reads
	alive *anchor.Entry

	closing struct {
		sync.Mutex // held by who uses the descriptors, and by Close once no view is out
		done       bool
	}
}

// Create makes a segment with room for size bytes, rounded up to 4 KiB, and
// attaches to it. A name without a slash lies in /dev/shm; any other is a path,
// which should be on a tmpfs. fs.ErrExist where the name is taken, ENOSPC where
// the file system has no room for all of it: then nothing is left behind.
func Create(name string, size int, o Options) (*Segment, error) {
	s, err := create(name, size, o)
	return s, failed("create", name, err)
}

// Open attaches to a segment by name. fs.ErrNotExist where there is none.
func Open(name string, o Options) (*Segment, error) {
	s, err := open(name, o)
	return s, failed("open", name, err)
}

// OpenOrCreate attaches to the segment of this name, or makes it with room for
// size bytes. size, and what of o tells how to make one, is not compared with
// what is there; o.ABI is.
func OpenOrCreate(name string, size int, o Options) (*Segment, error) {
	for range 1000 {
		s, err := open(name, o)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, failed("open", name, err)
		}
		s, err = create(name, size, o)
		if !errors.Is(err, fs.ErrExist) {
			return s, failed("create", name, err)
		}
	}
	return nil, failed("open", name, because(ErrBusy, "the name keeps changing hands"))
}

// Anonymous makes a segment without a name (memfd_create(2)), for [Segment.File]
// to hand over. Its size is sealed: nobody can truncate it.
func Anonymous(size int, o Options) (*Segment, error) {
	s, err := anonymous(size, o)
	return s, failed("create", "", err)
}

// Attach attaches to an anonymous segment by a descriptor that another process
// handed over, through a Unix socket or an exec. f stays the caller's, and may be
// closed. A descriptor that is open for reading alone needs o.ReadOnly.
//
// The segment opens the memory anew through /proc/self/fd: a descriptor that was
// handed over shares the locks of who sent it. For a participant that takes the
// right to write, by o.Perm of who made it.
func Attach(f *os.File, o Options) (*Segment, error) {
	s, err := attach(f, o)
	return s, failed("attach", "", err)
}

// Remove takes the name of a segment away. Those who are attached stay so. It waits
// for those who attach or leave at that moment, 5 s at most, and fails with ErrBusy
// then. Of what is no segment it takes the name away, too.
func Remove(name string) error { return failed("remove", name, remove(name)) }

func remove(name string) error {
	path, err := pathOf(name)
	if err != nil {
		return err
	}
	// With the birth lock: one who leaves as the last one has perhaps found that the
	// name is still this segment's, and must not take away the next one's.
	fd, err := openNamed(path, false)
	switch {
	case err == nil:
		defer sys.Close(fd)
	case errors.Is(err, ErrBusy), errors.Is(err, fs.ErrNotExist):
		return err
	}
	return sys.Unlink(path) // it may be no file that this process can open
}

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{op, name, err}
}

func create(name string, size int, o Options) (*Segment, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	h, err := forCreation(size, &o)
	if err != nil {
		return nil, err
	}
	fd, err := sys.OpenUnnamed(filepath.Dir(path), uint32(o.Perm))
	if err != nil {
		return nil, err
	}
	s := &Segment{name: name, path: path, head: h, lockFD: fd, dataFD: -1, slot: -1}
	if err := s.lay(o); err != nil {
		return nil, s.undo(err)
	}
	word.Place("laid out")
	// Whole, and with a participant: now it may be seen.
	if err := sys.NameFile(fd, path); err != nil {
		return nil, s.undo(err)
	}
	word.Place("named")
	unlockBirth(fd)
	return s, nil
}

func anonymous(size int, o Options) (*Segment, error) {
	h, err := forCreation(size, &o)
	if err != nil {
		return nil, err
	}
	fd, err := sys.Memfd("shm", false, 0)
	if err != nil {
		return nil, err
	}
	s := &Segment{head: h, lockFD: fd, dataFD: -1, slot: -1}
	if err := sys.Chmod(fd, uint32(o.Perm)); err != nil {
		return nil, s.undo(err)
	}
	if err := s.lay(o); err != nil {
		return nil, s.undo(err)
	}
	if err := sys.SealSize(fd); err != nil {
		return nil, s.undo(err)
	}
	unlockBirth(fd)
	return s, nil
}

func forCreation(size int, o *Options) (header, error) {
	if o.ReadOnly {
		return header{}, invalid("a new segment is not read-only")
	}
	if err := o.defaults(); err != nil {
		return header{}, err
	}
	return layOut(size, *o)
}

// lay makes the segment in its new file, which nobody else can open yet, and joins
// it. It leaves the birth lock held.
func (s *Segment) lay(o Options) error {
	if err := reserve(s.lockFD, int64(s.head.size)); err != nil {
		return err
	}
	if _, err := sys.Pwrite(s.lockFD, s.head.encode(), 0); err != nil {
		return err
	}
	if err := lockBirth(s.lockFD, false); err != nil {
		return err
	}
	return s.join(o)
}

// reserve gives the file its size with real blocks.
func reserve(fd int, size int64) error {
	// What can't be there is refused at once: trying would fill the file system,
	// and memory, first.
	if space, err := sys.FileSystemSpace(fd); err == nil && space.Total > 0 && uint64(size) > space.Unused {
		return because(sys.ENOSPC, "%d bytes, and %d are free", size, space.Unused)
	}
	return sys.Extend(fd, 0, size)
}

func open(name string, o Options) (*Segment, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	if err := o.defaults(); err != nil {
		return nil, err
	}
	fd, err := openNamed(path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := &Segment{name: name, path: path, lockFD: fd, dataFD: -1, slot: -1}
	return s.enter(o)
}

func attach(f *os.File, o Options) (*Segment, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	mode := sys.OpenReadWrite
	if o.ReadOnly {
		mode = sys.OpenRead
	}
	s := &Segment{lockFD: -1, dataFD: -1, slot: -1}
	control := conn.Control(func(fd uintptr) {
		var writable, whole bool
		if _, writable, err = sys.Access(int(fd)); err == nil && !writable && !o.ReadOnly {
			err = because(fs.ErrPermission, "the descriptor is open for reading alone")
		}
		if err == nil {
			if whole, err = sys.StaysWhole(int(fd)); err == nil && !whole {
				err = ErrNotSealed
			}
		}
		if err == nil {
			s.lockFD, err = sys.Reopen(int(fd), mode)
		}
	})
	if err = errors.Join(control, err); err == nil {
		err = lockBirth(s.lockFD, o.ReadOnly)
	}
	if err != nil {
		return nil, s.undo(err)
	}
	return s.enter(o)
}

// enter checks a segment that is there, and joins it. The birth lock is held, and
// given back.
func (s *Segment) enter(o Options) (*Segment, error) {
	st, err := sys.Fstat(s.lockFD)
	if err != nil {
		return nil, s.undo(err)
	}
	if st.Kind != sys.Regular {
		return nil, s.undo(because(ErrNotSegment, "no regular file"))
	}
	b := make([]byte, encodedBytes)
	n, err := sys.Pread(s.lockFD, b, 0)
	if err == nil {
		s.head, err = decode(b[:n])
	}
	if err == nil {
		err = s.head.fills(st.Size)
	}
	if err == nil && s.head.abi != o.ABI {
		err = because(ErrABI, "its ABI is %#x, and this is %#x", s.head.abi, o.ABI)
	}
	if err == nil {
		err = s.join(o)
	}
	if err != nil {
		return nil, s.undo(err)
	}
	unlockBirth(s.lockFD)
	return s, nil
}

// join maps the segment and takes part. The caller holds the birth lock.
func (s *Segment) join(o Options) (err error) {
	mode, access := sys.OpenReadWrite, mmap.ReadWrite
	if o.ReadOnly {
		mode, access = sys.OpenRead, mmap.ReadOnly
	}
	// A mapping keeps its description, and with it the locks: so not that of the
	// locks.
	if s.dataFD, err = sys.Reopen(s.lockFD, mode); err != nil {
		return err
	}
	file, err := s.file()
	if err != nil {
		return err
	}
	s.data, err = mmap.Map(file, mmap.Options{Access: access, Length: int(s.head.size)})
	file.Close()
	if err != nil {
		return err
	}
	if s.area, err = mapControl(s.dataFD, int(s.head.size), o.ReadOnly); err != nil {
		return err
	}
	lockFD, dataFD := s.lockFD, s.dataFD
	memory := shmsync.Memory{
		Bytes: s.area.bytes(), Table: tableOffset, Slots: int(s.head.slots), ReadOnly: o.ReadOnly,
		Held: func(slot int) (bool, error) { return sys.HeldOFD(lockFD, int64(slot), 1) },
	}
	if s.path != "" { // the size of any other is sealed
		memory.Lost = func(off int64) error { return whyLost(dataFD, off) }
	}
	if s.space, err = shmsync.NewSpace(memory); err != nil {
		return err
	}
	runtime.AddCleanup(s.space, (*control).unmap, s.area)
	if err := s.whole(); err != nil {
		return err
	}
	if o.ReadOnly {
		return sys.LockOFD(s.lockFD, sys.LockShared, readersByte, 1)
	}
	if err := s.buryAll(); err != nil {
		return err
	}
	for first := 0; ; {
		slot, err := claimSlot(s.lockFD, first, int(s.head.slots))
		if err != nil {
			return err
		}
		s.slot = slot
		word.Place("slot claimed")
		if err = s.space.Join(slot); err == nil {
			// The word after the table: who is woken by it looks there.
			s.alive, err = anchor.Hold(s.dataFD, s.space.LiveOffset(slot))
			return err
		} else if !errors.Is(err, shmsync.ErrSlotUsedUp) {
			return err
		}
		if err := sys.LockOFD(s.lockFD, sys.Unlock, int64(slot), 1); err != nil {
			return err
		}
		first = slot + 1
	}
}

// whole fails where the header is not what it was: the file was truncated, or
// somebody has punched a hole into it.
func (s *Segment) whole() (err error) {
	defer s.space.Guard().End(&err)
	b, err := s.space.Memory(0, encodedBytes)
	if err == nil && !bytes.Equal(b, s.head.encode()) {
		err = because(ErrNotSegment, "its header has changed")
	}
	return err
}

// whyLost is why the page at an offset of a mapped file can't be had.
func whyLost(fd int, off int64) error {
	off -= off % int64(os.Getpagesize())
	st, err := sys.Fstat(fd)
	if err == nil && off >= st.Size {
		err = because(mmap.ErrPastEnd, "the file has %d bytes now", st.Size)
	}
	if err == nil {
		_, err = sys.Pread(fd, make([]byte, 1), off)
	}
	if err == nil { // the page can be read: it was a store, and the file system is full
		err = sys.ENOSPC
	}
	return &mmap.FaultError{Off: off, Err: err}
}

// buryAll declares dead who is: nobody may be left to notice. The caller holds the
// birth lock.
func (s *Segment) buryAll() error {
	if used, err := occupied(s.lockFD); err != nil || used {
		return err
	}
	_, err := s.space.Participants()
	return err
}

// Close leaves the segment. Calls that wait in its locks and queues, and all later
// ones, get fs.ErrClosed; a lock that is held goes to another process with
// ErrOwnerDied, and permits are free again. The last participant to leave takes the
// name away, unless the segment was made with Keep.
//
// It waits for views of Mapping, and fails with mmap.ErrBusy inside one; the segment
// then stays open. Where the kernel has no room to take the memory away (ENOMEM,
// vm.max_map_count) it is of no more use, but this process still takes part: close it
// again.
func (s *Segment) Close() error {
	// Waits for views, which may call what takes the lock: so before that.
	if err := s.data.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return failed("close", s.name, err)
	}
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closing.done {
		return failed("close", s.name, fs.ErrClosed)
	}
	s.space.Close()
	word.Place("closing")
	// The memory first: a call that is still under way must change nothing once
	// others hear that this participant is gone.
	if err := s.area.detach(); err != nil {
		return failed("close", s.name, err)
	}
	s.closing.done = true
	return failed("close", s.name, s.leave())
}

// leave ends taking part, once the memory is taken away.
func (s *Segment) leave() error {
	var birth error
	if s.slot >= 0 {
		birth = lockBirth(s.lockFD, false)
	}
	if s.slot >= 0 {
		s.leaveTable()
	}
	var err error
	if s.alive != nil {
		err = s.alive.Release()
	}
	word.Place("left")
	if s.slot >= 0 && birth == nil {
		err = errors.Join(err, s.unlinkIfLast(s.lockFD))
	}
	// Unlocked, and not only closed: a child that is between fork and exec has a
	// copy of the descriptor.
	sys.LockOFD(s.lockFD, sys.Unlock, 0, lockedBytes)
	word.Place("unlocked")
	if s.slot < 0 {
		err = errors.Join(err, s.unlinkAsReader())
	}
	s.release()
	return errors.Join(err, birth)
}

// unlinkAsReader is unlinkIfLast for one who only read, and has left. Its own
// description can't exclude others who read: two who leave at once would each see
// the other, and one who attaches would lose the name. Without the right to write
// it leaves the name to Collect.
func (s *Segment) unlinkAsReader() error {
	fd, err := sys.Reopen(s.lockFD, sys.OpenReadWrite)
	if err != nil {
		return nil
	}
	defer sys.Close(fd)
	if err := lockBirth(fd, false); err != nil {
		return err
	}
	return s.unlinkIfLast(fd)
}

// leaveTable says in the table that this participant is gone. Where that can't be
// mapped, or was truncated away, the others learn it from its lock, in their own
// time.
func (s *Segment) leaveTable() {
	table, err := mapControl(s.dataFD, int(s.head.directory()), false)
	if err != nil {
		return
	}
	s.space.LeaveBy(table.bytes())
	table.unmap()
}

// unlinkIfLast takes the name away if nobody but fd's description takes part,
// which has the birth lock. One who may not (a sticky directory, another's file)
// leaves it to Collect.
func (s *Segment) unlinkIfLast(fd int) error {
	if s.path == "" || s.head.flags&flagKeep != 0 {
		return nil
	}
	if used, err := occupied(fd); err != nil || used {
		return err
	}
	mine, err := named(s.path, fd)
	if err != nil || !mine {
		return err
	}
	word.Place("unlink")
	if err := sys.Unlink(s.path); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// undo takes back a segment that did not come about, and returns why.
func (s *Segment) undo(err error) error {
	if s.data != nil {
		s.data.Close()
	}
	if s.space != nil {
		s.space.Close()
		s.space.Leave()
	}
	if s.alive != nil {
		s.alive.Release()
	}
	if s.area != nil {
		s.area.detach()
	}
	if s.lockFD >= 0 {
		sys.LockOFD(s.lockFD, sys.Unlock, 0, lockedBytes)
	}
	s.release()
	return err
}

// release gives the memory and the descriptors back.
func (s *Segment) release() {
	if s.area != nil && s.space == nil {
		s.area.unmap()
	}
	for _, fd := range []int{s.dataFD, s.lockFD} {
		if fd >= 0 {
			sys.Close(fd)
		}
	}
}

// Name is the segment's name as it was given, "" for an anonymous one.
func (s *Segment) Name() string { return s.name }

// DataStart is the offset of the first byte that is not this package's, a multiple
// of 4,096. Objects are placed from there on: whoever uses offsets of their own
// must not use [Segment.Place].
func (s *Segment) DataStart() int64 { return int64(s.head.data) }

// Size is the segment's size in bytes, the part before DataStart included.
func (s *Segment) Size() int64 { return int64(s.head.size) }

// Mapping is the segment's memory: views, reads and writes that a truncation of
// the file turns into errors, and bare slices. It must not be closed or resized.
func (s *Segment) Mapping() *mmap.Mapping { return s.data }

// Space is the segment as the locks and queues of shmsync and ring see it.
func (s *Segment) Space() *shmsync.Space { return s.space }

// ReadOnly reports whether this process only reads.
func (s *Segment) ReadOnly() bool { return s.space.ReadOnly() }

// Participants lists who takes part, those who only read excepted.
func (s *Segment) Participants() ([]shmsync.Participant, error) {
	var list []shmsync.Participant
	err := s.whileOpen(func() (err error) { list, err = s.space.Participants(); return err })
	return list, failed("list participants of", s.name, err)
}

// whileOpen calls f, and keeps Close waiting.
func (s *Segment) whileOpen(f func() error) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closing.done {
		return fs.ErrClosed
	}
	return f()
}

// File is a new descriptor of the segment, to hand to another process for
// [Attach]: that process can write it. The caller closes it.
func (s *Segment) File() (*os.File, error) {
	var f *os.File
	err := s.whileOpen(func() (err error) { f, err = s.file(); return err })
	return f, failed("file", s.name, err)
}

// file is a duplicate of the description that has no locks.
func (s *Segment) file() (*os.File, error) {
	fd, err := sys.Dup(s.dataFD)
	if err != nil {
		return nil, err
	}
	name := s.path
	if name == "" {
		name = "memfd:shm"
	}
	return os.NewFile(uintptr(fd), name), nil
}

// FileReadOnly is a new descriptor that is open for reading alone, to hand to a
// process that must not write. The caller closes it.
//
// The kernel lets a process of the same user open it anew for writing, through
// /proc, until [Segment.SealWriters].
func (s *Segment) FileReadOnly() (*os.File, error) {
	var f *os.File
	err := s.whileOpen(func() error {
		fd, err := sys.Reopen(s.lockFD, sys.OpenRead)
		if err == nil {
			f = os.NewFile(uintptr(fd), s.path)
		}
		return err
	})
	return f, failed("file", s.name, err)
}

// SealWriters ends the time in which anybody can map the memory for writing, or
// write to its file (F_SEAL_FUTURE_WRITE, since Linux 5.1): who takes part stays
// so, newcomers can only read. It is for anonymous segments; a named one has the
// permissions of its file.
func (s *Segment) SealWriters() error {
	return failed("seal", s.name, s.whileOpen(func() error {
		if s.path != "" {
			return because(errors.ErrUnsupported, "a named segment can't be sealed")
		}
		return sys.SealWrites(s.dataFD)
	}))
}

package mmap

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"path/filepath"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// Open maps the whole file read-only and shared. An empty file gives an empty
// mapping.
func Open(name string) (*Mapping, error) { return OpenFile(name, Options{}) }

// OpenFile maps the file as o says. With ReadWrite it opens the file for
// writing, otherwise for reading only. It never creates a file: [Create] does.
func OpenFile(name string, o Options) (*Mapping, error) {
	m := newMapping(name, o, ReadOnly)
	mode := sys.OpenRead
	if m.opt.Access == ReadWrite {
		mode = sys.OpenReadWrite
	}
	fd, err := sys.OpenFile(name, mode, 0)
	if err != nil {
		return nil, m.refuse("open", explainOpen(err))
	}
	m.fd = fd
	return m.mapFile("open")
}

// Create makes a new file of length bytes, reserves real blocks for all of it,
// and maps it read-write. A file of that name must not exist. On failure no
// file is left behind. The mapping's Sync also makes the file's directory entry
// durable.
//
// perm is reduced by the umask. On file systems that write elsewhere than in
// place (Btrfs, and any file that has been snapshot or reflinked) a reserved
// block does not guarantee that a later store finds room.
func Create(name string, length int, perm fs.FileMode) (*Mapping, error) {
	m := newMapping(name, Options{Length: length}, ReadWrite)
	if length < 0 {
		return nil, m.refuse("create", invalid("length %d is negative", length))
	}
	at, _ := filepath.Split(name) // not Dir, which shortens "link/.." to what need not be the same directory
	dir, err := sys.OpenDir(cmp.Or(at, "."))
	if err != nil {
		return nil, m.refuse("create", because(err, "its directory must be readable, so that the new entry can be synced"))
	}
	m.dir = dir
	fd, err := sys.OpenFile(name, sys.OpenCreate, uint32(perm.Perm()))
	if err != nil {
		m.release()
		return nil, m.refuse("create", err)
	}
	m.fd = fd
	if _, err := m.mapFile("create"); err != nil {
		sys.Unlink(name) // it was made by this call, and holds nothing
		return nil, err
	}
	return m, nil
}

// Map maps an open file, or any other object that the kernel can map: a
// device, a memfd, a packet socket, a perf event. f may be closed afterwards.
// It refuses nothing by type; where the kernel refuses, the error says why and
// what to do. What has no size needs o.Length.
//
// The mapping holds a descriptor of its own. For ReadWrite it is an open file
// description of its own too, reopened through /proc/self/fd, because the
// kernel reports a failed write-out once per description. Where that can't be
// had (no /proc, no permission by name, an object without one) the mapping
// shares f's: an fsync of f may then take an error that Sync would have told.
func Map(f *os.File, o Options) (*Mapping, error) {
	m := newMapping("", o, ReadOnly)
	if f == nil {
		return nil, m.refuse("map", fs.ErrInvalid)
	}
	m.path = f.Name()
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, m.refuse("map", err)
	}
	var dupErr error
	err = conn.Control(func(fd uintptr) { m.fd, dupErr = ownDescriptor(int(fd), m.opt.Access) })
	if err != nil { // f is closed, which the poller says in an error of its own
		err = fs.ErrClosed
	}
	if err = errors.Join(err, dupErr); err == nil {
		m.direct, m.appends, err = sys.Ways(m.fd)
	}
	if err != nil {
		m.release()
		return nil, m.refuse("map", err)
	}
	return m.mapFile("map")
}

// ownDescriptor is a descriptor for the mapping to keep.
func ownDescriptor(fd int, a Access) (int, error) {
	if a == ReadWrite {
		// Only what f itself may do: reopening must not gain a permission.
		if r, w, err := sys.Access(fd); err == nil && r && w {
			if own, err := sys.Reopen(fd, sys.OpenReadWrite); err == nil {
				if sameObject(fd, own) {
					return own, nil
				}
				sys.Close(own) // /dev/tty and its like open as something else
			}
		}
	}
	return sys.Dup(fd)
}

func sameObject(a, b int) bool {
	sa, errA := sys.Fstat(a)
	sb, errB := sys.Fstat(b)
	// A character device makes a new instance at each open (perf, /dev/fuse,
	// drivers with state per description): only files and disks are reopened.
	same := sa.Kind == sys.Regular || sa.Kind == sys.BlockDevice
	return errA == nil && errB == nil && same && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}

// Anonymous maps length bytes of zeros with no file behind them. Private
// memory belongs to this process; Shared memory is a memfd, whose descriptor
// [Mapping.File] gives for another process to map. o.Offset must be 0, and
// o.Length 0 or length. A length of 0 is an empty mapping, for Resize to grow.
func Anonymous(length int, o Options) (*Mapping, error) {
	m := newMapping("", o, ReadWrite)
	m.opt.Length = length
	switch {
	case length < 0:
		return nil, m.refuse("map", invalid("length %d is negative", length))
	case o.Offset != 0:
		return nil, m.refuse("map", invalid("anonymous memory has no Offset"))
	case o.Length != 0 && o.Length != length:
		return nil, m.refuse("map", invalid("Length %d contradicts the length %d", o.Length, length))
	case o.Sharing == Shared && o.Access == CopyOnWrite:
		return nil, m.refuse("map", invalid("copy-on-write memory is private, so it can't be Shared"))
	}
	if err := m.opt.validate(); err != nil {
		return nil, m.refuse("map", err)
	}
	if o.Sharing == Shared {
		fd, err := sys.Memfd("mmap", o.Exec, o.HugePages.pageShift())
		if err != nil {
			return nil, m.refuse("map", err)
		}
		m.fd = fd
		if m.stat, err = sys.Fstat(fd); err == nil {
			err = m.growMemfd(length)
		}
		if err != nil {
			m.release()
			return nil, m.refuse("map", err)
		}
	}
	return m.build("map", length)
}

// newMapping is a Mapping that nothing is mapped for yet. Whoever fails before
// build releases its descriptors.
func newMapping(name string, o Options, access Access) *Mapping {
	if o.Access == DefaultAccess {
		o.Access = access
	}
	return &Mapping{path: name, opt: o, fd: -1, dir: -1, gate: gate{id: newGate()}}
}

// refuse is the error of a call that makes a mapping; its range is the file's.
func (m *Mapping) refuse(op string, err error) error {
	return m.fail(op, m.opt.Offset, m.opt.Length, err)
}

// mapFile checks the options against the file, grows it when that is asked
// for, and maps it.
func (m *Mapping) mapFile(op string) (*Mapping, error) {
	length, err := m.prepareFile()
	if err != nil {
		m.release()
		return nil, m.refuse(op, err)
	}
	if m.stat.Virtual {
		m.coherent() // a question to FUSE or a server, which the first accesses would all wait for
	}
	return m.build(op, length)
}

// prepareFile decides the length of the mapping.
func (m *Mapping) prepareFile() (length int, err error) {
	if err := m.opt.validate(); err != nil {
		return 0, err
	}
	if m.opt.Sharing != Private {
		return 0, invalid("Sharing is for Anonymous; ReadWrite shares a file")
	}
	if m.stat, err = sys.Fstat(m.fd); err != nil {
		return 0, err
	}
	off, length := m.opt.Offset, m.opt.Length
	size, err := m.size()
	if err != nil {
		return 0, err
	}
	switch {
	case size == unknownSize:
		if length == 0 {
			return 0, invalid("this object has no size; give Options.Length")
		}
		return length, nil
	case length == 0 && off > size:
		return 0, because(ErrPastEnd, "offset %d is past the %d bytes of the file", off, size)
	case length == 0:
		if size-off > math.MaxInt {
			return 0, invalid("%d bytes don't fit in this process's address space; map a window by Offset and Length", size-off)
		}
		if size == 0 {
			return 0, m.probeMap() // an empty file, or an entry of /proc that claims to be one
		}
		return int(size - off), nil
	case int64(length) <= size-off:
		return length, nil
	case m.opt.Access != ReadWrite:
		return 0, because(ErrPastEnd, "[%d, +%d) reaches past the %d bytes of the file; only ReadWrite grows it", off, length, size)
	case m.stat.Kind != sys.Regular:
		return 0, because(ErrPastEnd, "[%d, +%d) reaches past the %d bytes of the device", off, length, size)
	}
	// What can't be mapped must not be grown: neither a file that is open for
	// writing alone, nor an entry of /proc, where zeros would be a command.
	if err := m.probeMap(); err != nil {
		return 0, err
	}
	return length, growFile(m.fd, size, off, off+int64(length))
}

const unknownSize = -1

func (m *Mapping) size() (int64, error) {
	switch m.stat.Kind {
	case sys.Regular:
		return m.stat.Size, nil
	case sys.BlockDevice:
		return sys.BlockDeviceSize(m.fd)
	case sys.Directory:
		return 0, because(sys.EISDIR, "it is a directory; map a file in it")
	case sys.FIFO:
		return 0, because(sys.ENODEV, "a pipe holds no bytes to map; read it")
	}
	return unknownSize, nil
}

// probeMap finds out whether the kernel maps this object at all, whatever its
// size says.
func (m *Mapping) probeMap() error {
	size := os.Getpagesize()
	addr, err := sys.Mmap(0, uintptr(size), m.opt.prot(), m.opt.flags(m.fd), m.fd, 0)
	if err == nil {
		return sys.Munmap(addr, uintptr(size))
	}
	if errno, ok := err.(sys.Errno); ok && (errno == sys.EINVAL || errno == sys.ENOMEM) {
		return nil // a file with larger pages, or no memory: the file itself is not to blame
	}
	return m.translate(err, 0)
}

// growFile makes the file at least end bytes long with real blocks for
// [off, end), so that a full disk is an error here and not a signal later. It
// never shrinks the file: the blocks are reserved first, without changing the
// size, and the size is then raised by a call that only raises it.
func growFile(fd int, size, off, end int64) error {
	from := max(size, off)
	if err := mayFit(fd, end-from); err != nil {
		return because(err, "growing the file from %d to %d bytes", size, end)
	}
	err := sys.Allocate(fd, from, end-from)
	if err == nil {
		err = sys.Extend(fd, from, end-from) // RLIMIT_FSIZE is looked at here
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return writeZeros(fd, size, from, end)
	}
	// Some of it may have been reserved behind the end: give it back. The size
	// is read again, since others may have grown the file meanwhile.
	if st, statErr := sys.Fstat(fd); statErr == nil {
		sys.Truncate(fd, st.Size)
	}
	switch err {
	case error(sys.ENOSPC), error(sys.EDQUOT):
		return because(err, "growing the file from %d to %d bytes", size, end)
	case error(sys.EFBIG):
		return because(err, "%d bytes are more than the file system or RLIMIT_FSIZE allows", end)
	}
	return err
}

// mayFit refuses to reserve what can't be there: to find that out by trying would
// fill the disk first. Blocks that the file has already may lie where it grows. A
// file system that tells no size (a memfd's) has no bound.
func mayFit(fd int, n int64) error {
	space, err := sys.FileSystemSpace(fd)
	st, statErr := sys.Fstat(fd)
	if err != nil || statErr != nil || space.Total == 0 || uint64(n) <= space.Unused+uint64(st.Blocks)*512 {
		return nil
	}
	return because(sys.ENOSPC, "%d bytes are free", space.Unused)
}

// writeZeros reserves blocks where the file system has no fallocate.
func writeZeros(fd int, size, off, end int64) error {
	zeros := make([]byte, min(end-off, 1<<20))
	for at := off; at < end; {
		n, err := sys.Pwrite(fd, zeros[:min(end-at, int64(len(zeros)))], at)
		if err == nil && n == 0 {
			err = sys.ENOSPC
		}
		if err != nil {
			sys.Truncate(fd, size)
			return because(err, "growing the file to %d bytes", end)
		}
		at += int64(n)
	}
	return nil
}

// growMemfd sizes the memory behind shared anonymous memory: whole pages, not
// reserved, as anonymous memory is not.
func (m *Mapping) growMemfd(length int) error {
	size, ok := page.Up(int64(length), max(os.Getpagesize(), 1<<m.opt.HugePages.pageShift()))
	if !ok {
		return invalid("length %d is too large", length)
	}
	if size <= m.stat.Size {
		return nil
	}
	if err := sys.Truncate(m.fd, size); err != nil {
		return err
	}
	m.stat.Size = size
	return nil
}

// build maps, and makes the Mapping. From here on the Mapping owns the
// descriptors.
func (m *Mapping) build(op string, length int) (*Mapping, error) {
	m.opt.Length = length
	err := m.choosePageSize()
	if err == nil {
		err = m.place(length)
	}
	if err != nil {
		m.release()
		return nil, m.refuse(op, err)
	}
	if m.syncs() {
		m.inode = joinInode(m.stat)
	}
	if err := m.prepare(context.Background(), 0, length); err != nil {
		m.Close()
		return nil, m.refuse(op, err)
	}
	m.show()
	m.track()
	return m, nil
}

// hugetlbfs is the file system of the pool of huge pages (linux/magic.h).
const hugetlbfs = 0x958458f6

// choosePageSize finds the unit of the mapping's pages.
func (m *Mapping) choosePageSize() error {
	m.pageSize = os.Getpagesize()
	defer func() { m.pageShift = uint8(bits.TrailingZeros(uint(m.pageSize))) }()
	shift := m.opt.HugePages.pageShift()
	if m.fd < 0 || m.sharedAnonymous() {
		if shift != 0 {
			m.pageSize = 1 << shift
		}
		return nil
	}
	if m.stat.Blksize > int64(m.pageSize) { // hugetlbfs tells its page size as the block size
		if magic, err := sys.FileSystem(m.fd); err == nil && magic == hugetlbfs {
			m.pageSize = int(m.stat.Blksize)
		}
	}
	if shift != 0 && m.pageSize != 1<<shift {
		return because(errors.ErrUnsupported, "%v exist for anonymous memory and for files on a hugetlbfs of that page size; ask for TransparentHuge", m.opt.HugePages)
	}
	return nil
}

// validate refuses options that make no sense by themselves.
func (o *Options) validate() error {
	switch {
	case o.Offset < 0:
		return invalid("offset %d is negative", o.Offset)
	case o.Length < 0:
		return invalid("length %d is negative", o.Length)
	case o.Reserve < 0:
		return invalid("reserve %d is negative", o.Reserve)
	case o.Offset > math.MaxInt64-int64(o.Length)-1<<31:
		return invalid("offset %d plus length %d is more than a file can have", o.Offset, o.Length)
	case o.Length > math.MaxInt-1<<30 || o.Reserve > math.MaxInt-1<<30:
		return invalid("length %d, reserve %d: more than the address space", o.Length, o.Reserve)
	case o.Access > NoAccess || o.Sharing > Shared || o.Pattern > Random || o.Lock > LockOnFault ||
		o.HugePages > Huge1GiB || o.Placement > FixedReplace:
		return invalid("an option has a value that does not exist: %v, %v, %v, %v, %v, %v",
			o.Access, o.Sharing, o.Pattern, o.Lock, o.HugePages, o.Placement)
	case o.Placement == Anywhere && o.Addr != 0:
		return invalid("Addr %#x needs a Placement", o.Addr)
	case o.Placement != Anywhere && o.Addr == 0:
		return invalid("Placement %v needs an Addr", o.Placement)
	case o.Addr != 0 && page.Delta(int64(o.Addr), os.Getpagesize()) != page.Delta(o.Offset, os.Getpagesize()):
		return invalid("Addr %#x must lie as far into its page as offset %d does", o.Addr, o.Offset)
	case o.Access == NoAccess && (o.Exec || o.Populate || o.Lock == LockNow):
		return invalid("NoAccess reserves addresses: Exec, Populate and LockNow need access")
	}
	return nil
}

func (o *Options) prot() uint32 {
	var p uint32
	switch o.Access {
	case ReadOnly:
		p = sys.PROT_READ
	case ReadWrite, CopyOnWrite:
		p = sys.PROT_READ | sys.PROT_WRITE
	case NoAccess:
		return sys.PROT_NONE
	}
	if o.Exec {
		p |= sys.PROT_EXEC
	}
	return p
}

func (o *Options) flags(fd int) uint32 {
	f := uint32(sys.MAP_SHARED)
	if fd < 0 || o.Access == CopyOnWrite {
		f = sys.MAP_PRIVATE
	}
	if fd < 0 {
		f |= sys.MAP_ANONYMOUS
		if shift := o.HugePages.pageShift(); shift != 0 {
			f |= sys.MAP_HUGETLB | uint32(shift)<<sys.MAP_HUGE_SHIFT
		}
	}
	if o.NoReserve {
		f |= sys.MAP_NORESERVE
	}
	return f
}

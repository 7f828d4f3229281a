package vmem

// An Object is what files are opened on: a Store with those of its pages that
// are in memory, or pages in memory alone (a memfd, shared anonymous memory).
// A kernel calls it an inode with its address space.
type Object struct {
	m       *Machine
	name    string
	store   Store // nil: memory alone
	size    int64
	maxSize int64
	pages   map[uint64]*frame
	failure writeFailure
	crash   *recorder // nil: nobody asked
}

// Open brings a Store into the machine under a name, which [Process.Areas]
// shows. The Store belongs to the machine from then on; bringing it in twice
// makes two objects that do not see each other's changes.
func (m *Machine) Open(name string, s Store) (*Object, error) {
	size, err := s.Size()
	if err != nil {
		return nil, &storeError{err}
	}
	if size < 0 {
		return nil, EINVAL
	}
	o := m.Memory(name)
	o.store, o.size = s, size
	return o, nil
}

// Memory returns an empty object without a Store, as memfd_create does. It may
// be truncated to any size. Its pages can't be evicted.
func (m *Machine) Memory(name string) *Object {
	return &Object{m: m, name: name, maxSize: 1<<63 - 1, pages: map[uint64]*frame{}}
}

// Name is what the object was called.
func (o *Object) Name() string { return o.name }

// Store is what was brought in, nil for memory alone.
func (o *Object) Store() Store { return o.store }

// Size is the length in bytes, as stat tells it.
func (o *Object) Size() int64 { return o.size }

// SetMaxSize sets the largest size that the file system allows (2^44-4096 on
// ext4 with 4 KiB blocks). Writes and truncation beyond it are refused with
// EFBIG; mappings are not refused for it.
func (o *Object) SetMaxSize(n int64) { o.maxSize = n }

// A Mode is what a file is opened for.
type Mode uint8

// The modes, as open's O_RDONLY, O_WRONLY and O_RDWR.
const (
	ReadOnly  Mode = 1
	WriteOnly Mode = 2
	ReadWrite Mode = ReadOnly | WriteOnly
)

// A File is an open file: an object and what may be done with it. It is what a
// kernel calls an open file description, so that a copy of the pointer is a
// dup, and areas merge only if they are of the same File.
type File struct {
	object *Object
	mode   Mode
	seen   uint64 // how many write failures it has told
	closed bool
}

// Open opens the object. A Store that can't be written answers EACCES to any
// mode but ReadOnly.
func (o *Object) Open(mode Mode) (*File, error) {
	_, writable := o.store.(WritableStore)
	switch {
	case mode&^ReadWrite != 0 || mode == 0:
		return nil, EINVAL
	case o.store != nil && mode&WriteOnly != 0 && !writable:
		return nil, EACCES
	}
	return &File{object: o, mode: mode, seen: o.failure.told}, nil
}

// Close closes the file. Areas that map it stay and keep the object alive;
// other calls answer EBADF from then on.
func (f *File) Close() error {
	if err := f.usable(0, 0); err != nil {
		return err
	}
	f.closed = true
	return nil
}

// Object is what was opened.
func (f *File) Object() *Object { return f.object }

// usable answers EINVAL for a negative offset, and EBADF for no file, a closed
// one, or one not open for need.
func (f *File) usable(need Mode, off int64) error {
	switch {
	case off < 0:
		return EINVAL
	case f == nil || f.closed || f.mode&need != need:
		return EBADF
	}
	return nil
}

// writeFailure remembers that write-back failed, so that each open file tells
// it once (Linux calls this errseq_t). A file that is opened later tells it
// too if nobody did before.
type writeFailure struct {
	count, told uint64 // failures, and how many there were when one was last told
	err         error  // the last one
}

// failed remembers that [first, last) could not be written or made durable.
func (o *Object) failed(first, last uint64, err error) {
	o.failure.count++
	o.failure.err = err
	o.crash.doubts(first, last)
}

// failure is what a sync of f answers if f has not told it.
func (f *File) failure() error {
	w := &f.object.failure
	if f.seen == w.count {
		return nil
	}
	f.seen, w.told = w.count, w.count
	return &storeError{w.err}
}

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
	if mode&^ReadWrite != 0 || mode == 0 {
		return nil, EINVAL
	}
	if _, ok := o.store.(WritableStore); o.store != nil && mode&WriteOnly != 0 && !ok {
		return nil, EACCES
	}
	return &File{object: o, mode: mode, seen: o.failure.sample()}, nil
}

// Close closes the file. Areas that map it stay and keep the object alive;
// other calls answer EBADF from then on.
func (f *File) Close() error {
	if err := f.usable(0); err != nil {
		return err
	}
	f.closed = true
	return nil
}

// Object is what was opened.
func (f *File) Object() *Object { return f.object }

// usable answers EBADF for no file, a closed one, or one not open for need.
func (f *File) usable(need Mode) error {
	if f == nil || f.closed || f.mode&need != need {
		return EBADF
	}
	return nil
}

// usableAt answers EINVAL for a negative offset before that.
func (f *File) usableAt(off int64, need Mode) error {
	if off < 0 {
		return EINVAL
	}
	return f.usable(need)
}

// writeFailure remembers that write-back failed, so that each open file tells
// it once (Linux calls this errseq_t). A file that is opened later tells it
// too if nobody did before.
type writeFailure struct {
	count uint64
	err   error // the last one
	told  bool
}

func (w *writeFailure) add(err error) {
	w.count++
	w.err, w.told = err, false
}

func (w *writeFailure) sample() uint64 {
	if w.count > 0 && !w.told {
		return w.count - 1
	}
	return w.count
}

// report is the answer of a sync of f: the failure, if f has not told it.
func (w *writeFailure) report(f *File) error {
	if f.seen == w.count {
		return nil
	}
	f.seen, w.told = w.count, true
	return &storeError{w.err}
}

package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	// 2.12.0 and 2.12.1 do not build for linux/386; 2.11.0 does.
	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

var _ = Register(slowServer, serveFaults)

// serveFaults is the process behind a FaultFS.
func serveFaults() {
	// A signal to the whole group, or a test that is gone, must not leave the
	// mount behind.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	var s faultSpec
	spec(&s)
	file, err := newFaultFile(s)
	if err == nil {
		err = file.mount(s)
	}
	if err != nil {
		say(answer{Err: err.Error(), Refused: errors.Is(err, os.ErrPermission)})
		return
	}
	giveBack := sync.OnceFunc(func() { file.giveBack(s) })
	onceOrphaned(giveBack)
	say(answer{})
	commands := json.NewDecoder(os.Stdin)
	for {
		var c command
		if commands.Decode(&c) != nil {
			break
		}
		say(file.obey(c))
	}
	giveBack()
}

// giveBack unmounts what was mounted and removes what was made, as the test
// does if it still can. The end of the process aborts what then still waits.
func (f *faultFile) giveBack(s faultSpec) {
	f.set(nil) // what is unmounted now still writes
	if s.Over != "" {
		detach(s.Over)
	}
	if err := detach(s.Dir); err != nil {
		childFailed(err)
	}
	if s.Image != "" {
		os.Remove(s.Image)
		os.Remove(filepath.Dir(s.Image))
	}
	os.Remove(s.Over)
	os.Remove(s.Dir)
}

// detach unmounts dir from everybody's sight, whoever uses it.
func detach(dir string) error {
	if os.Geteuid() != 0 {
		return exec.Command("fusermount3", "-u", "-z", dir).Run()
	}
	return syscall.Unmount(dir, syscall.MNT_DETACH)
}

// A faultFile serves the one file.
type faultFile struct {
	fs.Inode
	openFlags uint32
	state     struct {
		sync.Mutex
		bytes   store
		size    int64
		faults  []armed
		changed chan struct{} // closed by the next set
		log     []Request
	}
}

// An armed fault counts the requests that it fits.
type armed struct {
	Fault
	seen int
}

// A store keeps the bytes of a file that has any length.
type store interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
}

func newFaultFile(s faultSpec) (*faultFile, error) {
	f := &faultFile{}
	f.state.changed = make(chan struct{})
	f.state.bytes, f.state.size = newPatterned(s.Size), s.Size
	if s.KeepCache {
		f.openFlags = fuse.FOPEN_KEEP_CACHE
	}
	if s.Image != "" {
		image, err := os.OpenFile(s.Image, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		f.state.bytes, f.openFlags = image, fuse.FOPEN_DIRECT_IO
	}
	return f, nil
}

func (f *faultFile) mount(s faultSpec) error {
	root, forever := &fs.Inode{}, time.Hour
	_, err := fs.Mount(s.Dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{
			DirectMount:   true,
			AllowOther:    os.Geteuid() == 0,
			MaxReadAhead:  max(s.ReadAhead, 1), // 0 would mean the kernel's own choice
			MaxBackground: 512,                 // reads ahead that may wait at once
			DisableXAttrs: true,
			FsName:        "testenv",
		},
		AttrTimeout:  &forever, // what the kernel knows changes when we tell it
		EntryTimeout: &forever,
		OnAdd: func(ctx context.Context) {
			root.AddChild("file", root.NewPersistentInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG}), true)
		},
	})
	return err
}

func (f *faultFile) obey(c command) answer {
	var errno syscall.Errno
	switch {
	case c.Set != nil:
		f.set(*c.Set)
	case c.Truncate != nil:
		f.truncate(*c.Truncate)
		errno = f.NotifyContent(*c.Truncate, 0)
	case c.Evict != nil:
		errno = f.NotifyContent(c.Evict[0], c.Evict[1])
	default:
		f.state.Lock()
		defer f.state.Unlock()
		return answer{Requests: slices.Clone(f.state.log)}
	}
	if errno != 0 && errno != syscall.ENOENT { // nothing is cached of a file that nobody opened yet
		return answer{Err: errno.Error()}
	}
	return answer{}
}

func (f *faultFile) set(faults []Fault) {
	f.state.Lock()
	defer f.state.Unlock()
	f.state.faults = nil
	for _, fault := range faults {
		f.state.faults = append(f.state.faults, armed{Fault: fault})
	}
	close(f.state.changed)
	f.state.changed = make(chan struct{})
}

func (f *faultFile) truncate(size int64) {
	f.state.Lock()
	defer f.state.Unlock()
	f.resize(size)
}

// resize is called with the lock held.
func (f *faultFile) resize(size int64) {
	f.state.bytes.Truncate(size)
	f.state.size = size
}

// suffer logs a request, waits as its fault says, and lets work answer it
// unless it fails.
func (f *faultFile) suffer(op Op, off, n int64, work func() error) syscall.Errno {
	fault, id, changed := f.arrive(op, off, n)
	if fault.Delay > 0 {
		// A signal to the reader does not hurry a disk: no interrupt is heeded.
		delay := time.NewTimer(fault.Delay)
		select {
		case <-delay.C:
		case <-changed:
		}
		delay.Stop()
	}
	f.state.Lock()
	defer f.state.Unlock()
	errno := fault.Err
	if fault.TruncateTo > 0 {
		f.resize(fault.TruncateTo)
	}
	if errno == 0 {
		errno = fs.ToErrno(work())
	}
	f.state.log[id].Done, f.state.log[id].Err = true, errno
	return errno
}

// arrive logs a request and finds its fault.
func (f *faultFile) arrive(op Op, off, n int64) (fault Fault, id int, changed <-chan struct{}) {
	f.state.Lock()
	defer f.state.Unlock()
	f.state.log = append(f.state.log, Request{Op: op, Off: off, Len: n})
	for i := range f.state.faults {
		a := &f.state.faults[i]
		if !a.fits(op, off, n) {
			continue
		}
		if a.seen++; a.seen > a.After {
			fault = a.Fault
			break
		}
	}
	return fault, len(f.state.log) - 1, f.state.changed
}

func (a Fault) fits(op Op, off, n int64) bool {
	whole := op == Sync || op == Flush
	return a.Op == op && (whole || off+n > a.Off && (a.Len == 0 || off < a.Off+a.Len))
}

// What the kernel asks. The interfaces are go-fuse's.
var _ interface {
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
	fs.NodeFlusher
	fs.NodeGetattrer
	fs.NodeSetattrer
} = (*faultFile)(nil)

func (f *faultFile) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, f.openFlags, 0
}

func (f *faultFile) Read(ctx context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n := 0
	errno := f.suffer(Read, off, int64(len(p)), func() error {
		var err error
		n, err = f.state.bytes.ReadAt(p[:max(0, min(int64(len(p)), f.state.size-off))], off)
		return err
	})
	return fuse.ReadResultData(p[:n]), errno
}

func (f *faultFile) Write(ctx context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	errno := f.suffer(Write, off, int64(len(p)), func() error {
		_, err := f.state.bytes.WriteAt(p, off)
		f.state.size = max(f.state.size, off+int64(len(p)))
		return err
	})
	return uint32(len(p)), errno
}

func (f *faultFile) Fsync(ctx context.Context, _ fs.FileHandle, flags uint32) syscall.Errno {
	return f.suffer(Sync, 0, 0, func() error { return nil })
}

func (f *faultFile) Flush(ctx context.Context, _ fs.FileHandle) syscall.Errno {
	return f.suffer(Flush, 0, 0, func() error { return nil })
}

func (f *faultFile) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.state.Lock()
	defer f.state.Unlock()
	out.Mode, out.Size, out.Blocks = syscall.S_IFREG|0o666, uint64(f.state.size), uint64(f.state.size+511)/512
	return 0
}

func (f *faultFile) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		f.truncate(int64(size))
	}
	return f.Getattr(ctx, h, out)
}

// A patterned store has the pattern up to virgin and zeros behind, where
// nothing was written.
type patterned struct {
	virgin  int64
	written map[int64]*[patternPage]byte // by number
}

const patternPage = 4096

func newPatterned(size int64) *patterned {
	return &patterned{virgin: size, written: map[int64]*[patternPage]byte{}}
}

// page is the page that holds the byte at off, and the place of that byte.
func (p *patterned) page(off int64) (page *[patternPage]byte, at int) {
	at = int(off % patternPage)
	if page = p.written[off/patternPage]; page == nil {
		page = new([patternPage]byte)
		start := off - int64(at)
		Pattern(page[:max(0, min(patternPage, p.virgin-start))], start)
	}
	return page, at
}

// ReadAt implements io.ReaderAt.
func (p *patterned) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		page, at := p.page(off + int64(n))
		n += copy(b[n:], page[at:])
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (p *patterned) WriteAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		page, at := p.page(off + int64(n))
		p.written[(off+int64(n))/patternPage] = page
		n += copy(page[at:], b[n:])
	}
	return n, nil
}

// Truncate forgets what is behind size.
func (p *patterned) Truncate(size int64) error {
	p.virgin = min(p.virgin, size)
	for number, page := range p.written {
		if keep := size - number*patternPage; keep <= 0 {
			delete(p.written, number)
		} else if keep < patternPage {
			clear(page[keep:])
		}
	}
	return nil
}

package testenv

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

const slowServer = "testenv.slowfs"

// A SlowFile is the one file of a [SlowFS].
type SlowFile struct {
	Size      int64 // its bytes are those of [Pattern]
	ReadAhead int   // the most bytes that the kernel reads ahead; 0: each page is a request of its own
	KeepCache bool  // cached pages outlive an open; else each open of the file drops them
}

// An Op is a kind of request to a [FaultFS].
type Op string

// What the kernel asks of a file system that a [Fault] can be about.
const (
	Read  Op = "read"
	Write Op = "write"
	Sync  Op = "sync"  // fsync, and the flush of a disk
	Flush Op = "flush" // the close of a descriptor
)

// Hold is the delay that ends with the next Set. A page fault that is held keeps
// its P: with GOMAXPROCS=1 nobody is left to call Set, so hold a file call there
// or let a [Child] take the fault.
const Hold = time.Duration(math.MaxInt64)

// A Fault is what befalls the requests of one kind that touch a byte of
// [Off, Off+Len); Len 0 means to the end of the file. Sync and Flush touch all.
// Such a request waits for Delay, and then fails with Err unless that is 0. The
// first After of them are spared. TruncateTo makes the file that long, unless
// it is 0, before the request is served: the kernel is not told, as when
// another host shortens a file on a server.
type Fault struct {
	Op         Op
	Off, Len   int64
	After      int
	Delay      time.Duration
	Err        sys.Errno
	TruncateTo int64
}

// A Request is one that a FaultFS was asked.
type Request struct {
	Op       Op
	Off, Len int64
	Err      sys.Errno // what it was answered
	Done     bool      // it was answered
}

// A FaultFS is a mounted file system with one file. It is served by a process
// of its own: a page fault here never waits for a goroutine of the process
// that took it. The kernel caches its pages as it does those of a disk. Its
// methods may be called by any goroutine that ends before the test does.
type FaultFS struct {
	Dir  string // where it is mounted
	Path string // its file
	*keeper
}

// faultSpec is what the server is told at its start.
type faultSpec struct {
	SlowFile
	Dir   string
	Image string // the file that keeps the bytes, if not the pattern; then nothing is cached
	Over  string // what is mounted from a device in this file, to be unmounted before it
}

// command is what a server obeys; each field that is set is a command.
type command struct {
	Set      *[]Fault
	Truncate *int64
	Evict    *[2]int64
}

// answer is what the server says to any command.
type answer struct {
	Err      string
	Refused  bool // a lack of rights was the reason
	Requests []Request
}

// SlowFS mounts a file system whose file is slow or fails as Set says, and
// works well until then. It is unmounted when t ends, and when the process
// does.
func SlowFS(t testing.TB, file SlowFile) *FaultFS {
	t.Helper()
	return serve(t, faultSpec{SlowFile: file})
}

func serve(t testing.TB, s faultSpec) *FaultFS {
	t.Helper()
	if children[slowServer] == nil {
		Skip(t, sys.Unsupported("a file system served by a test").Error())
	}
	Need(t, Fuse)
	if !Has(Root) {
		Need(t, tool("fusermount3"))
	}
	s.Dir = newDir(t, os.TempDir())
	f := &FaultFS{Dir: s.Dir, Path: filepath.Join(s.Dir, "file"), keeper: keep(t, slowServer, s)}
	t.Cleanup(f.unmount)
	var first answer
	if f.ask(nil, &first); first.Refused {
		Skip(t, "needs the right to mount a FUSE file system: "+first.Err)
	}
	if first.Err != "" || t.Failed() {
		t.Fatal("mount: ", first.Err)
	}
	return f
}

// unmount is what remains to be done should the server have been killed.
func (f *FaultFS) unmount() {
	f.close()
	if _, err := os.Stat(f.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		out, err := exec.Command("umount", "-l", f.Dir).CombinedOutput()
		f.t.Errorf("%s was still mounted: %v %s", f.Dir, err, out)
	}
}

// Set replaces every fault. The first in the list that fits a request is its
// fault. Requests that were waiting are answered at once, as their faults say.
func (f *FaultFS) Set(faults ...Fault) {
	f.t.Helper()
	list := append([]Fault{}, faults...) // nil would be no command
	f.tell(command{Set: &list})
}

// Truncate gives the file another size, as another host would, and tells the
// kernel: at its return, no page behind the end is mapped any more. No read may
// be waiting at a [Hold].
func (f *FaultFS) Truncate(size int64) {
	f.t.Helper()
	f.tell(command{Truncate: &size})
	if _, err := os.Stat(f.Path); err != nil { // fetches the size
		f.t.Error(err)
	}
}

// Evict drops the pages of [off, off+n) from the page cache, mapped or not; n 0
// means to the end. No read of them may be waiting at a [Hold].
func (f *FaultFS) Evict(off, n int64) {
	f.t.Helper()
	f.tell(command{Evict: &[2]int64{off, n}})
}

// Requests lists all that the kernel asked since the mount, in order.
func (f *FaultFS) Requests() []Request {
	f.t.Helper()
	return f.tell(command{}).Requests
}

// Await returns when the kernel has asked for n requests of a kind since the
// mount, answered or not. It fails t if they don't come.
func (f *FaultFS) Await(op Op, n int) {
	f.t.Helper()
	for end := time.Now().Add(childPatience); ; time.Sleep(time.Millisecond) {
		got := 0
		for _, r := range f.Requests() {
			if r.Op == op {
				got++
			}
		}
		if got >= n {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("%d requests of the kind %s came, want %d", got, op, n)
		}
	}
}

func (f *FaultFS) tell(c command) answer {
	f.t.Helper()
	var a answer
	if f.ask(c, &a); a.Err != "" {
		f.t.Error(a.Err)
	}
	return a
}

// Pattern fills p with what a [SlowFile] has at off: no two pages are alike.
func Pattern(p []byte, off int64) {
	for i := range p {
		p[i] = byte((uint64(off+int64(i)) * 0x9e3779b97f4a7c15) >> 56) // Fibonacci hashing
	}
}

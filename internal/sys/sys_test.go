package sys_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var pageSize = uintptr(os.Getpagesize())

// linux is Linux by what it does: elsewhere nothing tells a kernel release.
var linux = testenv.Kernel() != ""

// offered skips t where the platform lacks the calls that it is about.
func offered(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) && !linux {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func anonymous(t *testing.T, pages uintptr) uintptr {
	t.Helper()
	addr, err := sys.Mmap(0, pages*pageSize, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
	offered(t, err)
	t.Cleanup(func() {
		if err := sys.Munmap(addr, pages*pageSize); err != nil {
			t.Error(err)
		}
	})
	return addr
}

func open(t *testing.T, name string, mode int) int {
	t.Helper()
	fd, err := sys.OpenFile(name, mode, 0o600)
	offered(t, err)
	t.Cleanup(func() {
		if err := sys.Close(fd); err != nil {
			t.Error(err)
		}
	})
	return fd
}

// TestMissing names what only Linux has. Elsewhere each is refused with
// errors.ErrUnsupported; on Linux none is, and the kernel judges.
func TestMissing(t *testing.T) {
	addr := anonymous(t, 1)
	advise := func(advice int) func() error {
		return func() error { return sys.Madvise(addr, pageSize, advice) }
	}
	mmap := func(flags uint32) func() error {
		return func() error {
			got, err := sys.Mmap(0, pageSize, sys.PROT_READ, flags, -1, 0)
			if err == nil {
				err = sys.Munmap(got, pageSize)
			}
			return err
		}
	}
	const private = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS
	tests := map[string]func() error{
		"MADV_FREE":           advise(sys.MADV_FREE),
		"MADV_DONTFORK":       advise(sys.MADV_DONTFORK),
		"MADV_COLD":           advise(sys.MADV_COLD),
		"MADV_POPULATE_READ":  advise(sys.MADV_POPULATE_READ),
		"MADV_POPULATE_WRITE": advise(sys.MADV_POPULATE_WRITE),
		"MADV_COLLAPSE":       advise(sys.MADV_COLLAPSE),
		"MAP_POPULATE":        mmap(private | sys.MAP_POPULATE),
		"MAP_LOCKED":          mmap(private | sys.MAP_LOCKED),
		"MAP_NORESERVE":       mmap(private | sys.MAP_NORESERVE),
		"MAP_HUGE_16GB":       mmap(private | sys.MAP_HUGETLB | sys.MAP_HUGE_16GB), // the one that has the bit missing on Linux too
		"PROT_SEM":            func() error { return sys.Mprotect(addr, pageSize, sys.PROT_READ|sys.PROT_SEM) },
		"MLOCK_ONFAULT":       func() error { return sys.Mlock2(addr, pageSize, sys.MLOCK_ONFAULT) },
		"mremap": func() error {
			_, err := sys.Mremap(addr, pageSize, pageSize, 0, 0)
			return err
		},
		"mincore": func() error { return sys.Mincore(addr, pageSize, make([]byte, 1)) },
	}
	for name, call := range tests {
		if err := call(); errors.Is(err, errors.ErrUnsupported) == linux {
			t.Errorf("%s: %v, and this is Linux: %v", name, err, linux)
		}
	}
	// A constant of another architecture has the bit on every platform.
	if err := mmap(private | 1<<30)(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a flag of another architecture: %v", err)
	}
}

// TestErrno meets the kernel's error numbers under the names of this package.
func TestErrno(t *testing.T) {
	addr := anonymous(t, 3)
	hole := addr + pageSize
	if err := sys.Munmap(hole, pageSize); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	fd := open(t, name, sys.OpenCreate)
	readOnly := open(t, name, sys.OpenRead)
	opens := func(name string, mode int) error {
		fd, err := sys.OpenFile(name, mode, 0o600)
		if err == nil {
			sys.Close(fd)
		}
		return err
	}
	maps := func(length uintptr, flags uint32, fd int) error {
		got, err := sys.Mmap(0, length, sys.PROT_READ|sys.PROT_WRITE, flags, fd, 0)
		if err == nil {
			sys.Munmap(got, length)
		}
		return err
	}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"open what is not there", opens(filepath.Join(dir, "none"), sys.OpenRead), sys.ENOENT},
		{"create what is there", opens(name, sys.OpenCreate), sys.EEXIST},
		{"write a directory", opens(dir, sys.OpenReadWrite), sys.EISDIR},
		{"map no bytes", maps(0, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1), sys.EINVAL},
		{"map neither shared nor private", maps(pageSize, sys.MAP_ANONYMOUS, -1), sys.EINVAL},
		{"map no descriptor", maps(pageSize, sys.MAP_SHARED, -1), sys.EBADF},
		{"store through a read-only descriptor", maps(pageSize, sys.MAP_SHARED, readOnly), sys.EACCES},
		{"unmap off a page border", sys.Munmap(addr+1, pageSize), sys.EINVAL},
		{"sync a hole", sys.Msync(hole, pageSize, sys.MS_SYNC), sys.ENOMEM},
		{"protect a hole", sys.Mprotect(hole, pageSize, sys.PROT_READ), sys.ENOMEM},
		{"lock a hole", sys.Mlock(hole, pageSize), sys.ENOMEM},
		{"a cut to less than nothing", sys.Truncate(fd, -1), sys.EINVAL},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	fd := open(t, filepath.Join(dir, "f"), sys.OpenCreate)
	if n, err := sys.Pwrite(fd, []byte("hello"), 10); n != 5 || err != nil {
		t.Fatalf("Pwrite = %d, %v", n, err)
	}
	p := make([]byte, 20)
	if n, err := sys.Pread(fd, p, 8); n != 7 || err != nil || !bytes.Equal(p[:n], []byte("\x00\x00hello")) {
		t.Errorf("Pread = %q, %v", p[:n], err)
	}
	if st, err := sys.Fstat(fd); err != nil || st.Kind != sys.Regular || st.Size != 15 || st.Uid != uint32(os.Getuid()) {
		t.Errorf("Fstat = %+v, %v", st, err)
	}
	d, err := sys.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(d)
	if st, err := sys.Fstat(d); err != nil || st.Kind != sys.Directory {
		t.Errorf("Fstat of a directory = %+v, %v", st, err)
	}
	for mode, want := range map[int]bool{sys.OpenRead: false, sys.OpenReadWrite: true} {
		r, w, err := sys.Access(open(t, filepath.Join(dir, "f"), mode))
		if !r || w != want || err != nil {
			t.Errorf("Access in mode %d = %v, %v, %v", mode, r, w, err)
		}
	}
}

// TestBlocks holds what the three calls on a file's blocks promise of its size.
func TestBlocks(t *testing.T) {
	fd := open(t, filepath.Join(testenv.DiskDir(t), "f"), sys.OpenCreate)
	const block = 1 << 16
	size := func() (int64, int64) {
		t.Helper()
		st, err := sys.Fstat(fd)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size, st.Blocks * 512
	}
	offered(t, sys.Allocate(fd, 0, 4*block))
	if n, real := size(); n != 0 || real < 4*block {
		t.Errorf("Allocate: size %d, blocks for %d", n, real)
	}
	offered(t, sys.Extend(fd, 0, 8*block))
	offered(t, sys.Extend(fd, 0, block)) // it never shrinks
	if n, real := size(); n != 8*block || real < 8*block {
		t.Errorf("Extend: size %d, blocks for %d", n, real)
	}
	if _, err := sys.Pwrite(fd, bytes.Repeat([]byte{1}, 2*block), 0); err != nil {
		t.Fatal(err)
	}
	offered(t, sys.PunchHole(fd, 0, block+1))
	p := make([]byte, block+2)
	if _, err := sys.Pread(fd, p, 0); err != nil || !bytes.Equal(p[:block+1], make([]byte, block+1)) || p[block+1] != 1 {
		t.Errorf("PunchHole left other bytes than zeros, or took one too many (%v)", err)
	}
	if n, _ := size(); n != 8*block {
		t.Errorf("PunchHole: size %d", n)
	}
}

// TestReopen holds the difference that Reopen is for: a duplicate shares the
// open file description and its mode, a reopened one has its own.
func TestReopen(t *testing.T) {
	fd := open(t, filepath.Join(t.TempDir(), "f"), sys.OpenCreate)
	dup, err := sys.Dup(fd)
	offered(t, err)
	defer sys.Close(dup)
	own, err := sys.Reopen(fd, sys.OpenRead)
	offered(t, err)
	defer sys.Close(own)
	if _, w, err := sys.Access(dup); !w || err != nil {
		t.Errorf("the duplicate is not writable (%v)", err)
	}
	if _, w, err := sys.Access(own); w || err != nil {
		t.Errorf("the reopened descriptor is writable (%v)", err)
	}
	if !sys.MayWrite(own) {
		t.Error("MayWrite is false for one's own file")
	}
}

// TestCachestat counts pages that were written and then written out.
func TestCachestat(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	fd := open(t, filepath.Join(testenv.DiskDir(t), "f"), sys.OpenCreate)
	const pages = 4
	n := int64(pages * pageSize)
	if _, err := sys.Pwrite(fd, make([]byte, n), 0); err != nil {
		t.Fatal(err)
	}
	if st, err := sys.Cachestat(fd, 0, n); err != nil || st.Cached != pages {
		t.Errorf("after a write: %+v, %v", st, err)
	}
	if err := sys.Fsync(fd); err != nil {
		t.Fatal(err)
	}
	if st, err := sys.Cachestat(fd, 0, n); err != nil || st.Dirty != 0 || st.Writeback != 0 {
		t.Errorf("after fsync: %+v, %v", st, err)
	}
}

// TestPreadNow reads a page that is not in memory: it is told so, and that page
// comes in without anybody asking for it again.
func TestPreadNow(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	fd := open(t, filepath.Join(testenv.DiskDir(t), "f"), sys.OpenCreate)
	want := bytes.Repeat([]byte("now"), int(pageSize))
	if _, err := sys.Pwrite(fd, want, 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4*pageSize)
	if n, err := sys.PreadNow(fd, got, 0); err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("of what is in memory: %d bytes, %v", n, err)
	}
	if n, err := sys.PreadNow(fd, got, int64(len(want))); n != 0 || err != nil {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
	inMemory := func() bool {
		st, err := sys.Cachestat(fd, 0, int64(len(want)))
		if err != nil {
			t.Fatal(err)
		}
		return st.Cached > 0
	}
	if err := sys.Fsync(fd); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); inMemory(); { // a page in a batch of the processor's is not dropped at once
		if err := sys.DropCache(fd, 0, int64(len(want))); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the pages stay in memory")
		}
	}
	n, err := sys.PreadNow(fd, got[:pageSize], 0)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, "this file system has no reads that do not wait")
	}
	if n > 0 || err != sys.EAGAIN {
		t.Fatalf("of what is not in memory: %d bytes, %v", n, err)
	}
	if !inMemory() {
		t.Error("the kernel did not begin to read")
	}
}

func TestMemfd(t *testing.T) {
	testenv.Need(t, testenv.MemfdCreate)
	fd, err := sys.Memfd("sys-test", false, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(fd)
	if err := sys.Truncate(fd, int64(pageSize)); err != nil {
		t.Fatal(err)
	}
	addr, err := sys.Mmap(0, pageSize, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED, fd, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Munmap(addr, pageSize)
	copy(mem.Bytes(addr, 5), "hello")
	p := make([]byte, 5)
	if _, err := sys.Pread(fd, p, 0); string(p) != "hello" || err != nil {
		t.Errorf("a store through the mapping reads as %q, %v", p, err)
	}
}

// TestBorrow duplicates a descriptor of this process as if it were another's.
func TestBorrow(t *testing.T) {
	testenv.Need(t, testenv.Feature{Name: "pidfd_getfd", Since: "5.6", Probe: func() error {
		fd, err := sys.Borrow(os.Getpid(), 0)
		if err == nil {
			sys.Close(fd)
		}
		return err
	}})
	fd := open(t, filepath.Join(t.TempDir(), "f"), sys.OpenCreate)
	got, err := sys.Borrow(os.Getpid(), fd)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(got)
	a, errA := sys.Fstat(fd)
	b, errB := sys.Fstat(got)
	if a != b || errA != nil || errB != nil {
		t.Errorf("%+v (%v) and %+v (%v) are two files", a, errA, b, errB)
	}
}

// The kernel's answer must be where the caller looks for it, though stacks move when
// they grow.
func TestMincoreAnswersOnTheStack(t *testing.T) {
	addr := anonymous(t, 1)
	mem.Bytes(addr, 1)[0] = 1
	offered(t, sys.Mincore(addr, pageSize, make([]byte, 1)))
	for range 50 { // each with a stack of its own, which grows at some depth
		done := make(chan int)
		go func() { done <- mincoreAtDepths(addr, 1000) }()
		if lost := <-done; lost > 0 {
			t.Fatalf("%d answers were lost", lost)
		}
	}
}

//go:noinline
func mincoreAtDepths(addr uintptr, depth int) (lost int) {
	var vec [1]byte
	if err := sys.Mincore(addr, pageSize, vec[:]); err != nil || vec[0]&1 == 0 {
		lost++
	}
	if depth > 0 {
		lost += mincoreAtDepths(addr, depth-1)
	}
	return lost
}

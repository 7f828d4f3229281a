package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
)

var pageSize = int64(os.Getpagesize())

// openFile is a descriptor of the file at path until t ends.
func openFile(t *testing.T, path string) int {
	t.Helper()
	fd, err := sys.OpenFile(path, sys.OpenReadWrite, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close(fd) })
	return fd
}

// newFile makes a file of this many pages with the pattern in it, on its disk.
func newFile(t *testing.T, path string, pages int64) {
	t.Helper()
	p := make([]byte, pages*pageSize)
	Pattern(p, 0)
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sys.Fsync(openFile(t, path)); err != nil {
		t.Fatal(err)
	}
}

// reads reads page i and wants its pattern, or this error.
func reads(t *testing.T, fd int, i int64, want error) {
	t.Helper()
	got, pattern := make([]byte, pageSize), make([]byte, pageSize)
	Pattern(pattern, i*pageSize)
	n, err := sys.Pread(fd, got, i*pageSize)
	if !errors.Is(err, want) || err == nil && (n != len(got) || !bytes.Equal(got, pattern)) {
		t.Errorf("page %d: %d bytes, %v; want %v", i, n, err, want)
	}
}

// mapFile maps the file at path, shared and writable, until t ends.
func mapFile(t *testing.T, path string, n int64) []byte {
	t.Helper()
	addr, err := sys.Mmap(0, uintptr(n), sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED, openFile(t, path), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Munmap(addr, uintptr(n)); err != nil {
			t.Error(err)
		}
	})
	return mem.Bytes(addr, int(n))
}

// randomly tells the kernel to read page by page.
func randomly(t *testing.T, p []byte) {
	t.Helper()
	if err := sys.Madvise(mem.AddrOf(p), uintptr(len(p)), sys.MADV_RANDOM); err != nil {
		t.Fatal(err)
	}
}

var sink byte

// touch loads the first byte of page i and answers the fault it was.
func touch(p []byte, i int64) (fault any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() }()
	sink = p[i*pageSize]
	return nil
}

// selfTest runs one test of this binary in another process.
func selfTest(t *testing.T, name string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), self(t), "-test.run=^"+name+"$")
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// asked lists the requests of a kind that came after the first n.
func asked(f *FaultFS, op Op, n int) (list []Request) {
	for _, r := range f.Requests() {
		if r.Op == op {
			list = append(list, r)
		}
	}
	return list[n:]
}

func TestSlowFSCountsReadsAndCaches(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 64 * pageSize})
	fd := openFile(t, f.Path)
	for range 2 { // the second time from the page cache
		for _, i := range []int64{0, 1, 40} {
			reads(t, fd, i, nil)
		}
	}
	want := []Request{}
	for _, i := range []int64{0, 1, 40} {
		want = append(want, Request{Op: Read, Off: i * pageSize, Len: pageSize, Done: true})
	}
	if got := asked(f, Read, 0); !slices.Equal(got, want) {
		t.Errorf("requests %+v, want %+v", got, want)
	}
	f.Evict(pageSize, pageSize)
	reads(t, fd, 0, nil)
	reads(t, fd, 1, nil)
	if got := asked(f, Read, 3); !slices.Equal(got, want[1:2]) {
		t.Errorf("requests after an eviction %+v, want %+v", got, want[1:2])
	}
}

func TestSlowFSReadAhead(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 64 * pageSize, ReadAhead: int(16 * pageSize)})
	fd := openFile(t, f.Path)
	for i := range int64(64) {
		reads(t, fd, i, nil)
	}
	if n := len(asked(f, Read, 0)); n > 16 {
		t.Errorf("%d requests for 64 pages in order with read-ahead", n)
	}
}

func TestSlowFSKeepsItsCache(t *testing.T) {
	for _, keep := range []bool{false, true} {
		f := SlowFS(t, SlowFile{Size: pageSize, KeepCache: keep})
		for range 2 {
			reads(t, openFile(t, f.Path), 0, nil)
		}
		if n, want := len(asked(f, Read, 0)), map[bool]int{false: 2, true: 1}[keep]; n != want {
			t.Errorf("KeepCache %v: %d requests by two opens, want %d", keep, n, want)
		}
	}
}

func TestSlowFSFaults(t *testing.T) {
	const delay = 20 * time.Millisecond
	for _, tt := range []struct {
		name  string
		fault Fault
		want  error
	}{
		{"slow", Fault{Op: Read, Delay: delay}, nil},
		{"failing at once", Fault{Op: Read, Err: sys.EIO}, sys.EIO},
		{"failing late", Fault{Op: Read, Delay: delay, Err: sys.EIO}, sys.EIO},
		{"a range", Fault{Op: Read, Off: 2 * pageSize, Len: 2*pageSize - 1, Err: sys.EIO}, sys.EIO},
		{"elsewhere", Fault{Op: Read, Off: 4 * pageSize, Err: sys.EIO}, nil},
		{"elsewhere before", Fault{Op: Read, Len: 3 * pageSize, Err: sys.EIO}, nil},
		{"other requests", Fault{Op: Write, Err: sys.EIO}, nil},
		{"later", Fault{Op: Read, After: 9, Err: sys.EIO}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := SlowFS(t, SlowFile{Size: 8 * pageSize})
			fd := openFile(t, f.Path)
			f.Set(tt.fault)
			start := time.Now()
			reads(t, fd, 3, tt.want)
			if took := time.Since(start); took < tt.fault.Delay {
				t.Errorf("took %v, less than %v", took, tt.fault.Delay)
			}
			if got := asked(f, Read, 0); tt.want != nil && (len(got) == 0 || got[0].Err != tt.want) {
				t.Errorf("requests %+v, want %v", got, tt.want)
			}
			f.Set()
			reads(t, fd, 3, nil)
		})
	}
}

// TestSlowFSServesManyAtOnce holds 32 reads at the same time: each waits alone.
func TestSlowFSServesManyAtOnce(t *testing.T) {
	const readers = 32
	f := SlowFS(t, SlowFile{Size: readers * pageSize})
	fd := openFile(t, f.Path)
	f.Set(Fault{Op: Read, Delay: Hold})
	done := make(chan bool)
	for i := range int64(readers) {
		go func() {
			reads(t, fd, i, nil)
			done <- true
		}()
	}
	f.Await(Read, readers)
	for _, r := range f.Requests() {
		if r.Op == Read && r.Done {
			t.Errorf("%+v was answered before Set", r)
		}
	}
	f.Set()
	for range readers {
		<-done
	}
}

// TestSlowFSFaultsOfMemory takes the page faults of a mapping: the server is
// another process, so that none of this one's goroutines has to run.
func TestSlowFSFaultsOfMemory(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 4 * pageSize})
	p := mapFile(t, f.Path, 4*pageSize)
	f.Set(Fault{Op: Read, Delay: 2 * time.Millisecond}, Fault{Op: Read, Off: 0})
	want := make([]byte, len(p))
	Pattern(want, 0)
	if !bytes.Equal(p, want) {
		t.Error("the mapping has other bytes than the pattern")
	}
	f.Evict(0, 0)
	f.Set(Fault{Op: Read, Off: 2 * pageSize, Len: pageSize, Err: sys.EIO})
	for i := range int64(4) {
		if fault := touch(p, i); (fault != nil) != (i == 2) {
			t.Errorf("page %d: fault %v", i, fault)
		}
	}
}

func TestSlowFSTruncates(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 8 * pageSize})
	p := mapFile(t, f.Path, 8*pageSize)
	for i := range int64(8) {
		touch(p, i)
	}
	if _, err := os.Stat(f.Path); err != nil { // so that the kernel knows the size and need not ask
		t.Fatal(err)
	}
	f.Truncate(4*pageSize + 1)
	for i := range int64(8) {
		if fault := touch(p, i); (fault != nil) != (i > 4) {
			t.Errorf("page %d of 4 and a byte: fault %v", i, fault)
		}
	}
	if tail := p[4*pageSize+1 : 5*pageSize]; !bytes.Equal(tail, make([]byte, len(tail))) {
		t.Error("there are bytes behind the end")
	}
	f.Truncate(8 * pageSize)
	if fault := touch(p, 7); fault != nil || p[7*pageSize] != 0 {
		t.Errorf("a page that came back: %v, %#x", fault, p[7*pageSize])
	}
}

func TestSlowFSTruncatesMidway(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 8 * pageSize})
	p := mapFile(t, f.Path, 8*pageSize)
	f.Set(Fault{Op: Read, After: 3, TruncateTo: 2 * pageSize})
	for i := range int64(8) {
		// The kernel learns of it from the first page that it can't fill.
		if fault := touch(p, i); (fault != nil) != (i >= 3) {
			t.Errorf("page %d: fault %v", i, fault)
		}
	}
}

func TestSlowFSWrites(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 4 * pageSize})
	fd := openFile(t, f.Path)
	if _, err := sys.Pwrite(fd, []byte("written"), pageSize-3); err != nil {
		t.Fatal(err)
	}
	f.Evict(0, 0)
	got := make([]byte, 9)
	want := append(make([]byte, 1), "written\x00"...)
	Pattern(want[:1], pageSize-4)
	Pattern(want[8:], pageSize+4)
	if _, err := sys.Pread(fd, got, pageSize-4); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
	f.Set(Fault{Op: Write, Err: sys.ENOSPC}, Fault{Op: Sync, Err: sys.EIO}, Fault{Op: Flush, Err: sys.EDQUOT})
	if _, err := sys.Pwrite(fd, []byte("x"), 0); !errors.Is(err, sys.ENOSPC) {
		t.Errorf("write: %v, want ENOSPC", err)
	}
	if err := sys.Fsync(fd); !errors.Is(err, sys.EIO) {
		t.Errorf("fsync: %v, want EIO", err)
	}
	other, err := sys.OpenFile(f.Path, sys.OpenRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := sys.Close(other); !errors.Is(err, sys.EDQUOT) {
		t.Errorf("close: %v, want EDQUOT", err)
	}
	f.Set()
	if err := sys.Fsync(fd); err != nil {
		t.Errorf("fsync: %v", err)
	}
}

// TestSlowFSWriteBack makes a store fail on its way out, as a disk does.
func TestSlowFSWriteBack(t *testing.T) {
	f := SlowFS(t, SlowFile{Size: 4 * pageSize})
	fd := openFile(t, f.Path)
	p := mapFile(t, f.Path, 4*pageSize)
	p[pageSize]++
	f.Set(Fault{Op: Write, Off: pageSize, Len: pageSize, Err: sys.EIO})
	if err := sys.Fsync(fd); !errors.Is(err, sys.EIO) {
		t.Errorf("fsync: %v, want EIO", err)
	}
	if err := sys.Fsync(fd); err != nil {
		t.Errorf("second fsync: %v, want success", err)
	}
	if got := asked(f, Write, 0); len(got) != 1 || got[0].Off != pageSize {
		t.Errorf("writes %+v, want one of page 1", got)
	}
}

// TestRigsEndWithTheProcess kills a child in the middle of its test, with
// threads that wait for the rigs and can't die, and looks for what it left.
func TestRigsEndWithTheProcess(t *testing.T) {
	const diesVar = "TESTENV_DIES"
	if os.Getenv(diesVar) != "" {
		f := SlowFS(t, SlowFile{Size: pageSize})
		f.Set(Fault{Op: Read, Delay: Hold})
		go touch(mapFile(t, f.Path, pageSize), 0)
		f.Await(Read, 1)
		d := FailingDisk(t, "ext4", 16<<20)
		name := filepath.Join(d.Root, "f")
		newFile(t, name, 1)
		fd := openFile(t, name)
		if _, err := sys.Pwrite(fd, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		syncs := len(asked(d.Device, Sync, 0))
		d.Device.Set(Fault{Op: Sync, Delay: Hold})
		go sys.Fsync(fd)
		d.Device.Await(Sync, syncs+1)
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	}
	Need(t, Root, Fuse)
	FailingDisk(t, "ext4", 16<<20) // skips where the child would
	dir := t.TempDir()
	cmd := selfTest(t, t.Name(), diesVar+"=1", "TMPDIR="+dir, "GOMAXPROCS=2") // the held page fault takes one
	if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "FAIL") {
		t.Fatalf("the child: %v, want a killed one\n%s", err, out)
	}
	for end := time.Now().Add(childPatience); ; time.Sleep(time.Millisecond) {
		left, err := filepath.Glob(fmt.Sprintf("/dev/shm/mmap-test-%d-*", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		dirs, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 && len(dirs) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left: %q and %v, mounted: %q", left, dirs, mountsBelow(t, dir))
		}
	}
}

// TestRigsEndWithAFailedTest lets a test panic: its cleanups run.
func TestRigsEndWithAFailedTest(t *testing.T) {
	const panicsVar = "TESTENV_PANICS"
	if os.Getenv(panicsVar) != "" {
		SlowFS(t, SlowFile{Size: pageSize}).Set(Fault{Op: Read, Delay: Hold})
		panic("a rig is up")
	}
	SlowFS(t, SlowFile{Size: pageSize}) // skips where the child would
	dirs := t.TempDir()
	out, err := selfTest(t, t.Name(), panicsVar+"=1", "TMPDIR="+dirs).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "a rig is up") {
		t.Fatalf("the child: %v, want a panic\n%s", err, out)
	}
	if left := mountsBelow(t, dirs); len(left) > 0 {
		t.Errorf("left mounted: %q", left)
	}
	if left, err := os.ReadDir(dirs); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func mountsBelow(t *testing.T, dir string) (list []string) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasPrefix(f[1], dir+"/") {
			list = append(list, f[1])
		}
	}
	return list
}

func TestFill(t *testing.T) {
	for kind, size := range map[string]int64{"ext4": 16 << 20, "xfs": 300 << 20, "btrfs": 128 << 20} {
		t.Run(kind, func(t *testing.T) {
			root := LoopFS(t, kind, size)
			sparse := filepath.Join(root, "sparse")
			if err := os.WriteFile(sparse, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(sparse, 64*pageSize); err != nil {
				t.Fatal(err)
			}
			fd, page := openFile(t, sparse), make([]byte, pageSize)
			free := Fill(t, root)
			if _, err := sys.Pwrite(fd, page, 0); !errors.Is(err, sys.ENOSPC) {
				t.Errorf("a write to a hole of a full disk: %v, want ENOSPC", err)
			}
			free()
			if _, err := sys.Pwrite(fd, page, 0); err != nil {
				t.Errorf("a write after free: %v", err)
			}
			if err := sys.Fsync(fd); err != nil {
				t.Errorf("fsync after free: %v", err)
			}
		})
	}
}

func TestFreezeStopsWriters(t *testing.T) {
	root := LoopFS(t, "ext4", 16<<20)
	name := filepath.Join(root, "f")
	newFile(t, name, 1)
	fd := openFile(t, name)
	thaw := Freeze(t, root)
	reads(t, fd, 0, nil)
	wrote := make(chan error)
	go func() {
		_, err := sys.Pwrite(fd, []byte("x"), 0)
		wrote <- err
	}()
	select {
	case err := <-wrote:
		t.Errorf("a write to a frozen file system ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	thaw()
	if err := <-wrote; err != nil {
		t.Errorf("the write after the thaw: %v", err)
	}
	Freeze(t, root) // and its cleanup thaws, or the unmount fails
}

// TestWatchdogThaws writes to a frozen file system that nobody else thaws.
func TestWatchdogThaws(t *testing.T) {
	root := LoopFS(t, "ext4", 16<<20)
	dir, err := sys.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(dir)
	var ready string
	keep(t, thawer, thawSpec{root, 50 * time.Millisecond}).ask(nil, &ready)
	if err := sys.FreezeFS(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "f"), nil, 0o600); err != nil {
		t.Error(err)
	}
}

// TestFreezeEndsWithTheProcess kills a child while it holds a file system frozen.
func TestFreezeEndsWithTheProcess(t *testing.T) {
	const rootVar = "TESTENV_FROZEN"
	if root := os.Getenv(rootVar); root != "" {
		Freeze(t, root)
		go os.WriteFile(filepath.Join(root, "g"), nil, 0o600)
		time.Sleep(10 * time.Millisecond) // most likely its thread waits then, and can't die before the thaw
		os.Exit(3)
	}
	root := LoopFS(t, "ext4", 16<<20)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := selfTest(t, t.Name(), rootVar+"="+root)
	cmd.ExtraFiles = []*os.File{w} // the watchdog inherits it
	out, err := cmd.CombinedOutput()
	w.Close()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("the child: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(root, "f"), nil, 0o600); err != nil { // waits for the thaw
		t.Error(err)
	}
	if _, err := io.ReadAll(r); err != nil { // to the end of the watchdog, which is on that file system
		t.Error(err)
	}
}

func TestFailingDisk(t *testing.T) {
	for kind, size := range map[string]int64{"ext4": 16 << 20, "xfs": 300 << 20} {
		t.Run(kind, func(t *testing.T) {
			d := FailingDisk(t, kind, size)
			name := filepath.Join(d.Root, "f")
			newFile(t, name, 16)
			fd := openFile(t, name)

			d.SetFile(name, Fault{Op: Write, Off: 5 * pageSize, Len: pageSize, Err: sys.EIO})
			if _, err := sys.Pwrite(fd, []byte("lost"), 5*pageSize); err != nil {
				t.Fatal(err)
			}
			if err := sys.Fsync(fd); !errors.Is(err, sys.EIO) {
				t.Errorf("fsync: %v, want EIO", err)
			}
			if err := sys.Fsync(fd); err != nil {
				t.Errorf("second fsync: %v, want success", err)
			}

			d.SetFile(name, Fault{Op: Read, Off: 5 * pageSize, Len: pageSize, Err: sys.EIO})
			if err := sys.DropCache(fd, 0, 0); err != nil {
				t.Fatal(err)
			}
			p := mapFile(t, name, 16*pageSize)
			randomly(t, p) // or a folio of several pages would fail as a whole
			for i := range int64(16) {
				if fault := touch(p, i); (fault != nil) != (i == 5) {
					t.Errorf("page %d: fault %v", i, fault)
				}
			}
			reads(t, fd, 5, sys.EIO)
			d.Device.Set()
			reads(t, fd, 5, nil) // what was lost never came to the disk

			d.Device.Set(Fault{Op: Sync, Err: sys.EIO})
			if _, err := sys.Pwrite(fd, []byte("x"), 0); err != nil {
				t.Fatal(err)
			}
			if err := sys.Fsync(fd); !errors.Is(err, sys.EIO) {
				t.Errorf("fsync with a failing flush: %v, want EIO", err)
			}
			d.Device.Set(Fault{Op: Write, Delay: Hold}, Fault{Op: Sync, Delay: Hold}) // and the end of t heals it, or it can't be unmounted
		})
	}
}

func TestReflinkSharesBlocks(t *testing.T) {
	for kind, size := range map[string]int64{"xfs": 300 << 20, "btrfs": 128 << 20} {
		t.Run(kind, func(t *testing.T) {
			root := LoopFS(t, kind, size)
			from, to := filepath.Join(root, "from"), filepath.Join(root, "to")
			newFile(t, from, 16)
			if shared, err := sys.SharesBlocks(openFile(t, from)); shared || err != nil {
				t.Fatalf("a new file shares blocks: %v, %v", shared, err)
			}
			Reflink(t, from, to)
			fd := openFile(t, to)
			if shared, err := sys.SharesBlocks(fd); !shared || err != nil {
				t.Errorf("a reflink shares blocks: %v, %v", shared, err)
			}
			reads(t, fd, 15, nil)
		})
	}
}

func TestTruncatorDamagesAndRestores(t *testing.T) {
	const pages, least = 64, 10
	name := filepath.Join(DiskDir(t), "f")
	newFile(t, name, pages)
	tr := Truncate(t, name, least*pageSize)
	whole := pages * pageSize
	var short, long bool
	for end := time.Now().Add(childPatience); !(short && long) && time.Now().Before(end); {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		short, long = short || info.Size() < whole, long || short && info.Size() == whole
		if info.Size() < least*pageSize || info.Size() > whole {
			t.Fatalf("%d bytes long", info.Size())
		}
	}
	d := tr.Stop()
	if !short || !long || d.Cuts == 0 || d.Grows == 0 {
		t.Errorf("seen short %v, seen whole again %v; %+v", short, long, d)
	}
	got, err := os.ReadFile(name)
	if err != nil || int64(len(got)) != whole {
		t.Fatalf("%d bytes at the end, %v", len(got), err)
	}
	want := make([]byte, len(got))
	Pattern(want, 0)
	for i := range got {
		if got[i] != want[i] && (got[i] != 0 || int64(i) < least*pageSize) {
			t.Fatalf("byte %d is %#x, want %#x or, behind %d, 0", i, got[i], want[i], least*pageSize)
		}
	}
}

func TestTruncatorRepeats(t *testing.T) {
	t.Setenv("MMAP_TEST_SEED", "7")
	s := truncatorSpec{Path: filepath.Join(t.TempDir(), "f"), Max: 1 << 20, Seed: Seed(t)}
	if err := os.WriteFile(s.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var lengths [2][]int64
	for i := range lengths {
		r := rand.New(rand.NewPCG(s.Seed, 0))
		for range 20 {
			if err := s.hurt(r, &Damage{}); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(s.Path)
			if err != nil {
				t.Fatal(err)
			}
			lengths[i] = append(lengths[i], info.Size())
		}
		if err := os.Truncate(s.Path, 0); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(lengths[0], lengths[1]) {
		t.Errorf("one seed, two stories: %d and %d", lengths[0], lengths[1])
	}
}

// TestTruncatorRestores stops it after one blow of any kind.
func TestTruncatorRestores(t *testing.T) {
	stop := make(chan bool)
	close(stop)
	for seed := range uint64(20) {
		s := truncatorSpec{Path: filepath.Join(t.TempDir(), "f"), Max: 1 << 20, Seed: seed}
		if err := os.WriteFile(s.Path, make([]byte, s.Max), 0o600); err != nil {
			t.Fatal(err)
		}
		d := s.rage(stop)
		info, err := os.Stat(s.Path)
		if err != nil || info.Size() != s.Max || d.Err != "" {
			t.Errorf("seed %d: %+v, then %d bytes, %v", seed, d, info.Size(), err)
		}
	}
}

func TestOverlay(t *testing.T) {
	o := Overlay(t)
	name := func(dir string) string { return filepath.Join(dir, "f") }
	if err := os.WriteFile(name(o.Lower), []byte("low"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name(o.Merged)); err != nil || string(b) != "low" {
		t.Fatalf("merged has %q, %v", b, err)
	}
	if err := os.WriteFile(name(o.Merged), []byte("up"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{o.Lower: "low", o.Upper: "up", o.Merged: "up"} {
		if b, err := os.ReadFile(name(dir)); err != nil || string(b) != want {
			t.Errorf("%s has %q, %v; want %q", dir, b, err, want)
		}
	}
}

package mmap_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestSyncPromisesOnlyWhatItCanKeep(t *testing.T) {
	name := newFile(t, pattern(pageSize))
	for _, row := range []struct {
		what string
		m    *mmap.Mapping
		err  error
	}{
		{"read-only: nothing to write", hold(t)(mmap.Open(name)), nil},
		{"no access: nothing to write", hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.NoAccess})), nil},
		{"read-write", hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite})), nil},
		{"copy-on-write", hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.CopyOnWrite})), mmap.ErrNoFile},
		{"anonymous", hold(t)(mmap.Anonymous(pageSize, mmap.Options{})), mmap.ErrNoFile},
		{"shared anonymous", hold(t)(mmap.Anonymous(pageSize, mmap.Options{Sharing: mmap.Shared})), mmap.ErrNoFile},
	} {
		for call, err := range map[string]error{
			"Sync": row.m.Sync(), "SyncWait": row.m.SyncRange(1, 2, mmap.SyncWait), "SyncStart": row.m.SyncRange(1, 2, mmap.SyncStart),
		} {
			if row.err == nil && err != nil {
				t.Errorf("%s, %s: %v", row.what, call, err)
			}
			if row.err != nil {
				wantError(t, err, row.err)
			}
		}
	}
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	wantError(t, m.SyncRange(0, 1, mmap.SyncInvalidate+1), fs.ErrInvalid)
	wantError(t, m.SyncRange(0, pageSize+1, mmap.SyncWait), mmap.ErrOutOfRange)
	wantError(t, m.SyncRange(-1, 1, mmap.SyncStart), mmap.ErrOutOfRange)
	wantError(t, m.SyncRange(0, -1, mmap.SyncInvalidate), mmap.ErrOutOfRange)
	for mode := mmap.SyncWait; mode <= mmap.SyncInvalidate; mode++ {
		if err := m.SyncRange(int64(pageSize), 0, mode); err != nil {
			t.Errorf("%v of nothing: %v", mode, err)
		}
	}
}

// farApart is further than the largest folio, so that pages are dirty one by one.
const farApart = 4 << 20

func dirtyFile(t *testing.T) (m *mmap.Mapping, f *os.File) {
	t.Helper()
	testenv.Need(t, testenv.Cachestat)
	name := newFileIn(t, testenv.DiskDir(t), make([]byte, 3*farApart))
	f = openFile(t, name, os.O_RDWR)
	m = hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < 3*farApart; at += farApart {
		if _, err := m.WriteAt([]byte("dirty"), at+10); err != nil {
			t.Fatal(err)
		}
		if c := cached(t, f, at, int64(pageSize)); c.Dirty == 0 {
			t.Fatalf("a store did not make its page dirty: %+v", c)
		}
	}
	return m, f
}

func wantClean(t *testing.T, f *os.File, off, n int64) {
	t.Helper()
	if c := cached(t, f, off, n); c.Dirty != 0 || c.Writeback != 0 {
		t.Errorf("[%d, +%d) has %d dirty pages and %d under writeback", off, n, c.Dirty, c.Writeback)
	}
}

func TestSyncWritesTheRange(t *testing.T) {
	m, f := dirtyFile(t)
	if err := m.SyncRange(farApart+3, 9, mmap.SyncWait); err != nil { // unaligned at both ends
		t.Fatal(err)
	}
	wantClean(t, f, farApart, int64(pageSize))
	if c := cached(t, f, 0, int64(pageSize)); c.Dirty == 0 {
		t.Error("a page outside of the range was synced too")
	}
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	wantClean(t, f, 0, 3*farApart)
}

// msync with MS_ASYNC changes nothing on Linux; SyncStart starts the write.
func TestSyncStartStartsWriting(t *testing.T) {
	m, f := dirtyFile(t)
	if err := m.SyncRange(farApart, 100, mmap.SyncStart); err != nil {
		t.Fatal(err)
	}
	if c := cached(t, f, farApart, int64(pageSize)); c.Dirty != 0 {
		t.Errorf("%d pages are still only dirty: %+v", c.Dirty, c)
	}
	if c := cached(t, f, 0, int64(pageSize)); c.Dirty == 0 {
		t.Error("a page outside of the range was written too")
	}
}

// Every store made so far: those in pages that Resize gave back are among them.
func TestSyncCoversWhatResizeGaveBack(t *testing.T) {
	m, f := dirtyFile(t)
	if err := m.Resize(100); err != nil {
		t.Fatal(err)
	}
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	wantClean(t, f, 0, 3*farApart)
}

func TestSyncInvalidateDropsTheCache(t *testing.T) {
	m, f := dirtyFile(t)
	if err := m.SyncRange(farApart+5, 5, mmap.SyncInvalidate); err != nil {
		t.Fatal(err)
	}
	if c := cached(t, f, farApart, int64(pageSize)); c.Cached != 0 {
		t.Errorf("%d pages are still cached", c.Cached)
	}
	if err := m.SyncRange(0, m.Len(), mmap.SyncInvalidate); err != nil {
		t.Fatal(err)
	}
	if c := cached(t, f, 0, 3*farApart); c.Cached != 0 {
		t.Errorf("%d pages are still cached", c.Cached)
	}
	if got := part(t, m, farApart+10, 5); string(got) != "dirty" {
		t.Errorf("from the disk came %q", got)
	}
	ro := hold(t)(mmap.Open(f.Name()))
	contents(t, ro) // or read-ahead would still hold pages
	m.Close()
	if err := ro.SyncRange(0, ro.Len(), mmap.SyncInvalidate); err != nil {
		t.Errorf("through a read-only mapping: %v", err)
	}
}

func TestSyncInvalidateSaysWhatStayed(t *testing.T) {
	m, f := dirtyFile(t)
	check := func(what string) {
		t.Helper()
		err := m.SyncRange(farApart, 100, mmap.SyncInvalidate)
		if err == nil {
			t.Errorf("%s: no error, and %d pages in the cache", what, cached(t, f, farApart, int64(pageSize)).Cached)
			return
		}
		wantError(t, err, mmap.ErrStillCached)
		wantClean(t, f, farApart, int64(pageSize)) // it was synced all the same
	}
	gone := func(what string) {
		t.Helper()
		if err := m.SyncRange(farApart, 100, mmap.SyncInvalidate); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := hold(t)(mmap.Open(f.Name()))
	touch(other, farApart)
	check("another mapping has it in its page table")
	other.Close()
	gone("the other mapping is closed")

	if err := m.Lock(farApart, 1, mmap.LockNow); err != nil {
		t.Fatal(err)
	}
	check("it is locked")
	if err := m.Unlock(farApart, 1); err != nil {
		t.Fatal(err)
	}
	gone("it is unlocked")

	stop := holdInChild(t, f.Name(), farApart)
	check("another process has it in its page table")
	stop()
	gone("the other process has ended")
}

// holdInChild has another process map the file and touch the byte at off.
func holdInChild(t *testing.T, name string, off int64) (stop func()) {
	t.Helper()
	cmd := testenv.Child{Name: "touch", Env: []string{"NAME=" + name, "OFF=" + strconv.FormatInt(off, 10)}}.Command(t)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "touched\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// touch has the page in the mapping's page table, where ReadAt may do without.
func touch(m *mmap.Mapping, off int64) { touched += m.Bytes()[off] }

var touched byte // so that the load is made

var _ = testenv.Register("touch", func() {
	m, err := mmap.Open(os.Getenv("NAME"))
	if err != nil {
		panic(err)
	}
	off, err := strconv.ParseInt(os.Getenv("OFF"), 10, 64)
	if err != nil {
		panic(err)
	}
	touch(m, off)
	fmt.Println("touched")
	io.Copy(io.Discard, os.Stdin)
})

// A disk that can't be written. The kernel tells the failure once and then
// answers success; the library remembers.
func TestSyncFailureIsRemembered(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	d := testenv.FailingDisk(t, "ext4", 32<<20)
	old := pattern(1 << 20)
	name := newFileIn(t, d.Root, old)
	f := openFile(t, name, os.O_RDWR)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	a := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	b := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Length: 10}))
	other := hold(t)(mmap.Create(filepath.Join(d.Root, "other"), 100, 0o600))

	d.SetFile(name, testenv.Fault{Op: testenv.Write, Err: sys.EIO})
	if _, err := a.WriteAt([]byte("lost"), 100); err != nil {
		t.Fatal(err)
	}
	err := a.Sync()
	wantError(t, err, sys.EIO, name)
	if errors.Is(err, mmap.ErrSyncFailed) {
		t.Errorf("the first failure speaks of an earlier one: %v", err)
	}
	d.Device.Set()

	addr, span := a.Span()
	if err := sys.Msync(addr, uintptr(span), sys.MS_SYNC); err != nil {
		t.Errorf("the kernel told the failure twice: %v", err)
	}
	later := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Offset: 5000}))
	for who, m := range map[string]*mmap.Mapping{"the mapping": a, "another one": b, "one made since": later} {
		for call, err := range map[string]error{
			"Sync": m.Sync(), "wait": m.SyncRange(0, 1, mmap.SyncWait), "start": m.SyncRange(0, 1, mmap.SyncStart),
			"invalidate": m.SyncRange(0, 1, mmap.SyncInvalidate), "WriteView": m.WriteView(0, 1, func([]byte) error { return nil }),
		} {
			if err == nil {
				t.Errorf("%s, %s: no error", who, call)
				continue
			}
			wantError(t, err, mmap.ErrSyncFailed, "input/output error") // and names the first
			wantError(t, err, sys.EIO)
		}
	}
	if err := other.Sync(); err != nil {
		t.Errorf("another file: %v", err)
	}
	// Once every mapping of the file is closed, one starts anew. What could not
	// be written is gone from the disk, and then from memory too.
	for _, m := range []*mmap.Mapping{a, b, later} {
		m.Close()
	}
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	if err := m.Sync(); err != nil {
		t.Error(err)
	}
	if err := m.SyncRange(0, m.Len(), mmap.SyncInvalidate); err != nil {
		t.Error(err)
	}
	wantBytes(t, "what the disk holds", contents(t, m), old)
}

// What SyncStart could not write is a failure like any other.
func TestSyncStartFailureIsRemembered(t *testing.T) {
	d := testenv.FailingDisk(t, "ext4", 32<<20)
	name := newFileIn(t, d.Root, nil)
	if err := os.Truncate(name, 4<<20); err != nil {
		t.Fatal(err)
	}
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	other := hold(t)(mmap.Create(filepath.Join(d.Root, "other"), 100, 0o600))
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte("needs a block"), 1<<20); err != nil {
		t.Fatal(err)
	}
	d.Device.Set(testenv.Fault{Op: testenv.Write, Err: sys.EIO})
	if err := other.Sync(); err == nil { // ext4 aborts its journal, so that no block can be had
		t.Fatal("the disk can be written")
	}
	first := m.SyncRange(0, m.Len(), mmap.SyncStart)
	if first == nil {
		t.Fatal("the write-out was started")
	}
	if errors.Is(first, mmap.ErrSyncFailed) {
		t.Errorf("the first failure speaks of an earlier one: %v", first)
	}
	wantError(t, m.Sync(), mmap.ErrSyncFailed)
	if err := other.Sync(); !errors.Is(err, mmap.ErrSyncFailed) {
		t.Errorf("the other file: %v", err)
	}
}

// What is no file of a disk can't start writing, and has lost nothing by that.
func TestSyncStartWhereThereIsNothingToStart(t *testing.T) {
	testenv.Need(t, proc)
	m := hold(t)(mmap.OpenFile("/dev/zero", mmap.Options{Access: mmap.ReadWrite, Length: pageSize}))
	m.SyncRange(0, pageSize, mmap.SyncStart)
	if err := m.Sync(); err != nil {
		t.Error(err)
	}
}

// Somebody else's fsync takes the kernel's one report for its own open file
// description, and not for the mapping's.
func TestSyncFailureIsToldThoughSomebodyElseHeardIt(t *testing.T) {
	d := testenv.FailingDisk(t, "ext4", 32<<20)
	name := newFileIn(t, d.Root, pattern(1<<20))
	f := openFile(t, name, os.O_RDWR)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	m := hold(t)(mmap.Map(f, mmap.Options{Access: mmap.ReadWrite}))
	d.SetFile(name, testenv.Fault{Op: testenv.Write, Err: sys.EIO})
	if _, err := m.WriteAt([]byte("lost"), 100); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); !errors.Is(err, sys.EIO) {
		t.Fatalf("fsync of the file: %v", err)
	}
	d.Device.Set()
	wantError(t, m.Sync(), sys.EIO)
}

// Sync of a file that Create made syncs its directory too. The descriptor for
// that is taken away, so that the sync must fail.
func TestCreateSyncsTheDirectoryEntry(t *testing.T) {
	testenv.Need(t, proc)
	dir := testenv.DiskDir(t)
	m := hold(t)(mmap.Create(filepath.Join(dir, "new"), 100, 0o600))
	fd := descriptorOf(t, dir)
	if err := sys.Close(fd); err != nil {
		t.Fatal(err)
	}
	err := m.Sync()
	again, openErr := sys.OpenDir(dir) // the lowest free number is the same one
	if openErr != nil || again != fd {
		t.Fatalf("descriptor %d, want %d (%v)", again, fd, openErr)
	}
	if err == nil {
		t.Fatal("Sync succeeded without its directory")
	}
	wantError(t, err, sys.EBADF, "directory")
	wantError(t, m.Sync(), mmap.ErrSyncFailed)
	m.Close()

	// A file that was there before has an entry that is no business of ours.
	old := hold(t)(mmap.OpenFile(filepath.Join(dir, "new"), mmap.Options{Access: mmap.ReadWrite}))
	if fds := descriptorsOf(t, dir); len(fds) != 0 {
		t.Errorf("the descriptors %v of the directory are open", fds)
	}
	if err := old.Sync(); err != nil {
		t.Error(err)
	}
}

// The kernel goes through a link and then up; the name alone says otherwise.
func TestCreateSyncsTheDirectoryThatTheNameMeans(t *testing.T) {
	testenv.Need(t, proc)
	dir := testenv.DiskDir(t)
	for _, d := range []string{"here", "there/below"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../there/below", filepath.Join(dir, "here/link")); err != nil {
		t.Fatal(err)
	}
	hold(t)(mmap.Create(dir+"/here/link/../new", 100, 0o600))
	if _, err := os.Stat(filepath.Join(dir, "there/new")); err != nil {
		t.Fatal(err)
	}
	descriptorOf(t, filepath.Join(dir, "there"))
	t.Chdir(dir)
	hold(t)(mmap.Create("new", 100, 0o600))
	descriptorOf(t, dir)
}

func descriptorOf(t *testing.T, path string) int {
	t.Helper()
	fds := descriptorsOf(t, path)
	if len(fds) != 1 {
		t.Fatalf("descriptors %v of %s, want one", fds, path)
	}
	return fds[0]
}

func descriptorsOf(t *testing.T, path string) (fds []int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.TrimSuffix(to, "/") == path {
			fd, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			fds = append(fds, fd)
		}
	}
	return fds
}

// The file is synced by its descriptor, whatever has become of its name.
func TestSyncAfterTheNameIsGone(t *testing.T) {
	name := newFile(t, pattern(pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := m.Sync(); err != nil {
		t.Error(err)
	}
}

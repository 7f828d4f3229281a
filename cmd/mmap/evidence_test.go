package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// needProc skips t where there is no /proc to read evidence from.
func needProc(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/smaps"); err != nil {
		testenv.Skip(t, "needs /proc: "+err.Error())
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestParseArea(t *testing.T) {
	a := must(parseArea("7f01-7f03 rw-s 00002000 fd:00 12                         /tmp/a  b (deleted)\n"))(t)
	if a.start != 0x7f01 || a.end != 0x7f03 || a.perms != "rw-s" || a.offset != 0x2000 || a.path != "/tmp/a  b (deleted)" {
		t.Errorf("%+v", a)
	}
	if _, err := parseArea("VmFlags: rd wr"); err == nil {
		t.Error("a line that is no area was taken for one")
	}
}

func TestAreasOfFindsTheMappingAndNoOther(t *testing.T) {
	needProc(t)
	path := filepath.Join(testenv.DiskDir(t), "file")
	page := os.Getpagesize()
	if err := os.WriteFile(path, make([]byte, 3*page), 0o600); err != nil {
		t.Fatal(err)
	}
	m := must(mmap.OpenFile(path, mmap.Options{Offset: int64(page)}))(t)
	defer m.Close()
	base, span := m.Span()
	areas := must(areasOf(base, span))(t)
	if len(areas) != 1 || areas[0].start != base || areas[0].end != base+uintptr(span) ||
		areas[0].perms != "r--s" || areas[0].offset != int64(page) || areas[0].path != path {
		t.Fatalf("%+v", areas)
	}
	if n := areas[0].bytes["Size"]; n != int64(span) {
		t.Errorf("Size is %d", n)
	}
	if areas[0].bytes["Rss"] != 0 {
		t.Error("an untouched mapping has pages in the page table")
	}
	if _, err := load(m, 0); err != nil {
		t.Fatal(err)
	}
	if n := must(entriesOf(m))(t); n < 1 || n > 2 {
		t.Errorf("a touched mapping of 2 pages has %d in the page table", n)
	}
}

func TestPageEntries(t *testing.T) {
	needProc(t)
	m := must(mmap.Anonymous(2*os.Getpagesize(), mmap.Options{}))(t)
	defer m.Close()
	if err := store(m, 0, 1); err != nil {
		t.Fatal(err)
	}
	touched, err := pageEntryOf(m.Addr())
	if err != nil {
		testenv.Skip(t, "needs /proc/self/pagemap: "+err.Error())
	}
	untouched := must(pageEntryOf(m.Addr() + uintptr(os.Getpagesize())))(t)
	if !touched.present() || touched.ofFile() || untouched.present() || untouched.frame() != 0 {
		t.Errorf("touched %#x, untouched %#x", touched, untouched)
	}
	if framesReadable() != (touched.frame() != 0) {
		t.Errorf("frames are readable: %v; the entry is %#x", framesReadable(), touched)
	}
}

func TestThreadMeterCountsTheFaultsOfAFunction(t *testing.T) {
	needProc(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	meter := must(newThreadMeter())(t)
	defer meter.close()
	const n = 200
	m := must(mmap.Anonymous(n*os.Getpagesize(), mmap.Options{HugePages: mmap.NoHugePages}))(t)
	defer m.Close()
	if err := m.Advise(0, m.Len(), mmap.AdviseNoHugePage); err != nil {
		t.Log(err) // a kernel without huge pages refuses the advice, and needs none
	}
	touch := func() {
		for i := range int64(n) {
			store(m, i*int64(os.Getpagesize()), 1)
		}
	}
	// The Go runtime may add faults of its own, and never takes one away.
	if c := must(meter.during(touch))(t); c.minor < n || c.major != 0 {
		t.Errorf("%d stores to new pages: %d minor and %d major faults", n, c.minor, c.major)
	}
	if c := must(meter.during(touch))(t); c.minor >= n {
		t.Errorf("%d stores to pages that are there: %d faults", n, c.minor)
	}
}

func TestFaultsAreReadBehindAnyProcessName(t *testing.T) {
	stat := filepath.Join(t.TempDir(), "stat")
	if err := os.WriteFile(stat, []byte("7 (a) b (c) S 1 2 3 4 5 6 70 8 90 11 12 13"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := must(os.Open(stat))(t)
	defer f.Close()
	minor, major, err := (&threadMeter{stat: f, buf: make([]byte, 100)}).faults()
	if err != nil || minor != 70 || major != 90 {
		t.Errorf("%d, %d, %v", minor, major, err)
	}
}

func TestFindMount(t *testing.T) {
	const mounts = `20 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 20 0:5 / /dev/shm rw - tmpfs tmpfs rw
31 20 0:6 / /mnt/a\040b rw shared:2 master:1 - xfs /dev/sdb rw
32 20 0:7 / /mnt/over rw - ext4 /dev/under rw
33 20 0:8 / /mnt/over rw - tmpfs none rw
`
	for _, row := range []struct{ path, want string }{
		{"/home/x", "ext4 (/dev/root)"},
		{"/", "ext4 (/dev/root)"},
		{"/dev/shm", "tmpfs"},
		{"/dev/shm/x", "tmpfs"},
		{"/dev/shmx", "ext4 (/dev/root)"},
		{"/mnt/a b/c", "xfs (/dev/sdb)"},
		{"/mnt/over/c", "tmpfs"},
	} {
		if got := must(findMount(mounts, row.path))(t); got.String() != row.want {
			t.Errorf("%s is on %v, want %s", row.path, got, row.want)
		}
	}
	if _, err := findMount("", "/"); err == nil {
		t.Error("a mount was found where there is none")
	}
}

func TestSampleGoesToADiskIfThereIsOne(t *testing.T) {
	needProc(t)
	disk, memory := testenv.DiskDir(t), testenv.TmpfsDir(t)
	missing := filepath.Join(disk, "missing")
	for _, row := range []struct {
		name string
		dirs []string
		in   string
	}{
		{"the disk stands first", []string{disk, memory}, disk},
		{"the disk stands last", []string{missing, memory, disk}, disk},
		{"there is no disk", []string{missing, memory}, memory},
	} {
		t.Run(row.name, func(t *testing.T) {
			if dir := must(makeSampleDir(row.dirs))(t); filepath.Dir(dir) != row.in {
				t.Errorf("made %s, want it in %s", dir, row.in)
			}
		})
	}
	if _, err := makeSampleDir([]string{missing}); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("no directory at all: %v", err)
	}
}

func TestAllocatedBytes(t *testing.T) {
	path := filepath.Join(testenv.DiskDir(t), "sparse")
	if err := os.WriteFile(path, randomBytes(64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	f := must(os.OpenFile(path, os.O_RDWR, 0))(t)
	defer f.Close()
	if err := f.Sync(); err != nil { // blocks are chosen at write-out
		t.Fatal(err)
	}
	n, err := allocatedBytes(path)
	if err != nil {
		testenv.Skip(t, "needs st_blocks: "+err.Error())
	}
	if n < 64<<10 || n > 1<<20 {
		t.Errorf("a sparse file of 1 GiB with 64 KiB in it has %d bytes of blocks", n)
	}
}

package raw_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

// oPath is O_PATH, which package syscall does not name everywhere.
const oPath = 0x200000

func TestMmapShowsTheFile(t *testing.T) {
	needLinux(t)
	disk, shm := file(t, pages(3)), memfd(t, pages(3))
	must(t, disk.Chmod(0o555))
	readOnly := reopened(t, disk, os.O_RDONLY)
	for _, row := range []struct {
		name  string
		f     *os.File
		prot  raw.Prot
		flags raw.Flag
		from  int // page
	}{
		{"a shared read-write mapping", disk, rw, raw.MAP_SHARED, 0},
		{"a private read-write mapping", disk, rw, raw.MAP_PRIVATE, 0},
		{"a shared read-only mapping of a read-only descriptor", readOnly, raw.PROT_READ, raw.MAP_SHARED, 0},
		{"a private read-write mapping of a read-only descriptor", readOnly, rw, raw.MAP_PRIVATE, 0},
		{"an executable mapping of a file of mode 0555", readOnly, raw.PROT_READ | raw.PROT_EXEC, raw.MAP_PRIVATE, 0},
		{"a write-only mapping, which can be read all the same", disk, raw.PROT_WRITE, raw.MAP_SHARED, 0},
		{"a mapping from the second page on", disk, raw.PROT_READ, raw.MAP_SHARED, 1},
		{"shared memory", shm, rw, raw.MAP_SHARED, 0},
		{"shared memory, validated flags", shm, rw, raw.MAP_SHARED_VALIDATE, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := pages(3 - row.from)
			addr := mapped(t, n, row.prot, row.flags, row.f, int64(pages(row.from)))
			if !bytes.Equal(at(addr, n), patterned(pages(3))[pages(row.from):]) {
				t.Error("the mapping differs from the file")
			}
		})
	}
}

func TestMmapRefusals(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	readOnly, writeOnly := reopened(t, f, os.O_RDONLY), reopened(t, f, os.O_WRONLY)
	closed := reopened(t, f, os.O_RDWR)
	closedFd := int(closed.Fd())
	must(t, closed.Close())
	pathOnly := reopened(t, f, oPath)
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	pipe, other, err := os.Pipe()
	must(t, err)
	defer pipe.Close()
	defer other.Close()
	const (
		shared, private = raw.MAP_SHARED, raw.MAP_PRIVATE
		unknownFlag     = raw.Flag(1 << 25)
	)
	for _, row := range []struct {
		name   string
		addr   uintptr
		length int
		prot   raw.Prot
		flags  raw.Flag
		fd     int
		offset int64
		want   error
	}{
		{"a write-only descriptor can't be mapped for reading", 0, page, raw.PROT_READ, shared, fdOf(writeOnly), 0, syscall.EACCES},
		{"a write-only descriptor can't be mapped for writing", 0, page, raw.PROT_WRITE, shared, fdOf(writeOnly), 0, syscall.EACCES},
		{"a write-only descriptor can't be mapped privately", 0, page, rw, private, fdOf(writeOnly), 0, syscall.EACCES},
		{"a write-only descriptor can't be mapped without access", 0, page, raw.PROT_NONE, private, fdOf(writeOnly), 0, syscall.EACCES},
		{"a read-only descriptor can't be written by a shared mapping", 0, page, rw, shared, fdOf(readOnly), 0, syscall.EACCES},
		{"length 0 of a file is refused", 0, 0, raw.PROT_READ, shared, fdOf(f), 0, syscall.EINVAL},
		{"length 0 of anonymous memory is refused", 0, 0, rw, anon, -1, 0, syscall.EINVAL},
		{"neither shared nor private", 0, page, raw.PROT_READ, 0, fdOf(f), 0, syscall.EINVAL},
		{"anonymous, neither shared nor private", 0, page, rw, raw.MAP_ANONYMOUS, -1, 0, syscall.EINVAL},
		{"anonymous, shared and private at once", 0, page, rw, raw.MAP_ANONYMOUS | shared | private, -1, 0, syscall.EINVAL},
		{"a closed descriptor", 0, page, raw.PROT_READ, shared, closedFd, 0, syscall.EBADF},
		{"descriptor -1 without MAP_ANONYMOUS", 0, page, raw.PROT_READ, shared, -1, 0, syscall.EBADF},
		{"a descriptor of O_PATH", 0, page, raw.PROT_READ, private, fdOf(pathOnly), 0, syscall.EBADF},
		{"a directory", 0, page, raw.PROT_READ, shared, fdOf(dir), 0, syscall.ENODEV},
		{"a pipe", 0, page, raw.PROT_READ, shared, fdOf(pipe), 0, syscall.ENODEV},
		{"an offset within a page", 0, page, raw.PROT_READ, shared, fdOf(f), 1, syscall.EINVAL},
		{"an offset one byte short of a page", 0, page, raw.PROT_READ, shared, fdOf(f), int64(page) - 1, syscall.EINVAL},
		{"the last positive page", 0, page, raw.PROT_READ, shared, fdOf(f), math.MaxInt64 &^ int64(page-1), overflowed},
		{"a range that passes the last positive page", 0, 2 * page, raw.PROT_READ, shared, fdOf(f), math.MaxInt64 &^ int64(page-1), overflowed},
		{"the last negative page", 0, page, raw.PROT_READ, shared, fdOf(f), -int64(page), overflowed},
		{"a length of nearly the whole address space", 0, -2 * page, rw, anon | raw.MAP_NORESERVE, -1, 0, syscall.ENOMEM},
		{"a length of -1, which rounds up to 0", 0, -1, rw, anon, -1, 0, syscall.ENOMEM},
		{"an address that no process has", beyond, page, rw, anon | raw.MAP_FIXED, -1, 0, syscall.ENOMEM},
		{"an unaligned address with MAP_FIXED", 1, page, rw, anon | raw.MAP_FIXED, -1, 0, syscall.EINVAL},
		{"an unknown flag that is to be validated", 0, page, raw.PROT_READ, raw.MAP_SHARED_VALIDATE | unknownFlag, fdOf(f), 0, syscall.EOPNOTSUPP},
		{"an unknown flag that nobody validates is ignored", 0, page, raw.PROT_READ, shared | unknownFlag, fdOf(f), 0, nil},
		{"huge pages of a normal file", 0, page, raw.PROT_READ, shared | raw.MAP_HUGETLB, fdOf(f), 0, syscall.EINVAL},
		{"huge pages of a size that no processor has", 0, page, rw, anon | raw.MAP_HUGETLB | 13<<raw.MAP_HUGE_SHIFT, -1, 0, syscall.EINVAL},
		{"synchronous faults without DAX", 0, page, rw, raw.MAP_SHARED_VALIDATE | raw.MAP_SYNC, fdOf(f), 0, syscall.EOPNOTSUPP},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr, err := raw.Mmap(row.addr, row.length, row.prot, row.flags, row.fd, row.offset)
			wantErr(t, err, row.want)
			if err == nil {
				must(t, raw.Munmap(addr, row.length))
			}
		})
	}
}

func TestFailuresNameTheCallAndWrapTheErrno(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	addr, hole := zeros(t, 1), plus(holed(t, 3, 1), 1)
	one := func(_ uintptr, err error) error { return err }
	for _, row := range []struct {
		call  string
		err   error
		errno syscall.Errno
	}{
		{"mmap", one(raw.Mmap(0, 0, rw, anon, -1, 0)), syscall.EINVAL},
		{"munmap", raw.Munmap(addr, 0), syscall.EINVAL},
		{"msync", raw.Msync(addr+1, page, raw.MS_SYNC), syscall.EINVAL},
		{"mlock", raw.Mlock(hole, page), syscall.ENOMEM},
		{"mlock2", raw.Mlock2(addr, page, 1<<20), syscall.EINVAL},
		{"munlock", raw.Munlock(hole, page), syscall.ENOMEM},
		{"mlockall", raw.Mlockall(0), syscall.EINVAL},
		{"mprotect", raw.Mprotect(addr+1, page, rw), syscall.EINVAL},
		{"madvise", raw.Madvise(addr+1, page, raw.MADV_NORMAL), syscall.EINVAL},
		{"mremap", one(raw.Mremap(addr+1, page, page, 0, 0)), syscall.EINVAL},
		{"mincore", raw.Mincore(addr+1, page, make([]byte, 1)), syscall.EINVAL},
		{"mincore", raw.Mincore(addr, pages(2), make([]byte, 1)), syscall.EINVAL}, // refused before the kernel sees it
	} {
		var e *os.SyscallError
		if !errors.As(row.err, &e) || e.Syscall != row.call || e.Err != row.errno {
			t.Errorf("%s: %#v is not a SyscallError of that name and %v", row.call, row.err, row.errno)
		}
	}
}

func TestFailedCallsAnswerAddressZero(t *testing.T) {
	needLinux(t)
	if addr, err := raw.Mmap(0, 0, rw, anon, -1, 0); err == nil || addr != 0 {
		t.Errorf("mmap failed with address %#x", addr)
	}
	if addr, err := raw.Mremap(1, page, page, 0, 0); err == nil || addr != 0 {
		t.Errorf("mremap failed with address %#x", addr)
	}
}

func TestMmapNeverChoosesAddressZero(t *testing.T) {
	needLinux(t)
	for range 1000 {
		addr, err := raw.Mmap(0, page, rw, anon, -1, 0)
		must(t, err)
		must(t, raw.Munmap(addr, page))
		if addr == 0 {
			t.Fatal("mapped at 0")
		}
	}
}

func TestMmapRoundsTheLengthUpToPages(t *testing.T) {
	needLinux(t)
	f := file(t, pages(3))
	for _, row := range []struct {
		name   string
		length int
		pages  int
	}{
		{"one byte takes a page", 1, 1},
		{"a page takes a page", page, 1},
		{"a page and a byte take two", page + 1, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := areaAt(t, mapped(t, row.length, raw.PROT_READ, raw.MAP_SHARED, f, 0))
			if got.size() != pages(row.pages) {
				t.Errorf("the area has %d bytes", got.size())
			}
		})
	}
}

func TestMmapAreaCarriesProtectionSharingOffsetAndInode(t *testing.T) {
	needLinux(t)
	const r, w, x = raw.PROT_READ, raw.PROT_WRITE, raw.PROT_EXEC
	f := file(t, pages(2))
	inode := statOf(t, f).Ino
	for _, row := range []struct {
		prot  raw.Prot
		perms string
	}{
		{raw.PROT_NONE, "---"}, {r, "r--"}, {w, "-w-"}, {x, "--x"},
		{r | w, "rw-"}, {r | x, "r-x"}, {w | x, "-wx"}, {r | w | x, "rwx"},
	} {
		for flag, letter := range map[raw.Flag]string{raw.MAP_PRIVATE: "p", raw.MAP_SHARED: "s"} {
			t.Run(row.perms+letter, func(t *testing.T) {
				got := areaAt(t, mapped(t, page, row.prot, flag, f, int64(page)))
				if got.perms != row.perms+letter || got.offset != int64(page) || got.inode != inode {
					t.Errorf("the area says %s, offset %d, inode %d", got.perms, got.offset, got.inode)
				}
			})
		}
	}
}

func TestSharedStoreReachesTheFileAndPrivateStoreDoesNot(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name    string
		flags   raw.Flag
		reaches bool
	}{
		{"a shared store is seen by read and by another mapping at once", raw.MAP_SHARED, true},
		{"a private store stays with its mapping", raw.MAP_PRIVATE, false},
	} {
		for kind, f := range map[string]*os.File{"file": file(t, page), "memfd": memfd(t, page)} {
			t.Run(row.name+" ("+kind+")", func(t *testing.T) {
				addr := mapped(t, page, rw, row.flags, f, 0)
				beside := at(mapped(t, page, raw.PROT_READ, raw.MAP_SHARED, f, 0), page)
				store(addr)
				if at(addr, 1)[0] != 0xA5 {
					t.Error("the store is lost")
				}
				if seen := contents(t, f, 0, 1)[0] == 0xA5; seen != row.reaches {
					t.Errorf("read sees the store: %v", seen)
				}
				if seen := beside[0] == 0xA5; seen != row.reaches {
					t.Errorf("another mapping sees the store: %v", seen)
				}
			})
		}
	}
}

// otherProcess checks, with its own mappings of its descriptor 3, what the test
// below stored, and stores in its turn.
var otherProcess = child("other process", func(t *testing.T) {
	f := os.NewFile(3, "inherited")
	shared := at(mapped(t, pages(3), rw, raw.MAP_SHARED, f, 0), pages(3))
	private := at(mapped(t, pages(3), rw, raw.MAP_PRIVATE, f, 0), pages(3))
	if shared[0] != 1 {
		t.Errorf("the parent's shared store shows as %d", shared[0])
	}
	if shared[page] != pattern(page) {
		t.Errorf("the parent's private store shows as %d", shared[page])
	}
	shared[1], private[2] = 2, 2
})

func TestSharedStoreIsSeenByAnotherProcessAndPrivateStoreIsNot(t *testing.T) {
	needLinux(t)
	for kind, f := range map[string]*os.File{"file": file(t, pages(3)), "memfd": memfd(t, pages(3))} {
		t.Run(kind, func(t *testing.T) {
			shared := at(mapped(t, pages(3), rw, raw.MAP_SHARED, f, 0), pages(3))
			private := at(mapped(t, pages(3), rw, raw.MAP_PRIVATE, f, 0), pages(3))
			shared[0], private[page] = 1, 1
			run(t, testenv.Child{Name: otherProcess, Files: []*os.File{f}})
			if shared[1] != 2 {
				t.Errorf("the child's shared store shows as %d", shared[1])
			}
			if shared[2] != pattern(2) {
				t.Errorf("the child's private store shows as %d", shared[2])
			}
		})
	}
}

func TestMappingOutlivesTheDescriptorAndTheName(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	addr := mapped(t, page, rw, raw.MAP_SHARED, f, 0)
	must(t, os.Remove(f.Name()))
	must(t, f.Close())
	if !bytes.Equal(at(addr, page), patterned(page)) {
		t.Error("the mapping lost the file's bytes")
	}
	if !mayStore(addr) {
		t.Error("the mapping can't be written any more")
	}
}

func TestBytesAfterEndOfFileReadZeroAndNeverReachTheFile(t *testing.T) {
	needLinux(t)
	half := page / 2
	for kind, f := range map[string]*os.File{"file": file(t, half), "memfd": memfd(t, half)} {
		t.Run(kind, func(t *testing.T) {
			p := at(mapped(t, page, rw, raw.MAP_SHARED, f, 0), page)
			if !bytes.Equal(p[half:], make([]byte, page-half)) {
				t.Error("the rest of the last page is not zero")
			}
			p[half] = 7
			must(t, raw.Msync(addrOf(p), page, raw.MS_SYNC))
			if size := statOf(t, f).Size; size != int64(half) {
				t.Errorf("a store after the end made the file %d bytes long", size)
			}
			if n, err := f.ReadAt(make([]byte, page), 0); n != half || err == nil {
				t.Errorf("read gives %d bytes, %v", n, err)
			}
		})
	}
}

func TestLargeFileWrittenThroughTheMapIsReadBackEqual(t *testing.T) {
	needLinux(t)
	const n = 4 << 20
	f := file(t, 0)
	must(t, f.Truncate(n))
	addr := mapped(t, n, rw, raw.MAP_SHARED, f, 0)
	copy(at(addr, n), patterned(n))
	if !bytes.Equal(contents(t, f, 0, n), patterned(n)) {
		t.Error("the file differs from what was stored")
	}
}

func TestFileChangedByWriteIsSeenInTheMapping(t *testing.T) {
	needLinux(t)
	f := file(t, pages(2))
	shared := at(mapped(t, pages(2), raw.PROT_READ, raw.MAP_SHARED, f, 0), pages(2))
	for _, row := range []struct {
		name string
		data []byte
		off  int
	}{
		{"overwritten wholly", bytes.Repeat([]byte{9}, pages(2)), 0},
		{"overwritten across a page border", bytes.Repeat([]byte{8}, 100), page - 50},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := f.WriteAt(row.data, int64(row.off))
			must(t, err)
			if !bytes.Equal(shared, contents(t, f, 0, pages(2))) {
				t.Error("the mapping differs from the file")
			}
		})
	}
}

func TestReadAndWriteCallsMayUseTheMappingOfTheirOwnFile(t *testing.T) {
	needLinux(t)
	f := file(t, pages(2))
	p := at(mapped(t, pages(2), rw, raw.MAP_SHARED, f, 0), pages(2))
	_, err := f.ReadAt(p[page:], 0) // page 0 of the file into page 1 of its mapping
	must(t, err)
	if !bytes.Equal(p[page:], p[:page]) {
		t.Error("read into the mapping lost bytes")
	}
	p[0] = 77
	_, err = f.WriteAt(p[:page], int64(page))
	must(t, err)
	if p[page] != 77 {
		t.Error("write from the mapping lost bytes")
	}
}

func TestDevZeroMapsFreshZeros(t *testing.T) {
	needLinux(t)
	dev, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	must(t, err)
	defer dev.Close()
	for _, row := range []struct {
		name  string
		flags raw.Flag
	}{
		{"a private mapping of /dev/zero", raw.MAP_PRIVATE},
		{"a shared mapping of /dev/zero", raw.MAP_SHARED},
	} {
		t.Run(row.name, func(t *testing.T) {
			first := mapped(t, page, rw, row.flags, dev, 0)
			store(first)
			second := at(mapped(t, page, rw, row.flags, dev, 0), page)
			if !bytes.Equal(second, make([]byte, page)) {
				t.Error("a second mapping shows the first one's store")
			}
		})
	}
}

func TestFirstStoreMarksTheFileModifiedAndTheSecondDoesNot(t *testing.T) {
	needLinux(t)
	past := time.Now().Add(-time.Hour)
	f := fileIn(t, testenv.DiskDir(t), page)
	addr := mapped(t, page, rw, raw.MAP_SHARED, f, 0)
	marked := func() bool {
		must(t, os.Chtimes(f.Name(), past, past))
		store(addr)
		st, err := f.Stat()
		must(t, err)
		return st.ModTime().After(past.Add(time.Minute))
	}
	// Write-back by others between two stores makes the second one a first
	// one again; that no store of twenty finds the page still dirty is out of
	// the question.
	again := true
	for try := 0; again && try < 20; try++ {
		must(t, raw.Msync(addr, page, raw.MS_SYNC))
		if !marked() {
			t.Fatal("the first store after write-back left the modification time alone")
		}
		again = marked()
	}
	if again {
		t.Error("every store changes the modification time")
	}
}

func TestPrivateStoreReplacesTheFilesFrameByAnOwnOne(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	addr := mapped(t, page, rw, raw.MAP_PRIVATE, f, 0)
	if p := ptes(t, addr, 1)[0]; p.present() {
		t.Error("mapping the file made a page-table entry")
	}
	load(addr)
	if p := ptes(t, addr, 1)[0]; !p.present() || !p.fileOwned() {
		t.Errorf("after a load the entry is %#x, want a frame of the file", p)
	}
	store(addr)
	if p := ptes(t, addr, 1)[0]; !p.present() || p.fileOwned() {
		t.Errorf("after a store the entry is %#x, want a frame of this process", p)
	}
	if areaAt(t, addr).kB["Anonymous"] != page/1024 {
		t.Error("smaps does not count the copy as anonymous")
	}
}

func TestMmapPopulateBringsPagesIn(t *testing.T) {
	needLinux(t)
	const n = 8
	f := file(t, pages(n))
	for _, row := range []struct {
		name    string
		prot    raw.Prot
		flags   raw.Flag
		f       *os.File
		present int
	}{
		{"a file without MAP_POPULATE has no entry", raw.PROT_READ, raw.MAP_SHARED, f, 0},
		{"a file with MAP_POPULATE has every entry", raw.PROT_READ, raw.MAP_SHARED | raw.MAP_POPULATE, f, n},
		{"a private file with MAP_POPULATE has every entry", rw, raw.MAP_PRIVATE | raw.MAP_POPULATE, f, n},
		{"anonymous memory without MAP_POPULATE has no entry", rw, anon, nil, 0},
		{"anonymous memory with MAP_POPULATE has every entry", rw, anon | raw.MAP_POPULATE, nil, n},
		{"shared anonymous memory with MAP_POPULATE has every entry", rw, raw.MAP_SHARED | raw.MAP_ANONYMOUS | raw.MAP_POPULATE, nil, n},
		{"MAP_NONBLOCK makes MAP_POPULATE do nothing", rw, anon | raw.MAP_POPULATE | raw.MAP_NONBLOCK, nil, 0},
		{"PROT_NONE makes MAP_POPULATE do nothing", raw.PROT_NONE, anon | raw.MAP_POPULATE, nil, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := mapped(t, pages(n), row.prot, row.flags, row.f, 0)
			if got := present(t, addr, n); got != row.present {
				t.Errorf("%d of %d pages have an entry", got, n)
			}
		})
	}
}

func TestMapPopulateAndMapLockedSwallowFailures(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	f := file(t, page)
	for _, row := range []struct {
		name string
		flag raw.Flag
	}{
		{"MAP_POPULATE of three pages after the end succeeds", raw.MAP_POPULATE},
		{"MAP_LOCKED of three pages after the end succeeds", raw.MAP_LOCKED},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := mapped(t, pages(4), raw.PROT_READ, raw.MAP_SHARED|row.flag, f, 0)
			if got := present(t, addr, 4); got != 1 {
				t.Errorf("%d pages have an entry, want that of the file's only page", got)
			}
			wantErr(t, raw.Madvise(addr, pages(4), raw.MADV_POPULATE_READ), syscall.EFAULT)
		})
	}
}

func TestMmapFlagsShowInTheArea(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	for _, row := range []struct {
		name  string
		flags raw.Flag
		shows string // in VmFlags, proc_pid_smaps(5)
		since string // the kernel
	}{
		{"MAP_NORESERVE accounts for no swap", anon | raw.MAP_NORESERVE, "nr", "3.8"},
		{"MAP_LOCKED locks", anon | raw.MAP_LOCKED, "lo", "3.8"},
		{"MAP_GROWSDOWN grows down", anon | raw.MAP_GROWSDOWN, "gd", "3.8"},
		{"MAP_SHARED is shared", raw.MAP_ANONYMOUS | raw.MAP_SHARED, "sh", "3.8"},
		{"MAP_STACK gets no huge pages", anon | raw.MAP_STACK, "nh", "6.7"},
		{"MAP_DROPPABLE may be dropped", raw.MAP_ANONYMOUS | raw.MAP_DROPPABLE, "dp", "6.11"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.flags&raw.MAP_STACK != 0 {
				testenv.Need(t, hugePages)
			}
			// Need fails where the kernel is new enough and the flag is not shown.
			testenv.Need(t, testenv.Feature{Name: row.name, Since: row.since, Probe: func() error {
				addr, err := raw.Mmap(0, page, rw, row.flags, -1, 0)
				if err != nil {
					return err
				}
				defer raw.Munmap(addr, page)
				if got := areaAt(t, addr); !got.has(row.shows) {
					return fmt.Errorf("the area's flags are %v", got.flags)
				}
				return nil
			}})
		})
	}
}

func TestHistoricFlagsAreIgnored(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	for name, flag := range map[string]raw.Flag{
		"MAP_DENYWRITE":     raw.MAP_DENYWRITE,
		"MAP_EXECUTABLE":    raw.MAP_EXECUTABLE,
		"MAP_UNINITIALIZED": raw.MAP_UNINITIALIZED,
	} {
		t.Run(name, func(t *testing.T) {
			plain := areaAt(t, mapped(t, page, raw.PROT_READ, raw.MAP_PRIVATE, f, 0))
			got := areaAt(t, mapped(t, page, raw.PROT_READ, raw.MAP_PRIVATE|flag, f, 0))
			if got.perms != plain.perms || len(got.flags) != len(plain.flags) {
				t.Errorf("the area says %s %v, without the flag %s %v", got.perms, got.flags, plain.perms, plain.flags)
			}
			_, err := f.WriteAt([]byte{1}, 0) // ETXTBSY in the days when it meant something
			must(t, err)
		})
	}
}

func TestMapAnonymousIgnoresTheDescriptor(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	p := at(mapped(t, page, rw, anon, f, 0), page)
	if !bytes.Equal(p, make([]byte, page)) {
		t.Error("anonymous memory shows the file")
	}
}

func TestMapX86PlacementFlags(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name string
		flag raw.Flag
		ok   func(addr uint64) bool
	}{
		{"MAP_32BIT is in the low 2 GiB, or anywhere in a 32-bit process", raw.MAP_32BIT, func(a uint64) bool { return a < 1<<31 || is32Bit }},
		{"MAP_ABOVE4G is above 4 GiB, or anywhere in a 32-bit process", raw.MAP_ABOVE4G,
			func(a uint64) bool { return a >= 1<<32 || is32Bit }},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr, err := raw.Mmap(0, page, rw, anon|row.flag, -1, 0)
			if errors.Is(err, errors.ErrUnsupported) {
				testenv.Skip(t, "needs an x86 processor: "+err.Error())
			}
			must(t, err)
			defer raw.Munmap(addr, page)
			if !row.ok(uint64(addr)) {
				t.Errorf("placed at %#x", addr)
			}
		})
	}
}

func TestHugePagesComeFromThePoolOnly(t *testing.T) {
	needLinux(t)
	kB := figure(t, "/proc/meminfo", "Hugepagesize")
	addr, err := raw.Mmap(0, kB<<10, rw, anon|raw.MAP_HUGETLB, -1, 0)
	if !testenv.Has(testenv.HugePool) && sysctl(t, "/proc/sys/vm/nr_overcommit_hugepages") == 0 {
		wantErr(t, err, syscall.ENOMEM)
		return
	}
	must(t, err)
	defer raw.Munmap(addr, kB<<10)
	if got := areaAt(t, addr); got.kB["KernelPageSize"] != kB {
		t.Errorf("the area's pages have %d kB", got.kB["KernelPageSize"])
	}
}

func TestHugePageFlagsCarryTheBase2LogarithmOfTheSize(t *testing.T) {
	needLinux(t)
	for flag, size := range map[raw.Flag]uint64{
		raw.MAP_HUGE_16KB: 16 << 10, raw.MAP_HUGE_64KB: 64 << 10, raw.MAP_HUGE_512KB: 512 << 10,
		raw.MAP_HUGE_1MB: 1 << 20, raw.MAP_HUGE_2MB: 2 << 20, raw.MAP_HUGE_8MB: 8 << 20,
		raw.MAP_HUGE_16MB: 16 << 20, raw.MAP_HUGE_32MB: 32 << 20, raw.MAP_HUGE_256MB: 256 << 20,
		raw.MAP_HUGE_512MB: 512 << 20, raw.MAP_HUGE_1GB: 1 << 30, raw.MAP_HUGE_2GB: 2 << 30, raw.MAP_HUGE_16GB: 16 << 30,
	} {
		if log := flag >> raw.MAP_HUGE_SHIFT & raw.MAP_HUGE_MASK; uint64(1)<<log != size {
			t.Errorf("%#x says 1<<%d, want %d", flag, log, size)
		}
	}
}

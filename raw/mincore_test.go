package raw_test

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

func TestMincoreAnswers(t *testing.T) {
	needLinux(t)
	readOnly := at(mapped(t, page, raw.PROT_READ, anon, nil, 0), page)
	hole := holed(t, 3, 1)
	for _, row := range []struct {
		name   string
		addr   uintptr
		length int
		vec    []byte
		want   error
	}{
		{"a byte for each page", zeros(t, 2), pages(2), make([]byte, 2), nil},
		{"an unaligned length counts its last page", zeros(t, 2), page + 1, make([]byte, 2), nil},
		{"length 0 needs no vector", zeros(t, 1), 0, nil, nil},
		{"a vector that is a byte short", zeros(t, 2), page + 1, make([]byte, 1), syscall.EINVAL},
		{"no vector", zeros(t, 1), page, nil, syscall.EINVAL},
		{"an unaligned address", zeros(t, 2) + 1, page, make([]byte, 2), syscall.EINVAL},
		{"a vector that can't be written", zeros(t, 1), page, readOnly, syscall.EFAULT},
		{"a vector that is not mapped", zeros(t, 1), page, at(plus(hole, 1), 1), syscall.EFAULT},
		{"a page that is not mapped", plus(hole, 1), page, make([]byte, 1), syscall.ENOMEM},
		{"a range with a hole in it", hole, pages(3), make([]byte, 3), syscall.ENOMEM},
		{"a negative length", zeros(t, 1), -page, make([]byte, 1), syscall.EINVAL},
		{"an address that no process has", beyond, page, make([]byte, 1), syscall.ENOMEM},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Mincore(row.addr, row.length, row.vec), row.want) })
	}
}

func TestMincoreWritesOneByteForEachPageAndNoMore(t *testing.T) {
	needLinux(t)
	vec := bytes.Repeat([]byte{0xFF}, 5)
	must(t, raw.Mincore(zeros(t, 4), pages(2)+1, vec))
	if !bytes.Equal(vec, []byte{0, 0, 0, 0xFF, 0xFF}) {
		t.Errorf("of 5 bytes for two pages and a byte it left %v", vec)
	}
}

func TestMincoreSeesWhatIsInMemory(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	const n = 4
	nothing := func(uintptr) error { return nil }
	for _, row := range []struct {
		name  string
		flags raw.Flag
		f     *os.File
		do    func(addr uintptr) error
		want  int
	}{
		{"untouched anonymous memory is absent", anon, nil, nothing, 0},
		{"a stored page is there", anon, nil, func(a uintptr) error { store(a); return nil }, 1},
		{"untouched shared memory is absent", raw.MAP_SHARED | raw.MAP_ANONYMOUS, nil, nothing, 0},
		{"locked memory is there", anon, nil, func(a uintptr) error { return raw.Mlock(a, pages(n)) }, n},
		{"a written file is there, untouched", raw.MAP_SHARED, file(t, pages(n)), nothing, n},
		{"a locked file is there", raw.MAP_SHARED, file(t, pages(n)), func(a uintptr) error { return raw.Mlock(a, pages(n)) }, n},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := mapped(t, pages(n), rw, row.flags, row.f, 0)
			must(t, row.do(addr))
			if got := resident(t, addr, n); got != row.want {
				t.Errorf("%d of %d pages are in memory, want %d", got, n, row.want)
			}
		})
	}
}

func TestMincoreSaysCachedAndNotMapped(t *testing.T) {
	needLinux(t)
	const n = 4
	addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, file(t, pages(n)), 0)
	if resident(t, addr, n) != n || present(t, addr, n) != 0 {
		t.Errorf("%d pages are in memory and %d in this process's table, want all and none", resident(t, addr, n), present(t, addr, n))
	}
}

func TestMincoreShowsReadAheadAfterOneLoadOnDiskAndNoneOnTmpfs(t *testing.T) {
	needLinux(t)
	const n = 64
	t.Run("disk", func(t *testing.T) {
		addr := mapped(t, pages(n), raw.PROT_READ, raw.MAP_SHARED, uncached(t, n), 0)
		if got := resident(t, addr, n); got != 0 {
			t.Fatalf("%d pages are in memory before", got)
		}
		load(addr)
		if got := resident(t, addr, 1); got != 1 {
			t.Error("the loaded page is not in memory")
		}
		if got := resident(t, addr, n); got < 2 {
			t.Errorf("%d page is in memory: no read-ahead", got)
		}
	})
	t.Run("tmpfs", func(t *testing.T) {
		testenv.Need(t, smallShmem)
		f := fileIn(t, testenv.TmpfsDir(t), 0)
		must(t, f.Truncate(int64(pages(n))))
		addr := mapped(t, pages(n), rw, raw.MAP_SHARED, f, 0)
		store(addr)
		if got := resident(t, addr, n); got != 1 {
			t.Errorf("%d pages are in memory, want the stored one", got)
		}
	})
}

// smallShmem is shared memory in pages of the base size.
var smallShmem = testenv.Feature{Name: "shared memory without huge pages", Probe: shmemPages}

// faulting touches the pages of its descriptor 3.
var faulting = child("faulting shared pages in", func(t *testing.T) {
	addr := mapped(t, pages(4), rw, raw.MAP_SHARED, os.NewFile(3, "inherited"), 0)
	store(addr)
	store(plus(addr, 1))
})

func TestMincoreSeesPagesThatAnotherProcessFaultedIn(t *testing.T) {
	needLinux(t)
	testenv.Need(t, smallShmem)
	f := memfd(t, 0)
	must(t, f.Truncate(int64(pages(4))))
	addr := mapped(t, pages(4), rw, raw.MAP_SHARED, f, 0)
	before := resident(t, addr, 4)
	run(t, testenv.Child{Name: faulting, Files: []*os.File{f}})
	if after := resident(t, addr, 4); before != 0 || after != 2 {
		t.Errorf("%d pages before, %d after; want 0 and 2", before, after)
	}
}

// strangers maps a file that it may read, and neither owns nor may write.
var strangers = child("mincore of a stranger's file", func(t *testing.T) {
	addr := mapped(t, pages(4), raw.PROT_READ, raw.MAP_SHARED, os.NewFile(3, "inherited"), 0)
	if got := resident(t, addr, 4); got != 4 {
		t.Errorf("mincore tells that %d of 4 pages are in memory", got)
	}
})

func TestMincoreTellsStrangersThatEverythingIsInMemory(t *testing.T) {
	needLinux(t)
	t.Parallel() // it waits for processes
	testenv.Need(t, testenv.Nobody)
	f := uncached(t, 4)
	must(t, f.Chmod(0o644))
	run(t, testenv.Child{Name: strangers, Nobody: true, Files: []*os.File{reopened(t, f, os.O_RDONLY)}})
	if got := cache(t, f, 0, 4).Cached; got != 0 {
		t.Errorf("in truth %d pages are; want none, or this test shows nothing", got)
	}
}

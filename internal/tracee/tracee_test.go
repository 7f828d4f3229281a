package tracee_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	. "github.com/memwright/mmap/internal/tracee"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	page   = PageSize
	window = 0x10000000 // where these tests map

	protRead, protWrite              = 1, 2
	mapShared, mapPrivate, mapFixed  = 0x01, 0x02, 0x10
	mapAnonymous                     = 0x20
	anonymous                        = mapPrivate | mapAnonymous | mapFixed
	noFile                           = ^uint64(0)
	segmentFault, noArea, notAllowed = syscall.SIGSEGV, 1, 2
	busError, noPage                 = syscall.SIGBUS, 2
)

// start starts a rig for the test, whose goroutine it ties to a thread.
func start(t *testing.T, files ...*os.File) *Rig {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	rig, err := Start(t.TempDir(), files...)
	testenv.Need(t, testenv.Feature{Name: "ptrace, and processes of amd64", Probe: func() error { return err }})
	t.Cleanup(rig.Close)
	return rig
}

func file(t *testing.T, content []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func mapAt(t *testing.T, p *Process, addr uint64, pages int, prot, flags, fd uint64) {
	t.Helper()
	got, errno := p.Syscall(SysMmap, addr, uint64(pages*page), prot, flags|mapFixed, fd, 0)
	if errno != 0 || got != addr {
		t.Fatalf("mmap at %#x answered %#x, %v", addr, got, errno)
	}
}

func TestNewProcessHasTwoPages(t *testing.T) {
	rig := start(t)
	areas := rig.Root.Areas()
	if len(areas) == 3 && areas[2].Path == "[vsyscall]" { // an area of no process, shown in all
		areas = areas[:2]
	}
	if len(areas) != 2 {
		t.Fatalf("%d areas: %v", len(areas), areas)
	}
	code, scratch := areas[0], areas[1]
	if code.Start != Code || code.End != Code+page || code.Perms != "r-xp" || code.Path != rig.Exe() {
		t.Errorf("the code is %v", code)
	}
	if scratch.Start != Scratch || scratch.End != Scratch+page || scratch.Perms != "rw-s" {
		t.Errorf("the scratch page is %v", scratch)
	}
	if n := rig.Root.Locked(); n != 0 {
		t.Errorf("%d pages are locked", n)
	}
}

func TestSystemCallsAnswerAsTheKernelDoes(t *testing.T) {
	p := start(t).Root
	if got, errno := p.Syscall(SysMmap, window, page, protRead, anonymous, noFile, 0); got != window || errno != 0 {
		t.Errorf("mmap answered %#x, %v", got, errno)
	}
	if _, errno := p.Syscall(SysMmap, window, 0, protRead, anonymous, noFile, 0); errno != syscall.EINVAL {
		t.Errorf("mmap of nothing answered %v", errno)
	}
	if _, errno := p.Syscall(SysMlock, 2*window, page); errno != syscall.ENOMEM {
		t.Errorf("mlock of nothing mapped answered %v", errno)
	}
	high := uint64(1)<<47 - 2*page // an address is no errno
	if got, errno := p.Syscall(SysMmap, high, page, protRead, anonymous, noFile, 0); got != high || errno != 0 {
		t.Errorf("mmap at the last page answered %#x, %v", got, errno)
	}
}

func TestLoadsAndStoresOfEveryWidth(t *testing.T) {
	p := start(t).Root
	mapAt(t, p, window, 1, protRead|protWrite, anonymous, noFile)
	const value = 0x8877665544332211
	for _, width := range []int{1, 2, 4, 8} {
		if fault := p.Store(window+5, width, value); fault != nil {
			t.Fatal(fault)
		}
		want := uint64(value) << (64 - 8*width) >> (64 - 8*width)
		if got, fault := p.Load(window+5, width); got != want || fault != nil {
			t.Errorf("%d bytes: stored %#x, loaded %#x, %v", width, want, got, fault)
		}
	}
	if got, _ := p.Load(window+13, 8); got != 0 {
		t.Errorf("behind what was stored stands %#x", got)
	}
}

func TestFaultsCarryTheirSignalCodeAndAddress(t *testing.T) {
	p := start(t, file(t, make([]byte, page+1))).Root
	const none, noAccess, readOnly, pastEnd = window, window + 1<<20, window + 2<<20, window + 3<<20
	mapAt(t, p, noAccess, 1, 0, anonymous, noFile)
	mapAt(t, p, readOnly, 1, protRead, anonymous, noFile)
	mapAt(t, p, pastEnd, 3, protRead|protWrite, mapShared, 3)
	load := func(addr uint64, width int) *Fault { _, fault := p.Load(addr, width); return fault }
	store := func(addr uint64, width int) *Fault { return p.Store(addr, width, 0) }
	for _, row := range []struct {
		name   string
		access func(addr uint64, width int) *Fault
		addr   uint64
		width  int
		want   *Fault
	}{
		{"a load where nothing is mapped", load, none + 7, 1, &Fault{segmentFault, noArea, none + 7}},
		{"a store where nothing is mapped", store, none, 8, &Fault{segmentFault, noArea, none}},
		{"a load from the zero page", load, 0, 8, &Fault{segmentFault, noArea, 0}},
		{"a load without PROT_READ", load, noAccess + 8, 4, &Fault{segmentFault, notAllowed, noAccess + 8}},
		{"a store without PROT_WRITE", store, readOnly, 2, &Fault{segmentFault, notAllowed, readOnly}},
		{"a store to the code", store, Code, 1, &Fault{segmentFault, notAllowed, Code}},
		{"a load in the last page of the file", load, pastEnd + 2*page - 1, 1, nil},
		{"a load after the last page of the file", load, pastEnd + 2*page + 3, 1, &Fault{busError, noPage, pastEnd + 2*page + 3}},
		{"a store after the last page of the file", store, pastEnd + 2*page + 3, 8, &Fault{busError, noPage, pastEnd + 2*page + 3}},
		{"a load that runs into the page after it", load, pastEnd + 2*page - 1, 8, &Fault{busError, noPage, pastEnd + 2*page}},
		{"a store that runs into the page after it", store, pastEnd + 2*page - 4, 8, &Fault{busError, noPage, pastEnd + 2*page}},
		{"a load that passes", load, readOnly, 8, nil},
	} {
		got := row.access(row.addr, row.width)
		if fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestCopiesStopAtTheByteThatFaults(t *testing.T) {
	rig := start(t)
	p := rig.Root
	mapAt(t, p, window, 1, protRead|protWrite, anonymous, noFile)
	src := bytes.Repeat([]byte("abcdefg"), 10)
	if n, fault := p.Poke(window+page-30, src); n != 30 || *fault != (Fault{segmentFault, noArea, window + page}) {
		t.Errorf("poked %d bytes of 30, %v", n, fault)
	}
	if n, fault := p.Poke(window+9, src); n != len(src) || fault != nil {
		t.Errorf("poked %d bytes, %v", n, fault)
	}
	dst := make([]byte, len(src))
	if n, fault := p.Peek(dst, window+9); n != len(src) || fault != nil || !bytes.Equal(dst, src) {
		t.Errorf("peeked %d bytes, %v: %q", n, fault, dst)
	}
	clear(dst)
	if n, fault := p.Peek(dst, window+page-30); n != 30 || fault == nil || !bytes.Equal(dst[:n], src[:n]) {
		t.Errorf("peeked %d bytes of 30, %v: %q", n, fault, dst)
	}
	if n, fault := p.Peek(dst, 2*window); n != 0 || *fault != (Fault{segmentFault, noArea, 2 * window}) {
		t.Errorf("peeked %d bytes of nothing, %v", n, fault)
	}
}

func TestForkCopiesTheAddressSpace(t *testing.T) {
	p := start(t, file(t, make([]byte, page))).Root
	const shared = window + page
	mapAt(t, p, window, 1, protRead|protWrite, anonymous, noFile)
	mapAt(t, p, shared, 1, protRead|protWrite, mapShared, 3)
	p.Store(window, 1, 1)
	child, errno := p.Fork()
	if errno != 0 {
		t.Fatal(errno)
	}
	grandchild, errno := child.Fork()
	if errno != 0 {
		t.Fatal(errno)
	}
	p.Store(window, 1, 2)
	child.Store(window, 1, 3)
	child.Store(shared, 1, 4)
	child.Syscall(SysMmap, window+2*page, page, protRead, anonymous, noFile, 0)
	for who, want := range map[*Process][2]uint64{p: {2, 4}, child: {3, 4}, grandchild: {1, 4}} {
		private, _ := who.Load(window, 1)
		both, _ := who.Load(shared, 1)
		if got := [2]uint64{private, both}; got != want {
			t.Errorf("private and shared byte are %v, want %v", got, want)
		}
		if _, fault := who.Load(window+2*page, 1); (fault == nil) != (who == child) {
			t.Error("a process sees another's mapping, or not its own")
		}
	}
	child.Exit()
	if v, fault := grandchild.Load(window, 1); v != 1 || fault != nil {
		t.Errorf("after its parent's end a process loads %d, %v", v, fault)
	}
}

func TestEndedProcessesAreGone(t *testing.T) {
	rig := start(t)
	child, _ := rig.Root.Fork()
	killed, _ := rig.Root.Fork()
	child.Exit()
	killed.Kill()
	for _, p := range []*Process{child, killed} {
		if _, err := os.Stat(fmt.Sprint("/proc/", p.Pid())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("process %d is still there: %v", p.Pid(), err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("an ended process still makes system calls")
				}
			}()
			p.Syscall(SysMunlockall)
		}()
	}
}

func TestSignalsFromOutsideAreDropped(t *testing.T) {
	p := start(t).Root
	other, err := os.FindProcess(p.Pid())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	if err := other.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, errno := p.Syscall(SysMunlockall); errno != 0 {
		t.Errorf("munlockall answered %v", errno)
	}
}

func TestLimitsBindWithoutCapabilities(t *testing.T) {
	const memlock = 8
	p := start(t).Root
	if errno := p.DropCapabilities(); errno != 0 {
		t.Fatal(errno)
	}
	if errno := p.Limit(memlock, 2*page, 8*page); errno != 0 {
		t.Fatal(errno)
	}
	mapAt(t, p, window, 4, protRead|protWrite, anonymous, noFile)
	if _, errno := p.Syscall(SysMlock, window, 2*page); errno != 0 {
		t.Errorf("mlock up to the limit answered %v", errno)
	}
	if _, errno := p.Syscall(SysMlock, window, 3*page); errno != syscall.ENOMEM {
		t.Errorf("mlock above the limit answered %v", errno)
	}
	if n := p.Locked(); n != 2 {
		t.Errorf("%d pages are locked", n)
	}
	if errno := p.Limit(memlock, 9*page, 9*page); errno != syscall.EPERM {
		t.Errorf("a limit raised above the hard one answered %v", errno)
	}
}

func TestLookingShowsAreasAndPages(t *testing.T) {
	f := file(t, make([]byte, 2*page))
	p := start(t, f).Root
	mapAt(t, p, window, 2, protRead|protWrite, mapPrivate, 3)
	mapAt(t, p, window+2*page, 2, protRead|protWrite, anonymous, noFile)
	p.Load(window, 1)
	p.Store(window+page, 1, 1)
	p.Store(window+2*page, 1, 1)
	pages := p.Pages(nil, window, 4)
	for i, want := range []struct{ present, private bool }{{true, false}, {true, true}, {true, true}, {false, false}} {
		if pages[i].Present() != want.present || pages[i].Private() != want.private {
			t.Errorf("page %d: present %v, private %v; want %v", i, pages[i].Present(), pages[i].Private(), want)
		}
	}
	var found bool
	for _, a := range p.Areas() {
		if a.Path == f.Name() {
			found = a.Start == window && a.End == window+2*page && a.Perms == "rw-p" && a.Offset == 0 && a.Inode != 0
		}
	}
	if !found {
		t.Errorf("the file's area is not in %v", p.Areas())
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	runtime.LockOSThread()
	if rig, err := Start(filepath.Join(t.TempDir(), "missing")); err == nil {
		rig.Close()
		t.Error("an executable was written to a directory that is not there")
	}
}

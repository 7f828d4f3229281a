package tracee_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// is tells whether an access was answered by that signal.
func is(err error, want Fault) bool {
	got, ok := err.(*Fault)
	return ok && *got == want
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
	got, err := p.Syscall(SysMmap, addr, uint64(pages*page), prot, flags|mapFixed, fd, 0)
	if err != nil || got != addr {
		t.Fatalf("mmap at %#x answered %#x, %v", addr, got, err)
	}
}

func TestNewProcessHasTwoPages(t *testing.T) {
	rig := start(t)
	areas, err := rig.Root.Areas()
	if err != nil {
		t.Fatal(err)
	}
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
	if n, err := rig.Root.Locked(); n != 0 || err != nil {
		t.Errorf("%d pages are locked, %v", n, err)
	}
}

func TestSystemCallsAnswerAsTheKernelDoes(t *testing.T) {
	p := start(t).Root
	if got, err := p.Syscall(SysMmap, window, page, protRead, anonymous, noFile, 0); got != window || err != nil {
		t.Errorf("mmap answered %#x, %v", got, err)
	}
	if _, err := p.Syscall(SysMmap, window, 0, protRead, anonymous, noFile, 0); err != syscall.EINVAL {
		t.Errorf("mmap of nothing answered %v", err)
	}
	if _, err := p.Syscall(SysMlock, 2*window, page); err != syscall.ENOMEM {
		t.Errorf("mlock of nothing mapped answered %v", err)
	}
	high := uint64(1)<<47 - 2*page // an address is no errno
	if got, err := p.Syscall(SysMmap, high, page, protRead, anonymous, noFile, 0); got != high || err != nil {
		t.Errorf("mmap at the last page answered %#x, %v", got, err)
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
	load := func(addr uint64, width int) error { _, fault := p.Load(addr, width); return fault }
	store := func(addr uint64, width int) error { return p.Store(addr, width, 0) }
	for _, row := range []struct {
		name   string
		access func(addr uint64, width int) error
		addr   uint64
		width  int
		want   error
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
	if n, fault := p.Poke(window+page-30, src); n != 30 || !is(fault, Fault{segmentFault, noArea, window + page}) {
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
	if n, fault := p.Peek(dst, 2*window); n != 0 || !is(fault, Fault{segmentFault, noArea, 2 * window}) {
		t.Errorf("peeked %d bytes of nothing, %v", n, fault)
	}
}

func TestForkCopiesTheAddressSpace(t *testing.T) {
	p := start(t, file(t, make([]byte, page))).Root
	const shared = window + page
	mapAt(t, p, window, 1, protRead|protWrite, anonymous, noFile)
	mapAt(t, p, shared, 1, protRead|protWrite, mapShared, 3)
	p.Store(window, 1, 1)
	child, err := p.Fork()
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := child.Fork()
	if err != nil {
		t.Fatal(err)
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
	fork := func() *Process {
		p, err := rig.Root.Fork()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	exited, killed, murdered := fork(), fork(), fork()
	for _, p := range []*Process{exited, killed} { // whose files of /proc are open
		p.Areas()
		p.Locked()
		p.Pages(nil, Code, 1)
	}
	if err := exited.Exit(); err != nil {
		t.Error(err)
	}
	killed.Kill()
	kill(t, murdered)
	for _, p := range []*Process{exited, killed, murdered} {
		_, call := p.Syscall(SysMunlockall)
		_, load := p.Load(Code, 1)
		_, peek := p.Peek(make([]byte, 1), Code)
		_, fork := p.Fork()
		_, areas := p.Areas()
		_, locked := p.Locked()
		_, pages := p.Pages(nil, Code, 1)
		for i, err := range []error{call, load, peek, fork, areas, locked, pages} {
			if !errors.Is(err, ErrGone) && !errors.Is(err, os.ErrClosed) {
				t.Errorf("call %d of an ended process answers %v", i, err)
			}
		}
		if _, err := os.Stat(fmt.Sprint("/proc/", p.Pid())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("process %d is still there: %v", p.Pid(), err)
		}
	}
	if _, err := rig.Root.Syscall(SysMunlockall); err != nil {
		t.Errorf("their parent answers %v", err)
	}
}

// kill kills a process as a stranger does.
func kill(t *testing.T, p *Process) {
	t.Helper()
	other, err := os.FindProcess(p.Pid())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
}

// TestStopEndsACallThatBlocks has a process read from a pipe into which nobody
// writes.
func TestStopEndsACallThatBlocks(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	rig := start(t, r)
	child, err := rig.Root.Fork()
	if err != nil {
		t.Fatal(err)
	}
	blocked := fmt.Sprintf("/proc/%d/syscall", child.Pid()) // starts with the number of a call that blocks
	var stopping sync.WaitGroup
	stopping.Go(func() {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if b, err := os.ReadFile(blocked); err != nil || bytes.HasPrefix(b, []byte("0 0x3 ")) {
				break
			}
		}
		rig.Stop()
	})
	if n, err := child.Syscall(SysRead, 3, Scratch, 1); err != ErrGone {
		t.Errorf("the read answered %d, %v", n, err)
	}
	stopping.Wait()
	if _, err := rig.Root.Syscall(SysMunlockall); err != ErrGone {
		t.Errorf("after Stop a call answered %v", err)
	}
}

// TestStartTellsWhoRefuses starts where a filter refuses ptrace.
func TestStartTellsWhoRefuses(t *testing.T) {
	start(t)
	got := testenv.Child{Name: "tracee.refused", Env: []string{"DIR=" + t.TempDir()}}.Run(t)
	if got.Code == 3 {
		testenv.Skip(t, "needs seccomp: "+got.Stdout)
	}
	if got.Code != 0 {
		t.Errorf("exit code %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}
}

var _ = testenv.Register("tracee.refused", func() {
	if err := testenv.RefuseRareCalls(); err != nil {
		fmt.Print(err)
		os.Exit(3)
	}
	runtime.LockOSThread()
	rig, err := Start(os.Getenv("DIR"))
	if rig != nil || !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "seccomp") {
		fmt.Print(err)
		os.Exit(1)
	}
})

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
	if _, err := p.Syscall(SysMunlockall); err != nil {
		t.Errorf("munlockall answered %v", err)
	}
}

func TestLimitsBindWithoutCapabilities(t *testing.T) {
	const memlock = 8
	p := start(t).Root
	if err := p.DropCapabilities(); err != nil {
		t.Fatal(err)
	}
	if err := p.Limit(memlock, 2*page, 8*page); err != nil {
		t.Fatal(err)
	}
	mapAt(t, p, window, 4, protRead|protWrite, anonymous, noFile)
	if _, err := p.Syscall(SysMlock, window, 2*page); err != nil {
		t.Errorf("mlock up to the limit answered %v", err)
	}
	if _, err := p.Syscall(SysMlock, window, 3*page); err != syscall.ENOMEM {
		t.Errorf("mlock above the limit answered %v", err)
	}
	if n, err := p.Locked(); n != 2 || err != nil {
		t.Errorf("%d pages are locked, %v", n, err)
	}
	if err := p.Limit(memlock, 9*page, 9*page); err != syscall.EPERM {
		t.Errorf("a limit raised above the hard one answered %v", err)
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
	pages, err := p.Pages(nil, window, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ present, private bool }{{true, false}, {true, true}, {true, true}, {false, false}} {
		if pages[i].Present() != want.present || pages[i].Private() != want.private {
			t.Errorf("page %d: present %v, private %v; want %v", i, pages[i].Present(), pages[i].Private(), want)
		}
	}
	var found bool
	areas, err := p.Areas()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range areas {
		if a.Path == f.Name() {
			found = a.Start == window && a.End == window+2*page && a.Perms == "rw-p" && a.Offset == 0 && a.Inode != 0
		}
	}
	if !found {
		t.Errorf("the file's area is not in %v", areas)
	}
}

func TestAFrameOfTwoIsNotExclusive(t *testing.T) {
	p := start(t).Root
	mapAt(t, p, window, 1, protRead|protWrite, anonymous, noFile)
	p.Store(window, 1, 1)
	exclusive := func(p *Process) bool {
		pages, err := p.Pages(nil, window, 1)
		if err != nil || !pages[0].Private() {
			t.Fatalf("%#x, %v", pages, err)
		}
		return pages[0].Exclusive()
	}
	if !exclusive(p) {
		t.Error("a page of one process is not its own")
	}
	child, err := p.Fork()
	if err != nil {
		t.Fatal(err)
	}
	if exclusive(p) || exclusive(child) {
		t.Error("after fork the frame is not shared")
	}
	child.Store(window, 1, 2)
	if !exclusive(p) || !exclusive(child) {
		t.Error("after a store the frames are not two")
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	runtime.LockOSThread()
	if rig, err := Start(filepath.Join(t.TempDir(), "missing")); err == nil {
		rig.Close()
		t.Error("an executable was written to a directory that is not there")
	}
}

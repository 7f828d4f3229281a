package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/vmem"
)

// kernelOf begins a run on this kernel, and ends it with the test.
func kernelOf(t *testing.T, s *script.Script) *kernelRun {
	t.Helper()
	k := newKernelRun(t.Context(), &console{lang: "en"}, s)
	t.Cleanup(k.end)
	testenv.Need(t, testenv.Feature{Name: "ptrace, and processes of amd64", Probe: func() error { return k.refused }})
	return k
}

// onKernel runs a script on both, and has every step judged.
func onKernel(t *testing.T, text string, judge func(m *script.Moment, a agreement)) {
	t.Helper()
	s := must(script.Parse("s", text))(t)
	k := kernelOf(t, s)
	for m, err := range s.Run() {
		if err != nil {
			t.Fatal(err)
		}
		judge(m, k.step(m))
	}
}

// TestTheKernelAgreesWithEveryStory: each step that can be done on a kernel
// agrees; a power cut alone can't.
func TestTheKernelAgreesWithEveryStory(t *testing.T) {
	for _, name := range storyNames {
		t.Run(name, func(t *testing.T) {
			onKernel(t, story(name), func(m *script.Moment, a agreement) {
				want, why := stepAgrees, ""
				if m.Call == "powercut" {
					want, why = stepNotShown, "nobody cuts this machine's power; its files are given what the engine's disk has"
				}
				if a.Verdict != want || a.Reason != why {
					t.Errorf("line %d, %s: %+v, want %s, %q", m.Line, m.Text, a, want, why)
				}
			})
		})
	}
}

// TestTheKernelAgreesOnEveryCall runs calls that the stories do not have, and
// what is refused.
func TestTheKernelAgreesOnEveryCall(t *testing.T) {
	for _, row := range []struct{ name, text string }{
		{"shared memory, split and merged", `
a = mmap(NULL, 16384, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
store a+4090 "across the border"
mprotect(a+4096, 4096, PROT_NONE)
load a+4095 2
store a+4095 "xy"
load a+4095
mprotect(a+4096, 4096, PROT_READ|PROT_WRITE)
load a+4090 17
madvise(a, 16384, MADV_DONTNEED)
load a+4090 17`},
		{"moving", `
a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
store a+4096 "kept"
b = mremap(a, 8192, 12288, MREMAP_MAYMOVE)
load b+4096 4
c = mremap(b, 12288, 4096, 0)
load b+4096 4
d = mremap(b, 4096, 4096, MREMAP_MAYMOVE|MREMAP_FIXED, 0x600000000000)
load b
load d 4
mremap(d, 4096, 8192, 16)`},
		{"locks", `
file f 8192 "x"
a = mmap(NULL, 8192, PROT_READ, MAP_SHARED, f, 0)
mlock(a+4096, 1)
mlock2(a, 1, MLOCK_ONFAULT)
munlock(a, 4096)
msync(a, 8192, MS_SYNC|MS_INVALIDATE)
munlock(a, 8192)
msync(a, 8192, MS_SYNC|MS_INVALIDATE)
mlock(a, 12288)`},
		{"files", `
file f 5000 "hello" at 4096 "tail"
r = open(f, O_RDONLY)
a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, r, 0)
mmap(NULL, 4096, PROT_READ, MAP_SHARED, r, 0)
store a "new"
pwrite(r, a, 3, 0)
pwrite(f, a, 3, 4999)
pread(r, a+4096, 100, 4990)
load a+4096 20
pread(f, a+8192, 1, 0)
truncate(r, 0)
truncate(f, 10)
fsync(r)
q: fsync(f)
close(f)
q: truncate(f, 0)
p1: fsync(f)
mmap(NULL, 1, PROT_READ, MAP_SHARED, f, 0)
mmap(NULL, 1, PROT_READ, MAP_SHARED, -1, 0)`},
		{"refused for their arguments", `
mmap(NULL, 0, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mmap(NULL, 1, PROT_READ, 0, -1, 0)
mmap(NULL, 1, PROT_READ, MAP_ANONYMOUS, -1, 0)
mmap(NULL, 1, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 1)
munmap(0x600000000001, 1)
munmap(0x600000000000, 4096)
mprotect(0x600000000000, 4096, PROT_READ)
madvise(0x600000000000, 4096, MADV_DONTNEED)
msync(0x600000000000, 4096, MS_SYNC)
msync(0x600000000000, 4096, 7)
a = mmap(0x600000000000, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
mmap(a, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
store a "x"
load a`},
		{"a process that ends", `
p: a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
q: b = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
exit(p)
q: store b "x"
p: load a`},
		{"forks", `
file f 8192 "file"
p: a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
p: b = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
p: c = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
p: d = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
p: store a "own"
p: store b "wiped"
p: store d "both"
p: load c
p: madvise(b, 4096, MADV_WIPEONFORK)
p: madvise(c, 4096, MADV_DONTFORK)
q = fork(p)
q: load b 5
q: load c
q: store d "BOTH"
p: load d 4
q: store a "his"
r = fork(q)
r: store a "hers"
q: load a 4
exit(q)
r: store a "HERS"
r: pread(f, a, 4, 0)
p: munmap(a, 8192)
r: load a 4`},
		{"everything locked", `
a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mlockall(MCL_CURRENT|MCL_FUTURE)
b = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mincore(a, 8192)
mincore(b, 4096)
q = fork(p1)
q: store a "x"
p1: munlock(a, 4096)
p1: munlockall()
p1: mlockall(MCL_ONFAULT)
p1: mlockall(0)
p1: mlockall(MCL_CURRENT|MCL_ONFAULT)`},
		{"what is in memory", `
a = mmap(NULL, 12288, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mincore(a, 12288)
store a+4096 "x"
mincore(a, 12288)
mincore(a, 12289)
mincore(a+1, 4096)
madvise(a, 12288, MADV_DONTNEED)
mincore(a, 8193)`},
		{"the limits of the engine's processes", `
frames 4096
a = mmap(NULL, 8392704, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mlock(a, 8388609)
mlockall(MCL_CURRENT)
mmap(NULL, 1073741824, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
b = mmap(NULL, 1065349120, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)`},
		{"what is written, and when", `
file f 12288 "one" at 4096 "two"
a = mmap(NULL, 12288, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
store a "ONE"
store a+4096 "TWO"
msync(a, 8192, MS_SYNC)
store a "1"
writeback(f)
load a 3
evict(f, 0)
evict(f, 1)
load a+4096 3
store a+4096 "2"
fsync(f)
truncate(f, 4096)`},
	} {
		t.Run(row.name, func(t *testing.T) {
			onKernel(t, row.text, func(m *script.Moment, a agreement) {
				if a.Verdict != stepAgrees {
					t.Errorf("line %d, %s: %+v, the engine: %+v", m.Line, m.Text, a, m.Outcome)
				}
			})
		})
	}
}

// TestADifferenceIsTold gives the comparison an engine that is wrong.
func TestADifferenceIsTold(t *testing.T) {
	const text = `
file f 8192 "hello"
a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
load a 5
munmap(a+1, 1)
load a+65536
store a "j"
q = fork(p1)
mincore(a, 4096)`
	area := func(m *script.Moment) *script.Area { return &m.State.Processes[0].Areas[0] }
	for _, row := range []struct {
		name  string
		line  int
		wrong func(*script.Moment)
		says  string
	}{
		{"an address", 3, func(m *script.Moment) { m.Outcome.Addr += vmem.PageSize }, "the areas of p1"},
		{"a byte loaded", 4, func(m *script.Moment) { m.Outcome.Bytes[0]++ }, `the kernel answered = "hello"`},
		{"an errno", 5, func(m *script.Moment) { m.Outcome.Errno = vmem.ENOMEM }, "the kernel answered = EINVAL"},
		{"a success", 5, func(m *script.Moment) { m.Outcome = script.Outcome{Kind: script.Done} }, "the kernel answered = EINVAL"},
		{"a signal", 6, func(m *script.Moment) { m.Outcome.Signal = vmem.SIGBUS }, "the kernel answered SIGSEGV"},
		{"a signal's code", 6, func(m *script.Moment) { m.Outcome.Code = vmem.ACCERR }, "the kernel answered SIGSEGV"},
		{"a signal's address", 6, func(m *script.Moment) { m.Outcome.Addr++ }, "the kernel answered SIGSEGV"},
		{"an area's protection", 4, func(m *script.Moment) { area(m).Prot = vmem.ProtRead }, "the areas of p1 are 6fffffffe000-700000000000 rw-p 0 "},
		{"an area's end", 4, func(m *script.Moment) { area(m).End += vmem.PageSize }, "the areas of p1"},
		{"an area's offset", 4, func(m *script.Moment) { area(m).Offset = vmem.PageSize }, "the areas of p1"},
		{"an area too few", 8, func(m *script.Moment) { m.State.Processes[1].Areas = nil }, "the areas of q are 6fff"},
		{"what is locked", 4, func(m *script.Moment) { m.State.Processes[0].Locked = 4096 }, "p1 has 0 bytes locked on the kernel"},
		{"a page that was not copied", 4, func(m *script.Moment) { area(m).Pages[0].Entry.Bits |= vmem.Private }, "a has no page of its own on the kernel"},
		{"a page that was copied", 7, func(m *script.Moment) { area(m).Pages = nil }, "a has a page of its own on the kernel"},
		{"a page that fork copied", 8, func(m *script.Moment) { onlyMapper(m, 1) }, "somebody else has the page at a too, on the kernel"},
		{"a page that is shared", 7, func(m *script.Moment) { onlyMapper(m, 2) }, "nobody else has the page at a, on the kernel"},
		{"a byte in memory", 4, func(m *script.Moment) { area(m).Pages[0].Content.Hash++ }, `a is "hello" on the kernel`},
		{"a byte of the file", 4, func(m *script.Moment) { m.State.Files[0].Pages[0].Read.Hash++ }, `page 0 of f is "hello" on the kernel`},
		{"a byte of the file that is not in memory", 9, func(m *script.Moment) { m.State.Files[0].Pages[1].Read.Hash++ }, "page 1 of f is zeros on the kernel"},
		{"the file's size", 4, func(m *script.Moment) { m.State.Files[0].Size-- }, "f has 8,192 bytes on the kernel"},
		{"a page that the kernel lost", 9, func(m *script.Moment) { m.Outcome.Bytes = []byte{1, 1} }, "the kernel answered = [1]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := must(script.Parse("s", text))(t)
			k := kernelOf(t, s)
			for m, err := range s.Run() {
				if err != nil {
					t.Fatal(err)
				}
				want, says := stepAgrees, ""
				switch {
				case m.Line == row.line:
					row.wrong(m)
					want, says = stepDiffers, row.says
				case m.Line > row.line:
					want, says = stepNotShown, "gone different ways"
				}
				if a := k.step(m); a.Verdict != want || !strings.Contains(a.Reason, says) {
					t.Errorf("line %d: %+v, want %s, %q", m.Line, a, want, says)
				}
			}
		})
	}
}

// onlyMapper pretends that so many entries show the private frame.
func onlyMapper(m *script.Moment, n int) {
	for i, f := range m.State.Frames {
		if f.File == "" {
			m.State.Frames[i].Mappers = make([]script.Mapper, n)
		}
	}
}

// TestWhatWasNotSyncedIsTold: a sync that the engine did and the kernel did not.
func TestWhatWasNotSyncedIsTold(t *testing.T) {
	s := must(script.Parse("s", "file f 8192\na = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)\nstore a \"x\"\nmsync(a, 8192, MS_SYNC)"))(t)
	k := kernelOf(t, s)
	for m, err := range s.Run() {
		if err != nil {
			t.Fatal(err)
		}
		if m.Call != "msync" {
			k.step(m)
			continue
		}
		if _, dirty, known := k.machine.Cached("f", 0, 0); !known || dirty == 0 {
			testenv.Skip(t, "needs cachestat (Linux 6.5), and a file system that it tells of")
		}
		if says := k.compareSynced(m); !strings.Contains(says, "pages of f are not on the disk") {
			t.Errorf("before the kernel's msync: %q", says)
		}
		if a := k.step(m); a.Verdict != stepAgrees {
			t.Errorf("after it: %+v", a)
		}
	}
}

// TestWhatIsUndeterminedIsNoDifference plants one where a kernel may do either.
func TestWhatIsUndeterminedIsNoDifference(t *testing.T) {
	const begin = "file f 8000 \"x\"\na = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)\n"
	for _, row := range []struct{ name, text, says string }{
		{"bytes behind the end", begin + "store a+8000 \"y\"\nload a+8000", "behind the end"},
		{"what they become when the file grows", begin + "store a+8000 \"y\"\ntruncate(f, 8100)", "behind the end"},
		{"a copy over itself", begin + "pread(f, a+1, 100, 0)", "over themselves"},
		{"growth that fails", begin + "pwrite(f, a+12288, 10, 10000)", "may have made the file longer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := must(script.Parse("s", row.text))(t)
			k := kernelOf(t, s)
			for m, err := range s.Run() {
				if err != nil {
					t.Fatal(err)
				}
				want, says := stepAgrees, ""
				if m.Line == s.Steps[len(s.Steps)-1].Line {
					m.Outcome.Value, m.Outcome.Bytes = m.Outcome.Value+1, []byte("?") // another answer, whatever it was
					want, says = stepUndetermined, row.says
				}
				if a := k.step(m); a.Verdict != want || !strings.Contains(a.Reason, says) {
					t.Errorf("line %d: %+v, want %s, %q", m.Line, a, want, says)
				}
			}
		})
	}
	t.Run("what is read ahead", func(t *testing.T) {
		text := "file f 32768 \"x\"\na = mmap(NULL, 32768, PROT_READ, MAP_SHARED, f, 0)\nload a+16384\nmincore(a, 32768)"
		onKernel(t, text, func(m *script.Moment, a agreement) {
			ahead := a.Verdict == stepUndetermined && strings.Contains(a.Reason, "reads ahead")
			if a.Verdict != stepAgrees && !(m.Call == "mincore" && ahead) {
				t.Errorf("line %d: %+v", m.Line, a)
			}
		})
	})
}

func TestWhatTheKernelCantShowIsSaid(t *testing.T) {
	const map8 = "a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n"
	for _, row := range []struct{ name, text, says string }{
		{"a page that is not the script's", "load 0x400000", "beside the addresses"},
		{"a mapping there", "mmap(0x400000, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)", "beside the addresses"},
		{"a range that reaches there", "munmap(0x10000, 0x10000000)", "beside the addresses"},
		{"a move there", map8 + "mremap(a, 8192, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x4ff000)", "beside the addresses"},
		{"no address at all", "store 0x900000000000 \"x\"", "beside the addresses"},
		{"a full memory", "frames 1\n" + map8 + "store a \"x\"\nstore a+4096 \"x\"", "is not full"},
		{"a lock that finds it full", "frames 1\n" + map8 + "mlock(a, 8192)", "is not full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			last := agreement{}
			onKernel(t, row.text, func(m *script.Moment, a agreement) { last = a })
			if last.Verdict != stepNotShown || !strings.Contains(last.Reason, row.says) {
				t.Errorf("%+v, want %q", last, row.says)
			}
		})
	}
}

// TestAKernelThatCantBeAskedLeavesTheEngine runs where a filter refuses ptrace:
// the story is told, no step is said to agree, and the exit status tells.
func TestAKernelThatCantBeAskedLeavesTheEngine(t *testing.T) {
	kernelOf(t, must(script.Parse("s", "load 4096"))(t)) // which is refused by nothing else
	got := testenv.Child{Name: "explain behind a filter"}.Run(t)
	if strings.Contains(got.Stderr, "panic") {
		testenv.Skip(t, "needs seccomp: "+got.Stderr)
	}
	for _, want := range []string{"[10/10] exit(child)", "frame 3   \"jello\"", "not shown on this kernel: this system does not let it be asked", "not shown on this kernel: as above\n",
		"0 steps agree, 0 differ, 0 undetermined, 10 not shown"} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("no %q in\n%s", want, got.Stdout)
		}
	}
	if got.Code != 1 || !strings.Contains(got.Stderr, "only the engine was shown") || !strings.Contains(got.Stderr, "seccomp") {
		t.Errorf("exit code %d: %s", got.Code, got.Stderr)
	}
}

var _ = testenv.Register("explain behind a filter", func() {
	if err := testenv.RefuseRareCalls(); err != nil {
		panic(err)
	}
	os.Exit(run([]string{"explain", "--kernel", "--lang", "en"}, os.Stdout, os.Stderr))
})

// tracees are the processes of the kernel's side whose program is in dir or
// below.
func tracees(t *testing.T, dir string) (pids []int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir+"/") {
			pids = append(pids, must(strconv.Atoi(strings.Split(link, "/")[2]))(t))
		}
	}
	return pids
}

// TestAProcessThatIsKilledEndsTheShowing kills one between two steps.
func TestAProcessThatIsKilledEndsTheShowing(t *testing.T) {
	s := must(script.Parse("s", "p: load 65536\nq = fork(p)\nq: load 65536\np: load 65536\nload 65536"))(t)
	k := kernelOf(t, s)
	dir := k.dir
	for m, err := range s.Run() {
		if err != nil {
			t.Fatal(err)
		}
		want, says := stepAgrees, ""
		switch m.Line {
		case 3:
			pids := tracees(t, dir)
			if len(pids) != 3 { // the two, and the one that they come of
				t.Fatalf("processes %v", pids)
			}
			for _, pid := range pids[1:] {
				p := must(os.FindProcess(pid))(t)
				p.Kill()
				p.Release()
			}
			fallthrough
		case 4, 5:
			want, says = stepNotShown, "the process has ended"
		}
		if a := k.step(m); a.Verdict != want || !strings.Contains(a.Reason, says) {
			t.Errorf("line %d: %+v, want %s, %q", m.Line, a, want, says)
		}
	}
	k.end()
	if pids := tracees(t, dir); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// TestNoProcessIsLeftBehind interrupts the command, and kills it, while it
// waits for somebody to read what it prints.
func TestNoProcessIsLeftBehind(t *testing.T) {
	kernelOf(t, must(script.Parse("s", "load 4096"))(t))
	for _, row := range []struct {
		name   string
		signal os.Signal
		says   string
	}{{"interrupted", os.Interrupt, "mmap: interrupted\n"}, {"killed", os.Kill, ""}} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			long := scriptFile(t, "q: load 65536\n"+strings.Repeat("p: load 65536\n", 900))
			cmd := testenv.Child{Name: "explain", Env: []string{scriptVar + "=" + long, "TMPDIR=" + dir}}.Command(t)
			var said bytes.Buffer
			cmd.Stderr = &said
			out := must(cmd.StdoutPipe())(t)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			if _, err := r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			await(t, "the kernel's processes", func() bool { return len(tracees(t, dir)) == 3 })
			cmd.Process.Signal(row.signal)
			io.Copy(io.Discard, r)
			cmd.Wait()
			if said.String() != row.says {
				t.Errorf("said %q, want %q", said.String(), row.says)
			}
			await(t, "their end", func() bool { return len(tracees(t, dir)) == 0 })
			if left := must(os.ReadDir(dir))(t); len(left) > 0 && row.signal == os.Interrupt {
				t.Errorf("left %v", left)
			}
		})
	}
}

// await waits until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

const scriptVar = "MMAP_TEST_SCRIPT"

var _ = testenv.Register("explain", func() {
	os.Exit(run([]string{"explain", "--kernel", "--lang", "en", os.Getenv(scriptVar)}, os.Stdout, os.Stderr))
})

func TestExplainOnTheKernel(t *testing.T) {
	kernelOf(t, must(script.Parse("s", "load 4096"))(t))
	for lang, want := range map[string][]string{
		"en": {"    this kernel agrees\n", "On this kernel: 10 steps agree, 0 differ, 0 undetermined, 0 not shown.\n",
			"    this kernel agrees; its page tables: parent a shared, a+4096 shared; child a\n    shared, a+4096 shared\n",
			"    this kernel agrees; its page tables: parent a unshared, a+4096 shared; child\n    a unshared, a+4096 shared\n"},
		"zh": {"    本机内核与此一致\n", "在本机内核上：10 步一致，0 步不同，0 步不确定，0 步未展示。\n",
			"    本机内核与此一致；它的页表：parent a 共享，a+4096 共享；child a 共享，a+4096\n    共享\n"},
	} {
		text := explained(t, "--kernel", "--lang", lang, "copy-on-write")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in\n%s", part, text)
			}
		}
		if page := pageOf(t, "--kernel", "--lang", lang); strings.Count(page, `<p class="kernel agrees">`+strings.TrimSpace(want[0])) != 10 {
			t.Errorf("--lang %s: the page does not tell of the kernel at each step", lang)
		}
	}
	if page := pageOf(t, "--kernel", "--lang", "zh", "power-cut"); !strings.Contains(page, `<p class="kernel not-shown">本机内核上未展示：没有人会切断这台机器的电源`) {
		t.Error("the page does not tell why the kernel shows no power cut")
	}
	var saw []string
	for _, s := range explainJSON(t, "--kernel", "copy-on-write").Steps {
		if s.Kernel == nil || s.Kernel.Verdict != stepAgrees || s.Kernel.Reason != "" {
			t.Fatalf("line %d: %+v", s.Line, s.Kernel)
		}
		saw = append(saw, s.Kernel.Saw)
	}
	if want := "parent a unshared, a+4096 shared; child a unshared, a+4096 shared"; saw[5] != want || saw[6] != "" {
		t.Errorf("saw %q, want %q and then nothing new", saw, want)
	}
	if s := explainJSON(t, "areas").Steps[0]; s.Kernel != nil {
		t.Errorf("without --kernel: %+v", s.Kernel)
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/vmem"
)

// kernelOf begins a run on this kernel, and ends it with the test.
func kernelOf(t *testing.T) *kernelRun {
	t.Helper()
	k, err := newKernelRun(t.Context(), &console{lang: "en"})
	if err != nil {
		testenv.Skip(t, "needs Linux with pages of 4096 bytes: "+err.Error())
	}
	t.Cleanup(k.end)
	needProc(t)
	return k
}

// TestTheKernelAgreesWithEveryStory runs each on both. Where a story can't be
// shown to its end, the step that ends it is known.
func TestTheKernelAgreesWithEveryStory(t *testing.T) {
	ends := map[string]string{"copy-on-write": "fork", "power-cut": "powercut"}
	for _, name := range storyNames {
		t.Run(name, func(t *testing.T) {
			k := kernelOf(t)
			s := must(script.Parse(name, story(name)))(t)
			over := false
			for m, err := range s.Run() {
				if err != nil {
					t.Fatal(err)
				}
				over = over || m.Call == ends[name]
				want := stepAgrees
				if over || m.Call == "writeback" {
					want = stepNotShown
				}
				if a := k.step(m); a.Verdict != want || (a.Reason == "") != (want == stepAgrees) {
					t.Errorf("line %d, %s: %+v, want %s", m.Line, m.Text, a, want)
				}
			}
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
q: store b "x"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := kernelOf(t)
			s := must(script.Parse(row.name, row.text))(t)
			for m, err := range s.Run() {
				if err != nil {
					t.Fatal(err)
				}
				if a := k.step(m); a.Verdict != stepAgrees {
					t.Errorf("line %d, %s: %+v, the engine: %+v", m.Line, m.Text, a, m.Outcome)
				}
			}
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
load a+65536`
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
		{"an area's protection", 4, func(m *script.Moment) { area(m).Prot = vmem.ProtRead }, "the areas of p1 are 6fffffffe000-700000000000 rw-p 0 "},
		{"an area's end", 4, func(m *script.Moment) { area(m).End += vmem.PageSize }, "the areas of p1"},
		{"an area's offset", 4, func(m *script.Moment) { area(m).Offset = vmem.PageSize }, "the areas of p1"},
		{"what is locked", 4, func(m *script.Moment) { m.State.Processes[0].Locked = 4096 }, "p1 has 0 bytes locked on the kernel"},
		{"a byte in memory", 4, func(m *script.Moment) { area(m).Pages[0].Content.Hash++ }, `a is "hello" on the kernel`},
		{"a byte of the file", 4, func(m *script.Moment) { m.State.Files[0].Pages[1].Read.Hash++ }, "page 1 of f is zeros on the kernel"},
		{"the file's size", 4, func(m *script.Moment) { m.State.Files[0].Size-- }, "f has 8,192 bytes on the kernel"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := kernelOf(t)
			s := must(script.Parse("s", text))(t)
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

func TestWhatTheKernelCantShowIsSaid(t *testing.T) {
	for _, row := range []struct{ name, text, says string }{
		{"a fork", "load 0x600000000000\nq = fork(p1)", "a Go program can't fork"},
		{"an address where a Go program may keep something", "load 4096", "beside the addresses"},
		{"a mapping there", "mmap(0x400000, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)", "beside the addresses"},
		{"a range that reaches there", "munmap(0x600000000000, 0x300000000000)", "beside the addresses"},
		{"what it would do to a Go program", "mlockall(MCL_CURRENT)", "a Go program's own memory"},
		{"what it chooses", "a = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nmincore(a, 4096)", "the kernel's choice"},
		{"a full memory", "frames 1\na = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nstore a \"x\"\nstore a+4096 \"x\"", "is not full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := kernelOf(t)
			s := must(script.Parse("s", row.text))(t)
			var last agreement
			for m, err := range s.Run() {
				if err != nil {
					t.Fatal(err)
				}
				last = k.step(m)
			}
			if last.Verdict != stepNotShown || !strings.Contains(last.Reason, row.says) {
				t.Errorf("%+v, want %q", last, row.says)
			}
		})
	}
}

func TestExplainOnTheKernel(t *testing.T) {
	kernelOf(t)
	for lang, want := range map[string][]string{
		"en": {"    the kernel agrees\n", "On the kernel: 9 steps agree, 0 differ, 0 not shown.\n"},
		"zh": {"    内核与此一致\n", "在内核上：9 步一致，0 步不同，0 步未展示。\n"},
	} {
		text := explained(t, "--kernel", "--lang", lang, "truncation")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in\n%s", part, text)
			}
		}
	}
	for _, s := range explainJSON(t, "--kernel", "areas").Steps {
		if s.Kernel == nil || s.Kernel.Verdict != stepAgrees {
			t.Errorf("line %d: %+v", s.Line, s.Kernel)
		}
	}
	if s := explainJSON(t, "areas").Steps[0]; s.Kernel != nil {
		t.Errorf("without --kernel: %+v", s.Kernel)
	}
}

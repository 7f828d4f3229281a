package script

import (
	"fmt"
	"strings"
	"testing"

	"github.com/memwright/mmap/vmem"
)

func TestErrorsNameThePlaceAndWhatWasExpected(t *testing.T) {
	const file = "file f 8192\n"
	const mapped = "a = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n"
	for _, row := range []struct{ name, text, want string }{
		{"nothing", "", "s:1: expected a step"},
		{"remarks alone", "# a\n\n# b\n", "s:3: expected a step"},
		{"an unknown call", "p1: mumap(a, 1)", `s:1:5: expected a call, an access or a setting; nothing is called mumap`},
		{"an unknown name", "load a", "s:1:6: expected an address that a line above has named, found a"},
		{"a file for an address", file + "load f", "s:2:6: expected an address that a line above has named, found f"},
		{"an address for a file", mapped + "fsync(a)", "s:2:7: expected a file that a line above has named, found a"},
		{"an unknown process", "q = fork(p)", "s:1:10: expected a process that a line above has named, found p"},
		{"no name for a child", mapped + "fork(p1)", "s:2:1: expected a name for what fork returns, as in x = fork(...)"},
		{"a flag of another kind", file + "mmap(NULL, 1, MAP_SHARED, MAP_SHARED, f, 0)",
			"s:2:15: expected a protection (PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE), found MAP_SHARED"},
		{"too few arguments", "munmap(4096)", "s:1:12: expected , and then a number of bytes, found )"},
		{"too many", "munmap(4096, 1, 2)", "s:1:15: expected ) after the last argument, found ,"},
		{"an open parenthesis", "munmap(4096, 1", "s:1:15: expected ) after the last argument, found the end of the line"},
		{"more than a statement", "load 1 2 3", "s:1:10: expected the end of the line, found 3"},
		{"a text that does not end", `store 1 "x`, `s:1:9: expected a text in quotes that ends, as in "hello"`},
		{"nothing to store", `store 1 ""`, `s:1:9: expected the text to store, of 1 to 4096 bytes, found ""`},
		{"a strange character, behind wide ones", "# 页\nfile 页", `s:2:6: expected a call or an access, found '页'`},
		{"a number that is too long", "load 9223372036854775808", "s:1:6: expected a number below 2^63, found 9223372036854775808"},
		{"no number", "load 12abc", "s:1:6: expected a number below 2^63, found 12abc"},
		{"a product that is too long", "load 4611686018427387904*2", "s:1:26: expected a product below 2^63"},
		{"a sum that is too long", "load 9223372036854775807+1", "s:1:26: expected a sum below 2^63"},
		{"a file that is too long", "file f 4194305", "s:1:8: expected a size from 0 to 4194304 bytes"},
		{"a text behind the file's end", `file f 4 "hello"`, "s:1:10: expected a text that ends within the file's 4 bytes"},
		{"a second file of the name", file + "file f 1", "s:2:6: expected a new name in small letters, found f"},
		{"a name that is in use", file + "f = mmap(NULL, 1, PROT_READ, MAP_SHARED, f, 0)", "s:2:1: expected a new name, found f, which is in use"},
		{"a name for nothing", "x = munmap(4096, 1)", "s:1:1: expected no name: munmap returns nothing that can be used later"},
		{"a name like a flag", "A = mmap(NULL, 1, PROT_READ, MAP_SHARED, -1, 0)", "s:1:1: expected a name of your own in small letters, found A"},
		{"a process before a file", "p1: file f 1", "s:1:1: expected no process before file"},
		{"a file as a process", file + "f: load 1", "s:2:1: expected a process, found f, which is something else"},
		{"a setting that comes late", file + "frames 3", "s:2:1: expected frames before the first step"},
		{"a setting out of its range", "faultaround 3", "s:1:13: expected a number from 1 to 512, a power of two for faultaround, found 3"},
		{"too many steps", strings.Repeat("load 1\n", mostSteps+1), fmt.Sprintf("s:%d:1: expected no more than %d steps", mostSteps+1, mostSteps)},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Parse("s", row.text)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}

func TestRemarksBelongToTheirStep(t *testing.T) {
	s, err := Parse("s", "# The title\n#zh 标题\n\n# first,\n# and more\n#zh 第一\nload 1 # behind\n\n# lost\n\nload 2\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Remark{"The title", "标题"}); s.Title != want {
		t.Errorf("title %q", s.Title)
	}
	if want := (Remark{"first, and more behind", "第一"}); s.Steps[0].Remark != want || s.Steps[0].Text != "load 1" {
		t.Errorf("%q, %q", s.Steps[0].Remark, s.Steps[0].Text)
	}
	if s.Steps[1].Remark != (Remark{}) {
		t.Errorf("%q", s.Steps[1].Remark)
	}
}

func TestALineWithoutANameGoesOnWithTheProcess(t *testing.T) {
	s, err := Parse("s", "load 1\nq: load 1\nload 1\nmlock(1, 1)\nfile f 1\nfsync(f)\n")
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, step := range s.Steps {
		who = append(who, step.Process)
	}
	if got := strings.Join(who, ","); got != "p1,q,q,q,,q" {
		t.Error(got)
	}
}

// outcomes runs a script and spells what each step came to.
func outcomes(t *testing.T, text string) (list []string, last *Moment) {
	t.Helper()
	s, err := Parse("s", text)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range s.Run() {
		if err != nil {
			t.Fatal(err)
		}
		o, said := m.Outcome, string(m.Outcome.Kind)
		switch o.Kind {
		case Number:
			said = fmt.Sprint(o.Value)
		case Address:
			said = fmt.Sprintf("%#x", uint64(o.Addr))
		case Loaded:
			said = fmt.Sprintf("%q", o.Bytes)
		case Refused:
			said = o.Errno.Name()
		case Faulted:
			said = fmt.Sprintf("signal %d code %d at %#x", o.Signal, o.Code, uint64(o.Addr))
		}
		list, last = append(list, said), m
	}
	return list, last
}

func TestEveryCall(t *testing.T) {
	const zeros = `MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)` + "\n"
	for _, row := range []struct{ name, text, want string }{
		{"mmap with an address and without", "file f 1\na = mmap(NULL, 1, PROT_READ, MAP_SHARED, f, 0)\nb = mmap(1, PROT_READ, MAP_SHARED, f, 0)",
			"done 0x6ffffffff000 0x6fffffffe000"},
		{"mmap of a closed file", "file f 1\nclose(f)\nmmap(1, PROT_READ, MAP_SHARED, f, 0)", "done done EBADF"},
		{"open for reading", "file f 4096\nr = open(f, O_RDONLY)\nmmap(1, PROT_WRITE, MAP_SHARED, r, 0)\ntruncate(r, 0)\nfsync(r)", "done done EACCES EINVAL done"},
		{"an address is a name and a sum", "a = mmap(8192, PROT_READ|PROT_WRITE, " + zeros + "store a+4096+2*3-1 \"x\"\nload a+4101 2", `0x6fffffffe000 done "x\x00"`},
		{"madvise, mprotect and munmap", "a = mmap(4096, PROT_READ|PROT_WRITE, " + zeros +
			"store a \"x\"\nmadvise(a, 4096, MADV_DONTNEED)\nload a\nmprotect(a, 4096, PROT_NONE)\nload a\nmunmap(a, 4096)\nload a",
			`0x6ffffffff000 done done "\x00" done signal 11 code 2 at 0x6ffffffff000 done signal 11 code 1 at 0x6ffffffff000`},
		{"mremap", "a = mmap(4096, PROT_READ|PROT_WRITE, " + zeros + "store a \"x\"\nb = mremap(a, 4096, 4096, MREMAP_MAYMOVE|MREMAP_FIXED, 0x500000000000)\nload b\nload a",
			`0x6ffffffff000 done 0x500000000000 "x" signal 11 code 1 at 0x6ffffffff000`},
		{"mincore", "a = mmap(8192, PROT_READ|PROT_WRITE, " + zeros + "store a+4096 \"x\"\nmincore(a, 8192)", `0x6fffffffe000 done "\x00\x01"`},
		{"locks", "a = mmap(4096, PROT_READ|PROT_WRITE, " + zeros + "mlock(a, 1)\nmunlock(a, 1)\nmlock2(a, 1, MLOCK_ONFAULT)\nmlockall(MCL_CURRENT)\nmunlockall()\nmlock(4096, 1)",
			"0x6ffffffff000 done done done done done ENOMEM"},
		{"pread and pwrite", "file f 8 \"abcd\"\na = mmap(4096, PROT_READ|PROT_WRITE, " + zeros +
			"pread(f, a, 100, 2)\nload a 2\npwrite(f, a, 1, 8)\npread(f, a, 100, 8)\npread(f, 4096, 1, 0)\npread(f, a, 1, -1)",
			`done 0x6ffffffff000 6 "cd" 1 1 EFAULT EINVAL`},
		{"a name whose mmap failed is of no use, but may come later", "a = mmap(0, PROT_READ, " + zeros + "a = mmap(1, PROT_READ, " + zeros + "load a",
			`EINVAL 0x6ffffffff000 "\x00"`},
		{"a child knows its parent's addresses", "p: a = mmap(4096, PROT_READ|PROT_WRITE, " + zeros + "store a \"1\"\nq = fork(p)\nq: store a \"2\"\np: load a\nq: load a\nexit(p)\nq: load a",
			`0x6ffffffff000 done done done "1" "2" done "2"`},
		{"a process has so many addresses", "mmap(1073741825, PROT_READ, " + zeros, "ENOMEM"},
		{"memory is full", "frames 1\na = mmap(8192, PROT_READ|PROT_WRITE, " + zeros + "store a \"x\"\nstore a+4096 \"x\"", "0x6fffffffe000 done unfilled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, _ := outcomes(t, row.text); strings.Join(got, " ") != row.want {
				t.Errorf("%s\nwant %s", strings.Join(got, " "), row.want)
			}
		})
	}
}

func TestWhatNoLineCanDoEndsTheScript(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"an address that was never given", "a = mmap(0, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nload a", "s:2: a has no address"},
		{"an address from before a power cut", "a = mmap(1, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\npowercut\nload a", "s:3: a has no address"},
		{"a process that has ended", "q: load 1\nexit(q)\nexit(q)", "s:3: there is no process q any more"},
		{"a page that is not there", "file f 4096\nevict(f, 0)", "s:2: page 0 of f can't leave memory"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Parse("s", row.text)
			if err != nil {
				t.Fatal(err)
			}
			for _, err = range s.Run() {
			}
			if err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}

func TestPowerCutLeavesWhatWasSyncedAndTellsWhatElseThereMayBe(t *testing.T) {
	_, last := outcomes(t, `
file f 8192 "a" at 4096 "b"
m = mmap(8192, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
store m "1"
store m+4096 "1"
msync(m, 4096, MS_SYNC)
store m "2"
truncate(f, 100)
powercut
`)
	var found []string
	for _, left := range last.Crash {
		for _, c := range left.Versions {
			found = append(found, fmt.Sprint(left.File, left.Page, c.Head))
		}
	}
	if got := strings.Join(found, " "); got != "f01 f02 f1b f11" {
		t.Errorf("may be left: %s", got)
	}
	f := last.State.Files[0]
	if f.Size != 8192 || f.Pages[0].Content.Head != "1" || f.Pages[1].Content.Head != "b" || len(last.State.Processes) > 0 || len(last.State.Frames) > 0 {
		t.Errorf("%+v", last.State)
	}
}

func TestTheStateIsTheEnginesAndLookingChangesNothing(t *testing.T) {
	_, m := outcomes(t, `
file f 8192 "a" at 4096 "b"
p: a = mmap(8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
load a
store a+4097 "c"
q = fork(p)
s = mmap(4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
store s "shared"
`)
	if n := len(m.State.Processes); n != 2 {
		t.Fatalf("%d processes", n)
	}
	p, q := m.State.Processes[0], m.State.Processes[1]
	if len(p.Areas) != 2 || len(q.Areas) != 1 || p.Areas[0].File != "/dev/zero (deleted)" || p.Areas[1].File != "f" {
		t.Fatalf("%+v\n%+v", p.Areas, q.Areas)
	}
	page := q.Areas[0].Pages[1]
	if page.Content.Head != "bc" || page.Entry.Bits&vmem.Private == 0 || page.Entry.Bits&(vmem.Writable|vmem.Accessed) != 0 {
		t.Errorf("%+v", page)
	}
	var frames []string
	for _, f := range m.State.Frames {
		frames = append(frames, fmt.Sprintf("%d %s %q %d", f.Number, f.File, f.Content.Head, len(f.Mappers)))
	}
	if got, want := strings.Join(frames, ","), `1 f "a" 2,2 f "b" 0,3  "bc" 2,4 /dev/zero (deleted) "shared" 1`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := m.State.Totals.Bytes[vmem.BytesIn]; got != 2*4096 {
		t.Errorf("%d bytes from the disk", got)
	}
	if m.State.Totals.Events[vmem.FaultMajor] != 2 || m.State.Totals.Events[vmem.FaultCopy] != 1 {
		t.Errorf("%v", m.State.Totals.Events)
	}
}

func TestContent(t *testing.T) {
	for _, row := range []struct {
		name, page string
		want       Content
	}{
		{"nothing", "", Content{}},
		{"zeros", "\x00\x00", Content{}},
		{"a text", "ab\x00", Content{Head: "ab"}},
		{"a text further on", "\x00\x00ab", Content{Off: 2, Head: "ab"}},
		{"two texts", "ab\x00c", Content{Head: "ab", More: true}},
		{"a long text", strings.Repeat("x", mostHead+1), Content{Head: strings.Repeat("x", mostHead), More: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ContentOf([]byte(row.page))
			got.Hash = 0
			if got != row.want {
				t.Errorf("%+v, want %+v", got, row.want)
			}
		})
	}
	if ContentOf([]byte("ab")) != ContentOf([]byte("ab\x00\x00")) || ContentOf([]byte("ab\x00c")) == ContentOf([]byte("ab\x00d")) {
		t.Error("pages are not told apart by their bytes")
	}
}

// FuzzScript holds that no text makes the parser or the engine panic, and that an
// error names a place in the text.
func FuzzScript(f *testing.F) {
	f.Add("file f 10000 \"hello\" at 4096 \"x\"\np1: a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)\nstore a+3 \"X\"\np2 = fork(p1)\np2: load a 5\ntruncate(f, 4096)\npowercut\n")
	f.Add("frames 2\nreadahead 32\nfaultaround 16\nfile f 40960\na = mmap(40960, PROT_READ, MAP_SHARED|MAP_LOCKED, f, 0)\nmremap(a, 0, 4096, MREMAP_MAYMOVE)\nmlockall(MCL_CURRENT|MCL_FUTURE)\nevict(f, 1)\nwriteback(f)\n")
	f.Add("a = mmap(1<<40, 1, 2, 3, -1, 4096)\nmadvise(a, -1, MADV_FREE)\nmincore(a, 99999999999)\npread(f, a, 1, 2)\nexit(p1)\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("s", text)
		if err != nil {
			where, ok := err.(*Error)
			if lines := 1 + strings.Count(text, "\n"); !ok || where.Line < 1 || where.Line > lines || where.Column < 0 || where.Text == "" {
				t.Errorf("%#v", err)
			}
			return
		}
		for _, err := range s.Run() {
			if _, ok := err.(*Error); err != nil && !ok {
				t.Errorf("%#v", err)
			}
		}
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap/cmd/mmap/script"
)

// explained runs mmap explain and returns what it printed.
func explained(t testing.TB, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(append([]string{"explain"}, args...), &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s\n%s", code, errOut.String(), out.String())
	}
	return out.String()
}

func explainJSON(t testing.TB, args ...string) explainDocument {
	t.Helper()
	var d explainDocument
	if err := json.Unmarshal([]byte(explained(t, append([]string{"--json", "--lang", "en"}, args...)...)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// scriptFile writes a script to a file of its own.
func scriptFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.mmap")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCopyOnWriteAsANewcomerReadsIt holds the whole step that copies.
func TestCopyOnWriteAsANewcomerReadsIt(t *testing.T) {
	const want = `
[6/10] child: store a "j"
    The child stores one byte. Its entry is read-only, so the processor calls
    the kernel. The area says rw, and somebody else shows the frame too: the
    kernel copies the page, 4,096 bytes for a store of one, and the child goes
    on in its copy. This is copy-on-write. The page that nobody stores to stays
    shared.
  ! copy-on-write fault at a: others have frame 1 too
  ! 4,096 bytes copied: frame 1 -> frame 3

    process parent
      6fffffffe000-700000000000 rw-p private memory
        a          -> frame 1   read-only accessed dirty own "hello"
        a+4096     -> frame 2   read-only accessed dirty own "world"
    process child
      6fffffffe000-700000000000 rw-p private memory
*       a          -> frame 3   writable  accessed dirty own "jello"
        a+4096     -> frame 2   read-only own                "world"
    memory
*     frame 1   "hello"            private              <- parent a
      frame 2   "world"            private              <- parent, child: a+4096
*     frame 3   "jello"            private              <- child a
*   bytes copied so far: page -> page 4,096
`
	if got := explained(t, "--lang", "en"); !strings.Contains(got, want) {
		t.Errorf("printed\n%s\nwant in it\n%s", got, want)
	}
}

func TestExplainText(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		for _, name := range storyNames {
			t.Run(name+" "+lang, func(t *testing.T) {
				text := explained(t, name, "--lang", lang)
				for line := range strings.Lines(text) {
					line = strings.TrimSuffix(line, "\n")
					if displayWidth(line) > 80 {
						t.Errorf("%d columns: %s", displayWidth(line), line)
					}
					if strings.HasSuffix(line, " ") || strings.Contains(line, "%!") || strings.Contains(line, "\x1b") {
						t.Errorf("badly printed: %q", line)
					}
				}
			})
		}
	}
}

// TestEveryStoryIsInBothLanguages finds a remark that has no Chinese, or an
// event without a sentence.
func TestEveryStoryIsInBothLanguages(t *testing.T) {
	for _, name := range storyNames {
		s, err := script.Parse(name, story(name))
		if err != nil {
			t.Fatal(err)
		}
		remarks := []script.Remark{s.Title}
		for _, step := range s.Steps {
			remarks = append(remarks, step.Remark)
		}
		for _, r := range remarks {
			if (r.English == "") != (r.Chinese == "") || r.English == "" && r == s.Title || displayWidth(r.English) > len([]rune(r.English)) {
				t.Errorf("%s: %q and %q", name, r.English, r.Chinese)
			}
		}
		for _, lang := range []string{"en", "zh"} {
			for m, err := range s.Run() {
				if err != nil {
					t.Fatal(err)
				}
				d := describer{&console{lang: lang}, m.State}
				for _, said := range d.happened(m) {
					if chinese := displayWidth(said) > len([]rune(said)); chinese != (lang == "zh") {
						t.Errorf("%s, --lang %s: %q", name, lang, said)
					}
				}
			}
		}
	}
	if zh := explained(t, "--list", "--lang", "zh"); !strings.Contains(zh, "写时复制") || strings.Count(zh, "\n") != len(storyNames) {
		t.Errorf("--list printed %s", zh)
	}
}

func TestEveryStoryIsListed(t *testing.T) {
	files, err := storyFiles.ReadDir("stories")
	if err != nil || len(files) != len(storyNames) {
		t.Errorf("%d files, %d names, %v", len(files), len(storyNames), err)
	}
	for _, name := range storyNames {
		if got := explained(t, name, "--source"); got != story(name) {
			t.Errorf("--source of %s printed %q", name, got)
		}
	}
}

// TestExplainIsDocumented looks in docs/JSON.md for everything that is printed.
func TestExplainIsDocumented(t *testing.T) {
	text := string(must(os.ReadFile("../../docs/JSON.md"))(t))
	_, section, _ := strings.Cut(text, "\n## explain\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var kinds []string
	for _, name := range storyNames {
		printed := explained(t, name, "--json")
		for _, word := range documented(must(decodeAny([]byte(printed)))(t)) {
			if !strings.Contains(section, "`"+word+"`") {
				t.Errorf("docs/JSON.md, explain: no `%s`", word)
			}
		}
		for _, s := range explainJSON(t, name).Steps {
			kinds = append(kinds, string(s.Outcome.Kind))
			for _, e := range s.Events {
				kinds = append(kinds, e.Kind)
			}
		}
	}
	slices.Sort(kinds)
	for _, kind := range slices.Compact(kinds) {
		if !strings.Contains(section, "`"+kind+"`") {
			t.Errorf("docs/JSON.md, explain: no `%s`", kind)
		}
	}
}

// TestCopiesAreCounted holds the story of read, write and mmap: what each way
// of reading and writing a page copies.
func TestCopiesAreCounted(t *testing.T) {
	before := map[string]int64{}
	var got []string
	for _, s := range explainJSON(t, "copies").Steps {
		var moved []string
		for _, c := range copied {
			if n := s.Copied[c.id] - before[c.id]; n > 0 {
				moved = append(moved, fmt.Sprint(c.id, "=", n))
			}
		}
		before = s.Copied
		if s.Call == "load" || s.Call == "store" || s.Call == "pread" || s.Call == "pwrite" {
			got = append(got, s.Text+": "+strings.Join(moved, " "))
		}
	}
	want := []string{
		"p1: pread(f, buf, 4096, 0): disk_to_page=4096 page_to_reader=4096",
		"p1: load a 9: disk_to_page=4096",
		`p1: store buf "SOME": `,
		"p1: pwrite(f, buf, 4096, 0): writer_to_page=4096",
		`p1: store a "SOME": `,
	}
	if !slices.Equal(got, want) {
		t.Errorf("copied\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestExplainReadsScripts(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"a load where nothing is", "load 4096", []string{"[1/1] load 4096", "SIGSEGV at 1000: no area", "no areas"}},
		{"a refused call", "munmap(1, 1)", []string{"= EINVAL: invalid argument"}},
		{"a zero page", "a = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nload a 3",
			[]string{"= zeros", "the entry shows the page of zeros", "-> zeros     read-only accessed own       zeros"}},
		{"bytes that are no text", "a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nstore a+4000 \"\\x01\\xffa\"\nload a+4000 3",
			[]string{`= "..a"`, `+4000 "..a"`}},
		{"many pages", "faultaround 16\nfile f 1048576", []string{"pages 0 to 255 zeros"}},
		{"shared memory", "a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)\nstore a \"x\"",
			[]string{"rw-s shared memory", "page 0 of shared memory"}},
		{"what mincore tells", "a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nstore a \"x\"\nmincore(a, 8192)", []string{"= [1 0]"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := explained(t, "--lang", "en", scriptFile(t, row.text))
			for _, want := range row.want {
				if !strings.Contains(got, want) {
					t.Errorf("printed\n%s\nwant in it %s", got, want)
				}
			}
		})
	}
}

func TestExplainRefuses(t *testing.T) {
	bad := scriptFile(t, "load 4096\nlaod 4096\n")
	for _, row := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a script that is wrong", []string{bad}, 1, bad + ":2:1: expected a call, an access or a setting; nothing is called laod"},
		{"no such story", []string{"copy-on-wrote"}, 1, "no story is called so; mmap explain --list names them"},
		{"two forms at once", []string{"--json", "--html", "x"}, 1, "--json or --html, not both"},
		{"a page that can't be written", []string{"--html", "/nowhere/page.html"}, 1, "/nowhere/page.html"},
		{"two scripts", []string{"a", "b"}, 2, "at most 1"},
		{"a line that can't be done", []string{scriptFile(t, "q: load 1\nexit(q)\nexit(q)")}, 1, ":3: there is no process q any more"},
		{"a script that is too long", []string{scriptFile(t, strings.Repeat("# a remark\n", mostScript/10))}, 1, "more than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if got := run(append([]string{"explain"}, row.args...), &out, &errOut); got != row.code || !strings.Contains(errOut.String(), row.says) {
				t.Errorf("exit code %d, want %d; said %q, want %q in it", got, row.code, errOut.String(), row.says)
			}
		})
	}
}

func TestExplainReadsStandardInput(t *testing.T) {
	c := &console{out: new(bytes.Buffer), lang: "en"}
	root := newRoot(c)
	root.SetArgs([]string{"explain", "--lang", "en", "-"})
	root.SetIn(strings.NewReader("load 4096\n"))
	if err := root.Execute(); err != nil || !strings.Contains(c.out.(*bytes.Buffer).String(), "SIGSEGV at 1000") {
		t.Errorf("%v: %s", err, c.out)
	}
}

// TestExplainWaitsForNoScriptForEver interrupts it while a script is awaited.
func TestExplainWaitsForNoScriptForEver(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	in, typed := io.Pipe()
	root := newRoot(&console{out: new(bytes.Buffer), lang: "en"})
	root.SetArgs([]string{"explain", "--lang", "en", "-"})
	root.SetIn(in)
	go func() {
		io.WriteString(typed, "load 4096\n") // which is being read, then
		interrupt()
	}()
	if err := root.ExecuteContext(ctx); err != errInterrupted {
		t.Errorf("ended with %v", err)
	}
	typed.Close()
}

// TestExplainIsTheSameEachTime: nothing in it depends on the machine, the time,
// or the order of a map.
func TestExplainIsTheSameEachTime(t *testing.T) {
	for _, name := range storyNames {
		if a, b := explained(t, name, "--json"), explained(t, name, "--json"); a != b {
			t.Errorf("%s differs from run to run", name)
		}
	}
}

func TestExplainEndsWhenNobodyReads(t *testing.T) {
	w := &closedOutput{after: 3}
	c := &console{out: w, lang: "en"}
	s := must(script.Parse("s", story("stages")))(t)
	if err := explain(t.Context(), c, s, explainOptions{}); err == nil || w.writes > w.after+20 {
		t.Errorf("%v after %d writes", err, w.writes)
	}
}

// A closedOutput is a reader that goes away.
type closedOutput struct{ writes, after int }

func (w *closedOutput) Write(p []byte) (int, error) {
	if w.writes++; w.writes > w.after {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

// pageOf writes the page of a script, and returns it.
func pageOf(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if printed := explained(t, append(args, "--html", path)...); printed != "" {
		t.Errorf("printed %q beside the page", printed)
	}
	return string(must(os.ReadFile(path))(t))
}

var pictures = regexp.MustCompile(`(?s)<svg.*?</svg>`)

// TestThePageHasAPictureOfEachStep holds that it is whole, well-formed, and
// needs nothing from elsewhere.
func TestThePageHasAPictureOfEachStep(t *testing.T) {
	for _, name := range storyNames {
		s := must(script.Parse(name, story(name)))(t)
		for _, lang := range []string{"en", "zh"} {
			page := pageOf(t, name, "--lang", lang)
			drawn := pictures.FindAllString(page, -1)
			if len(drawn) != len(s.Steps) || strings.Count(page, "<section") != len(s.Steps) {
				t.Errorf("%s: %d pictures of %d steps", name, len(drawn), len(s.Steps))
			}
			for i, picture := range drawn {
				if err := xml.Unmarshal([]byte(picture), new(struct{})); err != nil {
					t.Errorf("%s, step %d: %v", name, i+1, err)
				}
			}
			for _, word := range []string{"http:", "https:", "src=", "@import", "url(http", "ZgotmplZ", "%!", "NaN"} {
				if strings.Contains(page, word) {
					t.Errorf("%s: %q in the page", name, word)
				}
			}
		}
	}
}

// TestThePictureOfCopyOnWrite: after the fork two arrows for reading lead to each
// frame; the store copies one, and leads the child's to the copy.
func TestThePictureOfCopyOnWrite(t *testing.T) {
	drawn := pictures.FindAllString(pageOf(t), -1)
	for _, row := range []struct{ step, read, write, moved, changed int }{
		{2, 0, 1, 0, 2}, {4, 4, 0, 0, 7}, {6, 3, 1, 1, 3}, {8, 2, 2, 0, 2},
	} {
		count := func(s string) int { return strings.Count(drawn[row.step-1], s) }
		read, write, moved := count(`<path class="read"`), count(`<path class="write"`), count(`<path class="move"`)
		if changed := count(` new"`); read != row.read || write != row.write || moved != row.moved || changed != row.changed {
			t.Errorf("step %d: %d read, %d write, %d moved, %d changed; want %+v", row.step, read, write, moved, changed, row)
		}
	}
}

func TestThePageEscapesWhatAScriptSays(t *testing.T) {
	page := pageOf(t, scriptFile(t, "# <b>title</b>\n\nfile f 4096 \"<script>&'\"\na = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 0)\nload a 8 # <i>\n"))
	for _, word := range []string{"<b>", "<script>", "<i>"} {
		if strings.Contains(page, word) {
			t.Errorf("%s in the page", word)
		}
	}
	if !strings.Contains(page, "&lt;script&gt;&amp;") {
		t.Error("the text of the file is not in the page")
	}
}

func TestThePageOfManyPages(t *testing.T) {
	page := pageOf(t, "--lang", "en", scriptFile(t, "file f 262144\na = mmap(NULL, 262144, PROT_READ, MAP_SHARED|MAP_POPULATE, f, 0)\n"))
	for _, want := range []string{"and 52 entries more", "and 52 frames more", "and 52 pages more"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
)

// A toured is what a run of the tour printed as JSON.
type toured struct {
	System   systemInfo
	File     *objectInfo
	Sample   objectInfo
	Chapters []chapterResult
	Failed   []string
}

func (d toured) chapter(t testing.TB, id string) chapterResult {
	t.Helper()
	for _, ch := range d.Chapters {
		if ch.ID == id {
			return ch
		}
	}
	t.Fatalf("no chapter %s", id)
	return chapterResult{}
}

// number is a figure that must be there and be a number.
func (r chapterResult) number(t testing.TB, id string) int64 {
	t.Helper()
	n, ok := r.value(t, id).(float64)
	if !ok {
		t.Fatalf("%s: %s is %v", r.ID, id, r.value(t, id))
	}
	return int64(n)
}

func (r chapterResult) value(t testing.TB, id string) any {
	t.Helper()
	for _, f := range r.Evidence {
		if f.ID == id {
			return f.Value
		}
	}
	t.Fatalf("%s: no evidence %s", r.ID, id)
	return nil
}

// tourJSON runs the command in this process.
func tourJSON(t testing.TB, args ...string) toured {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(append([]string{"tour", "--json"}, args...), &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s\n%s", code, errOut.String(), out.String())
	}
	return decodeTour(t, out.Bytes())
}

func decodeTour(t testing.TB, b []byte) toured {
	t.Helper()
	var d toured
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	checkDocument(t, d)
	return d
}

// checkDocument holds what is true of every tour, wherever it runs.
func checkDocument(t testing.TB, d toured) {
	t.Helper()
	if d.Failed == nil {
		t.Error("failed is null: it is a list")
	}
	for _, ch := range d.Chapters {
		var judged, broken int
		for _, st := range ch.Statements {
			if st.Holds != nil {
				judged++
				if !*st.Holds {
					broken++
				}
			}
		}
		switch ch.Status {
		case statusShown:
			if judged == 0 || ch.Reason != "" {
				t.Errorf("%s is shown by %d statements, with the reason %q", ch.ID, judged, ch.Reason)
			}
		case statusAnotherWay:
			if judged == 0 || ch.Reason == "" {
				t.Errorf("%s is shown another way by %d statements, with the reason %q", ch.ID, judged, ch.Reason)
			}
		case statusNotShown:
			if ch.Reason == "" {
				t.Errorf("%s is not shown and does not say why", ch.ID)
			}
		}
		if (broken > 0 || ch.Status == statusFailed) != slices.Contains(d.Failed, ch.ID) {
			t.Errorf("%s: %d broken statements, status %s, failed: %v", ch.ID, broken, ch.Status, d.Failed)
		}
		var ids []string
		for _, f := range ch.Evidence {
			if slices.Contains(ids, f.ID) || f.Unit == "" {
				t.Errorf("%s: evidence %q appears twice or has no unit", ch.ID, f.ID)
			}
			ids = append(ids, f.ID)
		}
	}
}

func allBut(ids ...string) []string {
	return slices.DeleteFunc(chapterIDs(chapters), func(id string) bool { return slices.Contains(ids, id) })
}

// fileOf is a new file in dir that is no whole number of pages.
func fileOf(t testing.TB, dir string, n int) string {
	t.Helper()
	path := filepath.Join(dir, "given")
	if err := os.WriteFile(path, randomBytes(n), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTourOnDisk(t *testing.T) {
	needProc(t)
	t.Setenv("TMPDIR", testenv.DiskDir(t))
	d := tourJSON(t)
	if d.Sample.Storage != "disk" {
		testenv.Skip(t, "needs a sample on a disk: it is on "+d.Sample.FileSystem)
	}
	page := int64(os.Getpagesize())

	ch := d.chapter(t, "mapping")
	if n := ch.number(t, "page_table_entries"); n != 0 {
		t.Errorf("mapping: %d pages in the page table", n)
	}
	if length, span := ch.number(t, "length"), ch.number(t, "span"); length != d.Sample.Bytes || span != (length+page-1)/page {
		t.Errorf("mapping: %d bytes are %d pages", length, span)
	}
	if n := ch.number(t, "cached_after_mapping"); n != 0 || ch.Status != statusShown {
		t.Errorf("mapping: %d pages in memory, status %s", n, ch.Status)
	}

	ch = d.chapter(t, "first-touch")
	if ch.number(t, "cached_after_eviction") != 0 || ch.number(t, "cached_after_touch") < 1 || ch.number(t, "page_table_entries") < 1 {
		t.Errorf("first-touch: %+v", ch.Evidence)
	}
	if (ch.number(t, "major_faults") > 0) != (ch.Status == statusShown) {
		t.Errorf("first-touch: %d major faults, status %s", ch.number(t, "major_faults"), ch.Status)
	}
	if n := ch.number(t, "next_byte_faults"); n != 0 {
		t.Errorf("first-touch: the next byte cost %d faults", n)
	}

	ch = d.chapter(t, "msync")
	if dirty := ch.value(t, "dirty_stored"); dirty != nil {
		if ch.number(t, "dirty_stored") < 1 || ch.number(t, "dirty_synced") != 0 || ch.number(t, "writeback_synced") != 0 {
			t.Errorf("msync: %+v", ch.Evidence)
		}
	}
	ch = d.chapter(t, "anonymous")
	if ch.number(t, "counted") != 100 || ch.number(t, "parent_steps") != 50 || ch.number(t, "child_steps") != 50 {
		t.Errorf("anonymous: %+v", ch.Evidence)
	}
	ch = d.chapter(t, "shared-store")
	if ch.number(t, "this_process") != int64(os.Getpid()) || ch.number(t, "other_process") == int64(os.Getpid()) ||
		ch.number(t, "answer_seen_here") != ch.number(t, "seen_there")+1 {
		t.Errorf("shared-store: %+v", ch.Evidence)
	}
	for _, id := range allBut("first-touch", "one-frame", "private-store", "mlock", "growth", "zero-copy", "msync") {
		if ch := d.chapter(t, id); ch.Status != statusShown {
			t.Errorf("%s is %s: %s", id, ch.Status, ch.Reason)
		}
	}
}

func TestTourShowsFramesWhereTheyCanBeRead(t *testing.T) {
	testenv.Need(t, testenv.FrameNumbers)
	d := tourJSON(t, "--chapter", "one-frame,private-store,shared-store,anonymous")
	one := d.chapter(t, "one-frame")
	if a, b, buffer := one.number(t, "frame_a"), one.number(t, "frame_b"), one.number(t, "frame_buffer"); a == 0 || a != b || buffer == a {
		t.Errorf("one-frame: %#x, %#x, and read's %#x", a, b, buffer)
	}
	private := d.chapter(t, "private-store")
	if before, after := private.number(t, "frame_before"), private.number(t, "frame_after"); before == after {
		t.Errorf("private-store: still frame %#x", before)
	}
	shared := d.chapter(t, "shared-store")
	if here, there := shared.number(t, "frame_here"), shared.number(t, "frame_there"); here != there {
		t.Errorf("shared-store: %#x and %#x", here, there)
	}
	for _, ch := range d.Chapters {
		if ch.Status != statusShown {
			t.Errorf("%s is %s: %s", ch.ID, ch.Status, ch.Reason)
		}
	}
}

// TestTourIsDocumented looks in docs/JSON.md for everything that is printed.
func TestTourIsDocumented(t *testing.T) {
	text := string(must(os.ReadFile("../../docs/JSON.md"))(t))
	_, section, _ := strings.Cut(text, "\n## tour\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var out, errOut bytes.Buffer
	if code := run([]string{"tour", "--json", fileOf(t, testenv.DiskDir(t), 100_001)}, &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	for _, word := range documented(must(decodeAny(out.Bytes()))(t)) {
		if !strings.Contains(section, "`"+word+"`") {
			t.Errorf("docs/JSON.md, tour: no `%s`", word)
		}
	}
}

func decodeAny(b []byte) (v any, err error) {
	err = json.Unmarshal(b, &v)
	return v, err
}

// documented lists the keys of a JSON value, and the values that stand for
// something: ids, units, statuses.
func documented(v any) (words []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			words = append(words, documented(e)...)
		}
	case map[string]any:
		for key, e := range v {
			words = append(words, key)
			if s, ok := e.(string); ok && slices.Contains([]string{"id", "unit", "status", "object", "storage", "schema"}, key) {
				words = append(words, s)
			}
			words = append(words, documented(e)...)
		}
	}
	return words
}

func TestTourOnTmpfsSaysWhatCantBeShown(t *testing.T) {
	needProc(t)
	path := fileOf(t, testenv.TmpfsDir(t), 300_001)
	d := tourJSON(t, path)
	if d.File == nil || d.File.Storage != "memory" || d.File.Bytes != 300_001 {
		t.Errorf("%+v", d.File)
	}
	for _, id := range []string{"mapping", "first-touch"} {
		ch := d.chapter(t, id)
		if ch.Status != statusAnotherWay || ch.Object != "file" {
			t.Errorf("%s is %s on %s", id, ch.Status, ch.Object)
		}
	}
	if ch := d.chapter(t, "first-touch"); ch.number(t, "major_faults") != 0 || ch.number(t, "minor_faults") < 1 {
		t.Errorf("first-touch: %+v", ch.Evidence)
	}
}

func TestTourWithItsSampleOnTmpfs(t *testing.T) {
	needProc(t)
	var out bytes.Buffer
	tr := &tour{console: &console{out: &out, json: true, lang: "en"}, chapters: chapters, dirs: []string{testenv.TmpfsDir(t)}}
	if err := tr.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	d := decodeTour(t, out.Bytes())
	want := map[string]status{"mapping": statusAnotherWay, "first-touch": statusAnotherWay, "msync": statusNotShown}
	for id, want := range want {
		if ch := d.chapter(t, id); ch.Status != want && ch.Status != statusAnotherWay {
			t.Errorf("%s is %s", id, ch.Status)
		}
	}
	if d.Sample.Storage != "memory" {
		t.Errorf("%+v", d.Sample)
	}
}

func TestTourText(t *testing.T) {
	file := fileOf(t, testenv.DiskDir(t), 100_001)
	for _, lang := range []string{"en", "zh"} {
		for name, args := range map[string][]string{"sample": nil, "file": {file}} {
			t.Run(lang+" "+name, func(t *testing.T) {
				var out, errOut bytes.Buffer
				if code := run(append([]string{"tour", "--lang", lang}, args...), &out, &errOut); code != 0 {
					t.Fatalf("exit code %d: %s\n%s", code, errOut.String(), out.String())
				}
				text := out.String()
				for _, ch := range chapters {
					if title := (&console{lang: lang}).say(ch.title.en, ch.title.zh); !strings.Contains(text, title) {
						t.Errorf("no chapter %q", title)
					}
				}
				for line := range strings.Lines(text) {
					if line = strings.TrimSuffix(line, "\n"); displayWidth(line) > 80 && !strings.Contains(line, string(os.PathSeparator)) {
						t.Errorf("%d columns: %s", displayWidth(line), line)
					}
					if strings.HasSuffix(line, " ") || strings.Contains(line, "%!") || strings.Contains(line, "<nil>") {
						t.Errorf("badly printed: %q", line)
					}
				}
			})
		}
	}
}

// TestEverySentenceIsInBothLanguages finds a sentence without Chinese in it, or
// an English one with some.
func TestEverySentenceIsInBothLanguages(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		d := tourJSON(t, "--lang", lang)
		check := func(where, text string) {
			if chinese := displayWidth(text) > len([]rune(text)); chinese != (lang == "zh") {
				t.Errorf("--lang %s: %s: %q", lang, where, text)
			}
		}
		for _, ch := range d.Chapters {
			check(ch.ID, ch.Title)
			for _, st := range ch.Statements {
				check(ch.ID, st.Text)
			}
			for _, f := range ch.Evidence {
				if f.Label != "" && !strings.HasPrefix(f.Label, "RLIMIT_") {
					check(ch.ID+" "+f.ID, f.Label)
				}
			}
		}
	}
}

func TestTourLeavesTheFileAsItIs(t *testing.T) {
	path := fileOf(t, testenv.DiskDir(t), 1_000_001)
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, time.Time{}, long); err != nil {
		t.Fatal(err)
	}
	d := tourJSON(t, path)
	content, info := must(os.ReadFile(path))(t), must(os.Stat(path))(t)
	if !bytes.Equal(content, randomBytes(1_000_001)) || !info.ModTime().Equal(long) {
		t.Errorf("the file has changed: %d bytes, modified %v", len(content), info.ModTime())
	}
	if _, err := os.Stat(filepath.Dir(d.Sample.Path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sample's directory is still there: %v", err)
	}
}

func TestTourOfShortFiles(t *testing.T) {
	dir, page := testenv.DiskDir(t), os.Getpagesize()
	for _, n := range []int{0, 1, page - 1, page, page + 1, page + 2, 2 * page, 3*page + 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			d := tourJSON(t, "--chapter", "mapping,first-touch,one-frame,offset,zero-copy", fileOf(t, dir, n))
			want := "file"
			if n == 0 {
				want = "sample"
			}
			if ch := d.chapter(t, "zero-copy"); ch.Object != want {
				t.Errorf("zero-copy used the %s", ch.Object)
			}
			if ch := d.chapter(t, "zero-copy"); n > 0 && ch.number(t, "sent") != int64(n) {
				t.Errorf("sent %d bytes", ch.number(t, "sent"))
			}
		})
	}
}

func TestTourRefuses(t *testing.T) {
	dir := testenv.DiskDir(t)
	for _, row := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a directory", []string{dir}, 1, "directory"},
		{"a file that is not there", []string{filepath.Join(dir, "missing")}, 1, "missing"},
		{"a device", []string{os.DevNull}, 1, "regular file"},
		{"a chapter that is not there", []string{"--chapter", "nonsense"}, 2, "first-touch"},
		{"two files", []string{"a", "b"}, 2, "at most 1"},
		{"a language that is not there", []string{"--lang", "tlh"}, 2, "en or zh"},
	} {
		t.Run(row.name, func(t *testing.T) { wantRefusal(t, row.args, row.code, row.says) })
	}
	t.Run("an entry of proc", func(t *testing.T) {
		needProc(t)
		wantRefusal(t, []string{"/proc/self/maps"}, 1, "read it instead")
	})
	t.Run("a pipe", func(t *testing.T) {
		pipe := filepath.Join(dir, "pipe")
		if err := exec.Command("mkfifo", pipe).Run(); err != nil {
			testenv.Skip(t, "needs the command mkfifo: "+err.Error())
		}
		wantRefusal(t, []string{pipe}, 1, "pipe")
	})
}

func wantRefusal(t *testing.T, args []string, code int, says string) {
	t.Helper()
	var out, errOut bytes.Buffer
	if got := run(append([]string{"tour"}, args...), &out, &errOut); got != code || !strings.Contains(errOut.String(), says) {
		t.Errorf("exit code %d, want %d; said %q, want %q in it", got, code, errOut.String(), says)
	}
	if out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
}

// TestTourFailsWhereAPromiseIsBroken breaks one.
func TestTourFailsWhereAPromiseIsBroken(t *testing.T) {
	whole := chapters
	defer func() { chapters = whole }()
	for name, broken := range map[string]func(*stage) error{
		"a statement that does not hold": func(s *stage) error {
			s.told(true, "Water is wet.", "水是湿的。")
			s.told(false, "Fire is cold.", "火是冷的。")
			return nil
		},
		"one that does not hold, and a reason not to show the rest": func(s *stage) error {
			s.told(false, "Fire is cold.", "火是冷的。")
			return s.notShown("There is no fire here.", "这里没有火。")
		},
		"an error": func(*stage) error { return errors.New("Fire is cold") },
	} {
		t.Run(name, func(t *testing.T) {
			chapters = append(slices.Clone(whole), chapter{"broken", text{"A broken promise", "不实之言"}, broken})
			var out, errOut bytes.Buffer
			code := run([]string{"tour", "--lang", "en", "--chapter", "close,broken"}, &out, &errOut)
			if code != 1 || !strings.Contains(errOut.String(), "broken") || strings.Contains(errOut.String(), "close") {
				t.Errorf("exit code %d, said %q", code, errOut.String())
			}
			if !strings.Contains(out.String(), "FAILED") || !strings.Contains(out.String(), "Fire is cold") {
				t.Errorf("printed %s", out.String())
			}
			out.Reset()
			if code := run([]string{"tour", "--json", "--chapter", "broken"}, &out, &errOut); code != 1 {
				t.Errorf("exit code %d with --json", code)
			}
			if d := decodeTour(t, out.Bytes()); !slices.Equal(d.Failed, []string{"broken"}) {
				t.Errorf("failed: %v", d.Failed)
			}
		})
	}
}

func TestTourThatNobodyReadsLeavesNothing(t *testing.T) {
	dir := testenv.DiskDir(t)
	sh := exec.CommandContext(t.Context(), "sh", "-c", `"$0" "$@" | head -n 1`, must(os.Executable())(t), childEntry, helperTour, "tour")
	sh.Env = append(os.Environ(), "TMPDIR="+dir)
	text, err := sh.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, text)
	}
	if strings.Contains(string(text), "pipe") {
		t.Errorf("it speaks of its pipe:\n%s", text)
	}
	if left := must(os.ReadDir(dir))(t); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestTourThatIsInterruptedLeavesNothing(t *testing.T) {
	dir := testenv.DiskDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := chapter{"cut", text{"Cut short", "中断"}, func(s *stage) error {
		cancel()
		return s.ctx.Err() // as a chapter would end that waits for a process
	}}
	var out bytes.Buffer
	tr := &tour{console: &console{out: &out, lang: "en"}, chapters: []chapter{cut, chapters[0]}, dirs: []string{dir}}
	if err := tr.run(ctx); err == nil || err.Error() != "interrupted" {
		t.Errorf("the tour ended with %v", err)
	}
	if strings.Contains(out.String(), "Cut short") || strings.Contains(out.String(), chapters[0].title.en) {
		t.Errorf("went on: %s", out.String())
	}
	if left := must(os.ReadDir(dir))(t); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestTourAsNobodyWithNothingToLock runs the tour where frames are hidden and no
// page may be locked.
func TestTourAsNobodyWithNothingToLock(t *testing.T) {
	needProc(t)
	testenv.Need(t, testenv.Root, testenv.Nobody)
	dir := testenv.DiskDir(t)
	// The go command's directory is closed to others.
	binary := filepath.Join(dir, "mmap.test")
	if err := os.WriteFile(binary, must(os.ReadFile(must(os.Executable())(t)))(t), 0o755); err != nil {
		t.Fatal(err)
	}
	rootOwned := fileOf(t, dir, 1_000_001)
	for _, row := range []struct {
		name, limit, file string
		want              map[string]status
	}{
		{"limit 0", "0", "", map[string]status{"mapping": statusShown, "one-frame": statusAnotherWay, "private-store": statusAnotherWay, "mlock": statusNotShown}},
		{"limit 64 KiB", "64", "", map[string]status{"mapping": statusShown, "one-frame": statusAnotherWay, "mlock": statusShown}},
		{"a file of root's", "64", rootOwned, map[string]status{"mapping": statusAnotherWay, "first-touch": statusAnotherWay, "one-frame": statusAnotherWay}},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"-c", `ulimit -l ` + row.limit + ` && exec "$0" "$@"`, binary, childEntry, helperTour, "tour", "--json"}
			if row.file != "" {
				args = append(args, row.file)
			}
			cmd := exec.CommandContext(t.Context(), "sh", args...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "TMPDIR="+dir)
			cmd.SysProcAttr = must(asNobody())(t)
			var out, errOut bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errOut
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s\n%s", err, errOut.String(), out.String())
			}
			d := decodeTour(t, out.Bytes())
			if d.System.User != nobody || d.System.Frames {
				t.Errorf("%+v", d.System)
			}
			for id, want := range row.want {
				if ch := d.chapter(t, id); ch.Status != want {
					t.Errorf("%s is %s, want %s: %s %+v", id, ch.Status, want, ch.Reason, ch.Statements)
				}
			}
			if said := d.chapter(t, "mlock").value(t, "refused_answer"); !strings.Contains(fmt.Sprint(said), "RLIMIT_MEMLOCK") {
				t.Errorf("the refusal says %v", said)
			}
		})
	}
}

// helperTour is the whole command in a process of its own.
const helperTour = "tour-of-a-test"

func init() {
	children[helperTour] = func(args []string) int { return run(args, os.Stdout, os.Stderr) }
}

func TestWrap(t *testing.T) {
	for _, row := range []struct {
		text  string
		width int
		want  []string
	}{
		{"one two three", 8, []string{"one two", "three"}},
		{"one two", 80, []string{"one two"}},
		{"incomprehensibilities", 5, []string{"incomprehensibilities"}},
		{"", 5, []string{""}},
		{"映射不读入数据", 8, []string{"映射不读", "入数据"}},
		{"映射不读，入数据", 8, []string{"映射不", "读，入数", "据"}},
		{"用 mmap 映射", 7, []string{"用 mmap", "映射"}},
	} {
		if got := wrap(row.text, row.width); !slices.Equal(got, row.want) {
			t.Errorf("%q in %d columns: %q, want %q", row.text, row.width, got, row.want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 16777339: "16,777,339", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

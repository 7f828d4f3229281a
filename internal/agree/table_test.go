package agree

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/tracee"
)

// The tables are text. A line that begins with "== " names a row; the lines
// after it are its program, each a step and what comes of it:
//
//	== a shared store reaches the file
//	mmap low 1p rw shared,fixed tmp.rw 0 = low
//	store low 1 7 = 0
//	file tmp.rw 0 2 = 1*0x07 1*0x21
//
// Rows start with the objects as starts has them. What is undetermined is not
// expected: "ENOMEM or EINVAL" is either.
//
//go:embed testdata/*.txt
var tables embed.FS

// A row is a program with what is expected of it.
type row struct {
	name  string
	lines []expected
}

type expected struct {
	step step
	want string
}

func table(t *testing.T, name string) (rows []row) {
	t.Helper()
	f, err := tables.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if title, ok := strings.CutPrefix(line, "== "); ok {
			rows = append(rows, row{name: title})
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		text, want, ok := strings.Cut(line, " = ")
		s, err := parseStep(text)
		if err != nil || !ok {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		r := &rows[len(rows)-1]
		r.lines = append(r.lines, expected{s, want})
	}
	return rows
}

// check carries the row out and compares with what is expected.
func (r row) check(m machine) error {
	for _, line := range r.lines {
		got := perform(m, line.step.proc, line.step)
		if got == "" {
			got = "nothing"
		}
		if !slices.Contains(strings.Split(line.want, " or "), got) {
			return fmt.Errorf("%v\n got %s\nwant %s", line.step, got, line.want)
		}
	}
	return nil
}

// perform carries out a step, or looks, and gives the text of the answer.
func perform(m machine, proc int, s step) string {
	switch s.call {
	case "areas":
		var in []string
		start := m.resolve(s.addr)
		for _, a := range m.areas(proc) {
			if a.end > start && a.start < start+s.size {
				in = append(in, a.text(m))
			}
		}
		return strings.Join(in, "; ")
	case "locked":
		return fmt.Sprint(m.locked(proc))
	case "pages":
		text := ""
		for _, e := range m.pages(nil, proc, m.resolve(s.addr), int(pagesOf(s.size))) {
			if e == owned {
				text += "p"
			} else {
				text += "-"
			}
		}
		return text
	case "file":
		object, _ := objectOf(s.file)
		content := m.content(object)
		from := min(s.off, uint64(len(content)))
		return runs(string(content[from:min(from+s.size, uint64(len(content)))]))
	}
	return m.do(proc, s).text(s, m)
}

// tableNames are the tables, and what each is.
var tableNames = []string{
	"promises.txt", // what manual pages, standards and other people's tests state
	"merging.txt",  // which areas become one
	"settled.txt",  // where the engine was wrong once
}

// Tables are not run as subtests: the kernel's processes belong to one thread.
func everyRow(t *testing.T, check func(r row) error) {
	t.Helper()
	for _, name := range tableNames {
		rows := table(t, name)
		for _, r := range rows {
			if err := check(r); err != nil {
				t.Errorf("%s: %s: %v", name, r.name, err)
			}
		}
		t.Logf("%s: %d rows", name, len(rows))
	}
}

func TestTablesHoldOnTheKernel(t *testing.T) {
	k := newKernel(t)
	everyRow(t, func(r row) error {
		k.reset(starts())
		return r.check(k)
	})
}

func TestTablesHoldInTheEngine(t *testing.T) {
	windows := [bases]uint64{low: lowWindow, high: 0x7ffff7fff000 - windowPages*page, scratch: tracee.Scratch}
	everyRow(t, func(r row) error { return r.check(newEngine(windows, starts())) })
}

// TestTablesAgree carries the rows out in both at once, and so compares what
// nobody wrote down.
func TestTablesAgree(t *testing.T) {
	k := newKernel(t)
	everyRow(t, func(r row) error {
		p := k.begin(newCensus())
		for _, line := range r.lines {
			if d := p.step(line.step); d != "" {
				return errors.New(p.text() + d)
			}
		}
		if d := p.finish(); d != "" {
			return errors.New(p.text() + d)
		}
		return nil
	})
}

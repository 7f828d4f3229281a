package mmap_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// pageSize is the unit in which the kernel maps.
var pageSize = os.Getpagesize()

// proc is a Linux /proc. Elsewhere nothing tells what the kernel did.
var proc = testenv.Feature{Name: "/proc of Linux", Probe: func() error {
	_, err := os.Stat("/proc/self/smaps")
	return err
}}

// hold takes what a call that maps returned: it fails t on an error, and
// closes the mapping when t ends, unless the test has.
func hold(t testing.TB) func(*mmap.Mapping, error) *mmap.Mapping {
	return func(m *mmap.Mapping, err error) *mmap.Mapping {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
				t.Error(err)
			}
		})
		return m
	}
}

// pattern is n bytes in which no two pages, and no two neighbours, are equal.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i/pageSize*13 + 1)
	}
	return p
}

// newFile is a new file with the content, in a directory of t's own.
func newFile(t testing.TB, content []byte) string {
	t.Helper()
	return newFileIn(t, t.TempDir(), content)
}

func newFileIn(t testing.TB, dir string, content []byte) string {
	t.Helper()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// openFile is an os.File that is closed when t ends.
func openFile(t testing.TB, name string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// wantError wants an *mmap.Error around target, whose text has every word.
func wantError(t testing.TB, err, target error, words ...string) {
	t.Helper()
	var e *mmap.Error
	if !errors.As(err, &e) {
		t.Errorf("error %v (%T), want an *mmap.Error", err, err)
		return
	}
	if e.Op == "" || !errors.Is(err, target) {
		t.Errorf("error %q, want one that is %q", err, target)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// wantFault wants the error of a caught memory fault with this cause, on the
// page at this file offset.
func wantFault(t testing.TB, err, cause error, off int64) {
	t.Helper()
	wantError(t, err, cause)
	var f *mmap.FaultError
	if !errors.As(err, &f) {
		t.Errorf("error %q, want a FaultError in it", err)
	} else if f.Off != off {
		t.Errorf("the fault is told at %d, want %d: %v", f.Off, off, err)
	}
}

// wantFile wants the file to hold these bytes.
func wantFile(t testing.TB, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "the file", got, want)
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s: %d bytes, want %d; they differ from byte %d on", what, len(got), len(want), i)
}

// contents is a copy of the whole mapping, read under the guard.
func contents(t testing.TB, m *mmap.Mapping) []byte {
	t.Helper()
	var p []byte
	if err := m.View(0, m.Len(), func(v []byte) error { p = bytes.Clone(v); return nil }); err != nil {
		t.Fatal(err)
	}
	return p
}

// stat is the file's own answer, blocks included.
func stat(t testing.TB, f *os.File) sys.Stat {
	t.Helper()
	st, err := sys.Fstat(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// cached asks the page cache about a range of the file.
func cached(t testing.TB, f *os.File, off, n int64) sys.CacheStat {
	t.Helper()
	st, err := sys.Cachestat(int(f.Fd()), off, n)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// ofFile is the descriptor behind a mapping, closed when t ends.
func ofFile(t testing.TB, m *mmap.Mapping) *os.File {
	t.Helper()
	f, err := m.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// truncating is a child that truncates the file NAME to SIZE.
var _ = testenv.Register("truncate", func() {
	var size int64
	for _, c := range os.Getenv("SIZE") {
		size = size*10 + int64(c-'0')
	}
	if err := os.Truncate(os.Getenv("NAME"), size); err != nil {
		panic(err)
	}
})

// runChild runs a child that must succeed, and is what it printed.
func runChild(t testing.TB, c testenv.Child) string {
	t.Helper()
	r := c.Run(t)
	if r.Code != 0 || r.Signal != 0 {
		t.Fatalf("the child ended with code %d, signal %v:\n%s%s", r.Code, r.Signal, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

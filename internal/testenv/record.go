package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// notProven is what this package's tests skipped.
var notProven struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// Skip skips t and records why. Prefer [Need], which proves the reason.
func Skip(t testing.TB, why string) {
	t.Helper()
	record(t.Name(), why)
	t.Skip(why)
}

func record(name, why string) {
	line := name + ": " + strings.Join(strings.Fields(why), " ")
	notProven.mu.Lock()
	defer notProven.mu.Unlock()
	if !slices.Contains(notProven.lines, line) { // -count runs a test again
		notProven.lines = append(notProven.lines, line)
	}
}

// RecordDir is where the packages record their skips: a directory for each
// user, one file for each package's source directory. It outlives a run,
// because the go command does not run again what it has in its cache.
func RecordDir() string {
	if d := os.Getenv("MMAP_TEST_RECORDS"); d != "" {
		return d
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("mmap-not-proven-%d", os.Getuid()))
}

// saveRecords writes the file of the package whose sources are in dir, where
// its tests run, or removes it when nothing was skipped.
func saveRecords(dir string, lines []string) error {
	name := filepath.Join(RecordDir(), url.PathEscape(dir))
	if len(lines) == 0 {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(RecordDir(), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// NotProven lists what the tests of the module at root skipped when they last
// ran, in the form "directory: test: reason".
func NotProven(root string) ([]string, error) {
	files, err := os.ReadDir(RecordDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []string
	for _, f := range files {
		dir, err := url.PathUnescape(f.Name())
		if err != nil {
			continue // not ours
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil || !filepath.IsLocal(rel) {
			continue // of another copy of the module
		}
		if _, err := os.Stat(dir); err != nil {
			continue // a package that is gone
		}
		text, err := os.ReadFile(filepath.Join(RecordDir(), f.Name()))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			list = append(list, rel+": "+strings.TrimSpace(line))
		}
	}
	return list, nil
}

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

// runMain in the environment makes the test binary the program itself.
const runMain = "EXAMPLE_RUN_MAIN"

// quickExit: the race detector would let each process sleep for a second at its end.
const quickExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	testenv.Main(m)
}

func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), runMain+"=1", quickExit)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// ways are the kernel and the engine: all that is tested holds for both.
var ways = map[string][]string{"kernel": nil, "engine": {"-engine"}}

func TestEdit(t *testing.T) {
	page := strings.Repeat("x", os.Getpagesize())
	tests := []struct{ name, before, after string }{
		{"a line", "hello, mmap\n", "Hello, mmap\n"},
		{"one byte", "h", "H"},
		{"a zero byte inside", "a\x00b", "H\x00b"},
		{"a page without a zero byte behind it", page, "H" + page[1:]},
		{"a page and one byte", page + "y", "H" + page[1:] + "y"},
	}
	for _, tt := range tests {
		for way, args := range ways {
			t.Run(tt.name+", "+way, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "test.txt")
				if err := os.WriteFile(file, []byte(tt.before), 0o600); err != nil {
					t.Fatal(err)
				}
				stdout, stderr, code := run(t, append(args, file)...)
				if want := "original content: " + tt.before + "\n"; stdout != want || stderr != "" || code != 0 {
					t.Errorf("printed %q and %q with code %d, want %q and 0", stdout, stderr, code, want)
				}
				if after, err := os.ReadFile(file); string(after) != tt.after {
					t.Errorf("the file is %q, %v; want %q", after, err, tt.after)
				}
			})
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string // in what is printed to standard error
		code int
	}{
		{"an empty file", []string{empty}, "is empty: there is no first character to change", 1},
		{"an empty file, on the engine", []string{"-engine", empty}, "is empty: there is no first character to change", 1},
		{"no such file, on the engine", []string{"-engine", filepath.Join(dir, "none")}, "none", 1},
		{"a directory, on the engine", []string{"-engine", dir}, "is a directory", 1},
		{"no file for the engine", []string{"-engine"}, "usage: edit FILE", 2},
		{"no such file", []string{filepath.Join(dir, "none")}, "none", 1},
		{"a directory", []string{dir}, "is a directory", 1},
		{"no argument", nil, "usage: edit FILE", 2},
		{"two arguments", []string{"a", "b"}, "usage: edit FILE", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := run(t, tt.args...)
			if stdout != "" || !strings.Contains(stderr, tt.want) || code != tt.code {
				t.Errorf("printed %q and %q with code %d, want %q and %d", stdout, stderr, code, tt.want, tt.code)
			}
		})
	}
	if st, err := os.Stat(empty); err != nil || st.Size() != 0 {
		t.Errorf("the empty file was changed: %v, %v", st, err)
	}
	if stdout, stderr, code := run(t, "--help"); !strings.HasPrefix(stdout, "usage: edit FILE") || stderr != "" || code != 0 {
		t.Errorf("help printed %q and %q with code %d", stdout, stderr, code)
	}
}

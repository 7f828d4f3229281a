package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// runMain in the environment makes the test binary, and those that it starts,
// the program itself.
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

// hangs is when a process is given up: far more than any takes.
const hangs = 2 * time.Minute

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), runMain+"=1", quickExit)
	return cmd
}

// run runs the program to its end.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := command(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// A live process is one that the test talks to.
type live struct {
	*exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func begin(t *testing.T, args ...string) *live {
	t.Helper()
	p := &live{Cmd: command(t, args...)}
	in, errIn := p.StdinPipe()
	out, errOut := p.StdoutPipe()
	p.in, p.out, p.Stderr = in, bufio.NewReader(out), &p.stderr
	if err := errors.Join(errIn, errOut, p.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	return p
}

func (p *live) wants(t *testing.T, want string) {
	t.Helper()
	if got, err := p.out.ReadString('\n'); got != want+"\n" {
		t.Fatalf("%v printed %q, %v; want %q", p.Args[1:], got, err, want)
	}
}

func (p *live) ends(t *testing.T, stderr string, code int) {
	t.Helper()
	rest, _ := io.ReadAll(p.out)
	p.Wait() // its error repeats the code
	if s := p.stderr.String(); len(rest) > 0 || !strings.Contains(s, stderr) || stderr == "" && s != "" || p.ProcessState.ExitCode() != code {
		t.Errorf("%v printed %q and %q and ended with %d, want %q and %d", p.Args[1:], rest, s, p.ProcessState.ExitCode(), stderr, code)
	}
}

// TestLive holds that the reader sees a text while the writer is alive and waits
// for the next, and that a reader that comes later sees the latest.
func TestLive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "board")
	a := begin(t, "write", file)
	a.wants(t, "A has mapped "+file)
	b := begin(t, "read", file)
	for i := range 50 {
		text := fmt.Sprint("text ", i, strings.Repeat(".", i))
		fmt.Fprintln(a.in, text)
		a.wants(t, "A writes: "+text)
		b.wants(t, "B reads:  "+text)
	}
	late := begin(t, "read", file)
	late.wants(t, "B reads:  text 49"+strings.Repeat(".", 49))
	a.in.Close()
	a.ends(t, "", 0)
	b.ends(t, "", 0)
	late.ends(t, "", 0)
}

// TestTruncated holds that a file that becomes shorter is an error for both.
func TestTruncated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "board")
	a := begin(t, "write", file)
	a.wants(t, "A has mapped "+file)
	b := begin(t, "read", file)
	fmt.Fprintln(a.in, "one")
	a.wants(t, "A writes: one")
	b.wants(t, "B reads:  one")
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	b.ends(t, "the file has 0 bytes now", 1)
	fmt.Fprintln(a.in, "two")
	a.wants(t, "A writes: two")
	a.ends(t, "the file has 0 bytes now", 1)
}

// TestNoHalfText looks at a board while it is being changed. Two mappings of a
// file are as two processes to each other.
func TestNoHalfText(t *testing.T) {
	file := filepath.Join(t.TempDir(), "board")
	mine, err := mmap.Create(file, fileBytes, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	theirs, err := mmap.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	a, errA := newBoard(mine)
	b, errB := newBoard(theirs)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if err := a.create(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for i := range 5000 { // texts of one letter each, of every length
			if err := a.post(bytes.Repeat([]byte{'a' + byte(i%26)}, 1+i%textBytes)); err != nil {
				done <- err
				return
			}
		}
		done <- a.end()
	}()
	for {
		s, ok, err := b.look()
		if err != nil {
			t.Fatal(err)
		}
		if ok && len(s.text) > 0 && bytes.Count(s.text, s.text[:1]) != len(s.text) {
			t.Fatalf("saw half of a text: %q", s.text)
		}
		if ok && s.ended {
			break
		}
		runtime.Gosched() // the writer may have no other processor
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDemonstration holds what both processes print, and that the engine's print
// the same. Only the file's name differs from run to run.
func TestDemonstration(t *testing.T) {
	var printed [2][]string
	for i, args := range [][]string{nil, {"-engine"}} {
		stdout, stderr, code := run(t, args...)
		if stderr != "" || code != 0 {
			t.Fatalf("%v printed %q with code %d", args, stderr, code)
		}
		got := strings.Split(strings.TrimSpace(stdout), "\n")
		if len(got) != 7 || !strings.HasPrefix(got[0], "A has mapped ") {
			t.Fatalf("%v printed %q, want 7 lines", args, got)
		}
		for i := 1; i < len(got); i += 2 {
			a, okA := strings.CutPrefix(got[i], "A writes: ")
			b, okB := strings.CutPrefix(got[i+1], "B reads:  ")
			if !okA || !okB || a != b {
				t.Errorf("%v: A: %q, B: %q; want the same text", args, got[i], got[i+1])
			}
		}
		printed[i] = got[1:]
	}
	if !slices.Equal(printed[0], printed[1]) {
		t.Errorf("the kernel's processes print %q, the engine's %q", printed[0], printed[1])
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	other, zeros := filepath.Join(dir, "other"), filepath.Join(dir, "zeros")
	if err := errors.Join(os.WriteFile(other, []byte("text"), 0o600), os.WriteFile(zeros, make([]byte, fileBytes), 0o600)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string // in what is printed to standard error
		code int
	}{
		{"writing to a file that is there", []string{"write", other}, "name a new file, or remove this one", 1},
		{"reading a file that is not there", []string{"read", filepath.Join(dir, "none")}, "start twoprocs write", 1},
		{"reading another file", []string{"read", other}, "not a file that twoprocs write has made", 1},
		{"reading zeros", []string{"read", zeros}, "not a file that twoprocs write has made", 1},
		{"no file", []string{"read"}, "usage: twoprocs", 2},
		{"another verb", []string{"show", other}, "usage: twoprocs", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := run(t, tt.args...)
			if stdout != "" || !strings.Contains(stderr, tt.want) || code != tt.code {
				t.Errorf("printed %q and %q with code %d, want %q and %d", stdout, stderr, code, tt.want, tt.code)
			}
		})
	}
	if text, err := os.ReadFile(other); string(text) != "text" {
		t.Errorf("the other file is %q, %v", text, err)
	}
	if stdout, stderr, code := run(t, "-h"); stdout != usage || stderr != "" || code != 0 {
		t.Errorf("help printed %q and %q with code %d", stdout, stderr, code)
	}
}

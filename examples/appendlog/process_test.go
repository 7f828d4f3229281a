package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

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

// A result is how a process ended and what it printed.
type result struct {
	stdout, stderr string
	code           int
}

// run runs the program to its end.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := command(t, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// A process is one that the test talks to.
type process struct {
	*exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func begin(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: command(t, args...)}
	in, errIn := p.StdinPipe()
	out, errOut := p.StdoutPipe()
	p.in, p.out, p.Stderr = in, bufio.NewReader(out), &p.stderr
	if err := errors.Join(errIn, errOut, p.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	return p
}

// wants reads lines and compares them.
func (p *process) wants(t *testing.T, lines ...string) {
	t.Helper()
	for i, want := range lines {
		got, err := p.out.ReadString('\n')
		if err != nil || got != want+"\n" {
			t.Fatalf("%s: line %d of %d is %.80q, %v; want %.80q", p.Args[1], i, len(lines), got, err, want)
		}
	}
}

// ends waits for the process, and returns what it still printed.
func (p *process) ends(t *testing.T) result {
	t.Helper()
	rest, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	p.Wait() // its error repeats the code
	return result{string(rest), p.stderr.String(), p.ProcessState.ExitCode()}
}

// interrupt ends a follower as a user would. It must end well, having printed
// nothing more.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if r := p.ends(t); r != (result{}) {
		t.Errorf("an interrupted %s ended with %.200v", p.Args[1], r)
	}
}

// records is what dump lists, and how it ended. Each line but the last, which is
// a summary, ends with the quoted record.
func records(t *testing.T, file string) ([]string, result) {
	t.Helper()
	r := run(t, "", "dump", file)
	var list []string
	for line := range strings.Lines(r.stdout) {
		_, quoted, ok := strings.Cut(line, `"`)
		if !ok {
			break // the summary
		}
		record, err := strconv.Unquote(`"` + strings.TrimSuffix(quoted, "\n"))
		if err != nil {
			t.Fatalf("dump printed %q: %v", line, err)
		}
		list = append(list, record)
	}
	return list, r
}

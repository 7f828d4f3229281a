package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

const (
	childVar  = "MMAP_TEST_CHILD"
	limitsVar = "MMAP_TEST_LIMITS"
	noop      = "testenv.noop"
	nobody    = 65534
)

var children = map[string]func(){noop: func() {}}

// Register names a function that a [Child] can run. It is called from init or
// from a package variable: the child has no tests, only this function. The
// child exits with 0 when it returns.
func Register(name string, f func()) bool {
	if children[name] != nil {
		panic("testenv: two children are called " + name)
	}
	children[name] = f
	return true
}

// A Child is a process that runs a registered function of this test binary. A
// Go process can't fork: a test that needs another process starts itself anew.
type Child struct {
	Name   string
	Env    []string                // added to this process's, as KEY=value
	Nobody bool                    // run as the user nobody: Need(t, Nobody) first
	Limits map[sys.Resource]uint64 // lowered, soft and hard, before the function runs
	Files  []*os.File              // descriptors 3, 4, ... of the child
}

// A Result is how a child ended and what it wrote.
type Result struct {
	Code   int            // the exit code, or -1 after a signal
	Signal syscall.Signal // what killed it, or 0
	Stdout string
	Stderr string
}

// Run runs the child to its end. That it fails is for the caller to judge; that
// it can't be started fails t.
func (c Child) Run(t testing.TB) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := c.Command(t)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("child %s: %v", c.Name, err)
	}
	r := Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.Signal = ws.Signal()
	}
	return r
}

// Command is the child before it is started, for tests that talk to it. It is
// killed when t ends.
func (c Child) Command(t testing.TB) *exec.Cmd {
	t.Helper()
	return c.command(t.Context(), t)
}

func (c Child) command(ctx context.Context, t testing.TB) *exec.Cmd {
	t.Helper()
	if children[c.Name] == nil {
		t.Fatalf("no child is registered as %q", c.Name)
	}
	cmd := exec.CommandContext(ctx, self(t))
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Env = append(cmd.Env, childVar+"="+c.Name, limitsVar+"="+encodeLimits(c.Limits))
	cmd.ExtraFiles = c.Files
	if c.Nobody {
		attr, err := sys.RunAs(nobody, nobody)
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = attr
	}
	return cmd
}

// self is the test binary. The go command builds it in a directory that only
// its owner may enter; the link in /proc needs no such right.
func self(t testing.TB) string {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link
	}
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// runChild does not return in a child.
func runChild() {
	name := os.Getenv(childVar)
	if name == "" {
		return
	}
	f := children[name]
	if f == nil {
		childFailed(fmt.Errorf("no child is registered as %q", name))
	}
	if err := applyLimits(os.Getenv(limitsVar)); err != nil {
		childFailed(err)
	}
	os.Unsetenv(childVar) // a child of the child is no child of ours
	// A child may wait for its death with nothing else to do. Where cgo is not used
	// the runtime takes that for a deadlock, unless there is a timer.
	time.AfterFunc(math.MaxInt64, func() {})
	f()
	os.Exit(0)
}

func childFailed(err error) {
	fmt.Fprintln(os.Stderr, "testenv:", err)
	os.Exit(125)
}

func encodeLimits(limits map[sys.Resource]uint64) string {
	var list []string
	for r, v := range limits {
		list = append(list, fmt.Sprintf("%d=%d", r, v))
	}
	return strings.Join(list, ",")
}

func applyLimits(s string) error {
	if s == "" {
		return nil
	}
	for _, item := range strings.Split(s, ",") {
		r, v, _ := strings.Cut(item, "=")
		resource, err := strconv.Atoi(r)
		if err != nil {
			return err
		}
		value, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return err
		}
		if err := sys.Setrlimit(sys.Resource(resource), value, value); err != nil {
			return fmt.Errorf("limit %d to %d: %w", resource, value, err)
		}
	}
	return nil
}

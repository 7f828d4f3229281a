package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

// runMain in the environment makes the test binary, and the child that it
// starts, the program itself.
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

func TestParentChild(t *testing.T) {
	const demonstration = "the child changed it to: 100\nthe parent reads: 100\n"
	tests := []struct {
		name   string
		args   []string
		stdout string
		stderr string // a part of it; empty: none
		code   int
	}{
		{"the demonstration", nil, demonstration, "", 0},
		{"the demonstration, on the engine", []string{"-engine"}, demonstration, "", 0},
		{"the child's part by hand", []string{"child"}, "", "run parentchild without arguments", 1},
		{"an argument", []string{"x"}, "", "usage: parentchild", 2},
		{"help", []string{"--help"}, usage, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), self, tt.args...)
			cmd.Env = append(os.Environ(), runMain+"=1", quickExit)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if stdout.String() != tt.stdout {
				t.Errorf("standard output is %q, want %q", &stdout, tt.stdout)
			}
			if s := stderr.String(); !strings.Contains(s, tt.stderr) || tt.stderr == "" && s != "" {
				t.Errorf("standard error is %q, want %q", s, tt.stderr)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

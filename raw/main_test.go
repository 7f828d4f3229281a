package raw_test

import (
	"os"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// noExitSleep spares a child built with -race the second that it waits at its
// end for other threads' reports.
const noExitSleep = "GORACE=atexit_sleep_ms=0"

// child registers a test body that runs in a process of its own, for what must
// not happen to the process of the other tests: lowered limits, a locked
// address space, a death by a signal.
func child(name string, body func(t *testing.T)) string {
	testenv.Register(name, func() {
		os.Args = []string{name, "-test.v"}
		all := func(_, _ string) (bool, error) { return true, nil }
		testing.Main(all, []testing.InternalTest{{Name: "Child", F: body}}, nil, nil)
	})
	return name
}

// run runs a child and fails where its body failed or did not run.
func run(t *testing.T, c testenv.Child) {
	t.Helper()
	c.Env = append(c.Env, noExitSleep)
	if r := c.Run(t); r.Code != 0 || !strings.Contains(r.Stdout, "--- PASS: Child") {
		t.Errorf("child %q: exit code %d, signal %v\n%s%s", c.Name, r.Code, r.Signal, r.Stdout, r.Stderr)
	}
}

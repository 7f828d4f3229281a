package testenv

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Tagged runs those tests of the package under test whose names match run, in a
// build with a tag, and fails with them. The tests themselves carry the tag, and
// the test that calls this does not.
func Tagged(t *testing.T, tag, run string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-tags", tag, "-run", run, "-v", "-timeout", "5m", ".")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		Skip(t, "there is no go command to build with the tag "+tag)
	}
	if err != nil {
		t.Fatalf("with the tag %s: %v\n%s", tag, err, out)
	}
	if text := string(out); !strings.Contains(text, "--- PASS") {
		t.Fatalf("with the tag %s no test is called %s:\n%s", tag, run, text)
	}
	t.Logf("with the tag %s:\n%s", tag, out)
}

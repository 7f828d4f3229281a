package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/sys"
)

// A Feature is something that a test can't do without.
type Feature struct {
	Name  string
	Since string       // the Linux release that brought it, as "6.5"; empty: a matter of the machine and not of the kernel
	Probe func() error // tries it, and answers why it is not there
}

// Need skips t unless every feature is there. It fails t where the kernel is
// new enough for a feature and gives another reason than a refusal, such as
// EPERM from a seccomp filter: then either the kernel or the probe is broken,
// and a skip would hide it.
func Need(t testing.TB, features ...Feature) {
	t.Helper()
	for _, f := range features {
		switch why, broken := judge(f.Since, Kernel(), filtered(), f.Probe()); {
		case broken:
			t.Fatalf("%s: %s", f.Name, why)
		case why != "":
			Skip(t, "needs "+f.Name+": "+why)
		}
	}
}

// Has reports whether the feature is there, for tests with more than one way.
func Has(f Feature) bool { return f.Probe() == nil }

// judge turns a probe's answer into the reason for a skip, or for a failure
// when the answer can't be true on this kernel. Nothing is wrong when why is
// empty.
func judge(since, kernel string, filtered bool, err error) (why string, broken bool) {
	switch {
	case err == nil:
		return "", false
	case since == "":
		return err.Error(), false
	case kernel == "":
		return fmt.Sprintf("Linux %s or later, and this is another system (%v)", since, err), false
	case older(kernel, since):
		return fmt.Sprintf("Linux %s or later, and this is %s (%v)", since, kernel, err), false
	case errors.Is(err, sys.EPERM) || errors.Is(err, sys.EACCES):
		return fmt.Sprintf("this process is refused it (%v)", err), false
	case filtered && errors.Is(err, sys.ENOSYS): // runc answers so for calls that are newer than its profile
		return fmt.Sprintf("a seccomp filter hides it (%v)", err), false
	}
	return fmt.Sprintf("Linux has it since %s, this is %s, and the probe says: %v", since, kernel, err), true
}

// Kernel is the release of the running Linux, or "" elsewhere.
func Kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// filtered reports whether a seccomp filter stands before this process.
func filtered() bool {
	b, err := os.ReadFile("/proc/self/status")
	return err == nil && bytes.Contains(b, []byte("\nSeccomp:\t2"))
}

// older compares releases by their first two numbers.
func older(kernel, since string) bool {
	kmajor, kminor := release(kernel)
	smajor, sminor := release(since)
	return kmajor < smajor || kmajor == smajor && kminor < sminor
}

func release(s string) (major, minor int) {
	a, rest, _ := strings.Cut(s, ".")
	major, _ = strconv.Atoi(a)
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	minor, _ = strconv.Atoi(rest[:digits])
	return major, minor
}

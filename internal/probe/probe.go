package probe

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"

	"github.com/memwright/mmap/internal/sys"
)

// Answer is what a probe found.
type Answer uint8

// The answers. The zero value is the honest one.
const (
	Unknown Answer = iota // it could not be tried
	Yes                   // it was done, and had its effect
	No                    // this kernel does not have it
	Refused               // the kernel may have it; a filter, a privilege or a limit forbids it
)

func (a Answer) String() string {
	return [...]string{"unknown", "yes", "no", "refused"}[a]
}

// Result is an answer and why.
type Result struct {
	Answer Answer
	Err    error // the kernel's errno, or what was wrong with the effect; nil for Yes
}

// Feature is one thing that a kernel can do.
type Feature struct {
	Name  string // as in the manual
	Since string // the Linux release that brought it

	try     func() error
	settled atomic.Pointer[Result]
}

// Ask tries the feature, or remembers a conclusive answer.
func (f *Feature) Ask() Result {
	if r := f.settled.Load(); r != nil {
		return *r
	}
	r := judge(f.try())
	if r.Answer == Yes || r.Answer == No {
		f.settled.Store(&r)
	}
	return r
}

// noEffect is a call that succeeded and did nothing, or the wrong thing.
type noEffect string

func (e noEffect) Error() string { return "the call succeeded, but " + string(e) }

// judge reads an answer from the error of a try. An unknown flag or advice is
// EINVAL, an unknown call ENOSYS. A filter may answer
// ENOSYS too, so under a filter that proves nothing.
func judge(err error) Result {
	r := Result{Err: err}
	var wrong noEffect
	switch {
	case err == nil:
		r.Answer = Yes
	case errors.As(err, &wrong), errors.Is(err, sys.EINVAL), errors.Is(err, sys.ENODEV):
		r.Answer = No
	case errors.Is(err, sys.EPERM), errors.Is(err, sys.EACCES):
		r.Answer = Refused
	case errors.Is(err, sys.ENOSYS):
		r.Answer = No
		if filtered() {
			r.Answer = Refused
		}
	case errors.Is(err, errors.ErrUnsupported):
		r.Answer = No
	}
	return r
}

// filtered reports whether a seccomp filter, or one that can't be ruled out,
// stands between this process and the kernel: "Seccomp: 0" in
// /proc/self/status says that there is none.
func filtered() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		if mode, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			return strings.TrimSpace(mode) != "0"
		}
	}
	return true
}

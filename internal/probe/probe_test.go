package probe

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestJudge(t *testing.T) {
	nosys := No
	if filtered() {
		nosys = Refused
	}
	for _, row := range []struct {
		err  error
		want Answer
	}{
		{nil, Yes},
		{sys.EINVAL, No},
		{noEffect("it did nothing"), No},
		{errors.Join(noEffect("it did nothing"), sys.ENOMEM), No},
		{sys.Unsupported("a call"), No},
		{sys.ENOSYS, nosys},
		{sys.EPERM, Refused},
		{sys.EACCES, Refused},
		{os.NewSyscallError("call", sys.EPERM), Refused},
		{sys.ENOMEM, Unknown},
		{sys.EAGAIN, Unknown},
		{errors.New("too many open files"), Unknown},
	} {
		if got := judge(row.err); got.Answer != row.want || got.Err != row.err {
			t.Errorf("judge(%v) = %v, want %v", row.err, got, row.want)
		}
	}
}

func TestOnlyConclusiveAnswersAreRemembered(t *testing.T) {
	for _, row := range []struct {
		err   error
		tries int
	}{{nil, 1}, {sys.EINVAL, 1}, {sys.EPERM, 3}, {sys.ENOMEM, 3}} {
		tries := 0
		f := Feature{Name: "f", try: func() error { tries++; return row.err }}
		for range 3 {
			if got, want := f.Ask(), judge(row.err); got != want {
				t.Errorf("%v: %v, want %v", row.err, got, want)
			}
		}
		if tries != row.tries {
			t.Errorf("%v: tried %d times, want %d", row.err, tries, row.tries)
		}
	}
}

// TestAnswersAgreeWithTheTestsOwnProbes compares with another way to ask.
func TestAnswersAgreeWithTheTestsOwnProbes(t *testing.T) {
	for _, row := range []struct {
		ours  *Feature
		other testenv.Feature
	}{
		{MemfdCreate, testenv.MemfdCreate},
		{Mlock2, testenv.Mlock2},
		{FixedNoReplace, testenv.FixedNoReplace},
		{PopulateRead, testenv.PopulateRead},
		{Cachestat, testenv.Cachestat},
		{FrameNumbers, testenv.FrameNumbers},
	} {
		err := row.other.Probe()
		if r := row.ours.Ask(); (r.Answer == Yes) != (err == nil) {
			t.Errorf("%s: %v (%v), and %v", row.ours.Name, r.Answer, r.Err, err)
		}
	}
}

func TestEveryFeatureGivesAReasonUnlessYes(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All() {
		r := f.Ask()
		if seen[f.Name] || f.Since == "" {
			t.Errorf("%q: twice, or without a release", f.Name)
		}
		seen[f.Name] = true
		if (r.Answer == Yes) != (r.Err == nil) {
			t.Errorf("%s: %v with %v", f.Name, r.Answer, r.Err)
		}
		t.Logf("%-40s %-6s %v %v", f.Name, f.Since, r.Answer, r.Err)
	}
}

func init() {
	testenv.Register("ask as nobody", func() {
		for _, f := range []*Feature{Mlock2, FrameNumbers, PopulateRead} {
			fmt.Println(f.Name, f.Ask().Answer)
		}
	})
}

// TestAnswersChangeWithPrivilege asks as a user who may lock nothing.
func TestAnswersChangeWithPrivilege(t *testing.T) {
	testenv.Need(t, testenv.Nobody, testenv.PopulateRead, testenv.Mlock2)
	r := testenv.Child{Name: "ask as nobody", Nobody: true, Limits: map[sys.Resource]uint64{sys.LockedMemory: 0}}.Run(t)
	want := "mlock2 refused\nframe numbers in /proc/self/pagemap refused\nMADV_POPULATE_READ yes\n"
	if r.Stdout != want {
		t.Errorf("%s%s, want\n%s", r.Stdout, r.Stderr, want)
	}
}

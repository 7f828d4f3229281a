package shmsync

import (
	"runtime"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
)

// yields counts how often spins give the CPU away, each for so long.
func yields(t *testing.T, each time.Duration) *int {
	t.Helper()
	if word.Stepped || sys.CPUs() < 2 {
		testenv.Skip(t, "nothing spins in a build with steps, or with less than 2 CPUs")
	}
	procs := runtime.GOMAXPROCS(2)
	n := new(int)
	yield = func() {
		*n++
		time.Sleep(each)
	}
	t.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		yield = sys.Yield
	})
	return n
}

// vain spins so often, for nothing, in a place where waits are short.
func (s *Spinner) vain(times int) {
	for range times {
		s.recent, s.tries = 0, 1
		s.Spin(func() bool { return false })
	}
}

// TestSpinGivesTheCPUAway: to a peer on the same CPU, and to no other.
func TestSpinGivesTheCPUAway(t *testing.T) {
	n := yields(t, 0)
	beside := false
	s := Spinner{Beside: func() bool { return beside }}
	s.vain(20)
	if *n != 0 {
		t.Errorf("%d times, to a peer on another CPU", *n)
	}
	beside = true
	s.vain(20)
	if *n == 0 {
		t.Error("never, to a peer on the same CPU")
	}
}

// TestSpinRests: where the CPU went to one who kept it for long, it is not given
// away in the waits after that.
func TestSpinRests(t *testing.T) {
	n := yields(t, 2*spinMost)
	s := Spinner{Beside: func() bool { return true }}
	for tries := 0; *n == 0 && tries < 1000; tries++ { // others may be ready, and come first
		s.vain(1)
	}
	if *n != 1 {
		t.Fatalf("given away %d times in one spin, and kept for long each time", *n)
	}
	if s.vain(restWaits - 1); *n != 1 {
		t.Errorf("given away %d times more in the waits after that", *n-1)
	}
	if s.vain(20); *n == 1 {
		t.Error("never given away again")
	}
}

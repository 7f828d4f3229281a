package shmsync_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// The child makes itself as narrow as it is told to be, and then tells how often
// 64 spins have looked at what they waited for.
var _ = testenv.Register("shmsync.spin", func() {
	if n, err := strconv.Atoi(os.Getenv("SPIN_CPUS")); err == nil {
		if err := sys.UseCPUs(n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if group := os.Getenv("SPIN_GROUP"); group != "" {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var s shmsync.Spinner
	looks := 0
	for range 64 {
		s.Spin(func() bool { looks++; return false })
		s.Slept(0)
	}
	fmt.Print(looks)
})

// This child has two processors to the scheduler, and a goroutine on one of them that
// is never preempted. It tells how many of 64 spins saw what another goroutine does.
var _ = testenv.Register("shmsync.spin.ready", func() {
	debug.SetGCPercent(-1) // a collection would wait for that goroutine for ever
	var stop atomic.Bool
	go func() {
		for !stop.Load() {
		}
	}()
	var s shmsync.Spinner
	saw := 0
	for range 64 {
		time.Sleep(time.Millisecond) // to begin with a whole time slice
		var did atomic.Bool
		begun := false
		if s.Spin(func() bool {
			if !begun {
				begun = true
				go did.Store(true)
			}
			return did.Load()
		}) {
			saw++
		}
		for begun && !did.Load() {
			runtime.Gosched()
		}
		s.Slept(0)
	}
	stop.Store(true)
	fmt.Print(saw)
})

// This child spins for 20 us, 4,000 times, with nothing else to run. It tells how
// often a goroutine that was ready has begun to run meanwhile, as the scheduler
// counts it: it takes every eighth time of a goroutine down (Go 1.26).
var _ = testenv.Register("shmsync.spin.alone", func() {
	waits := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	began := func() (n uint64) {
		metrics.Read(waits)
		for _, k := range waits[0].Value.Float64Histogram().Counts {
			n += k
		}
		return n
	}
	var s shmsync.Spinner
	before := began()
	for range 4000 {
		start := time.Now()
		s.Spin(func() bool { return time.Since(start) > 20*time.Microsecond })
		s.Slept(0)
	}
	fmt.Print(began() - before)
})

// spun is the number that a child has told, with two processors to its scheduler
// and nothing of the tests' own beside it.
func spun(t *testing.T, child string, env ...string) int {
	t.Helper()
	r := testenv.Child{Name: child, Env: append(env, "GOMAXPROCS=2", "MMAP_TEST_COLLECT=")}.Run(t)
	n, err := strconv.Atoi(r.Stdout)
	if err != nil || r.Code != 0 {
		t.Fatalf("the child: code %d, %q, %s", r.Code, r.Stdout, r.Stderr)
	}
	return n
}

// TestSpinLetsOthersRun: nobody else can run them, and nobody is preempted.
func TestSpinLetsOthersRun(t *testing.T) {
	twoCPUs(t)
	if n := spun(t, "shmsync.spin.ready", "GODEBUG=asyncpreemptoff=1"); n == 0 {
		t.Error("of 64 spins none let another goroutine run")
	}
}

// TestSpinYieldsToNobody: where nobody else wants to run, no spin calls the scheduler,
// which would wake a thread to look for work.
func TestSpinYieldsToNobody(t *testing.T) {
	twoCPUs(t)
	if n := spun(t, "shmsync.spin.alone"); n > 250 {
		t.Errorf("the scheduler was called some %d times by 4,000 spins", 8*n)
	}
}

// twoCPUs skips where nothing would spin anyway.
func twoCPUs(t *testing.T) {
	if word.Stepped {
		testenv.Skip(t, "nothing spins in a build with steps")
	}
	if n := sys.CPUs(); n < 2 {
		testenv.Skip(t, fmt.Sprintf("needs 2 CPUs, and this process may use %v", n))
	}
}

// TestNobodySpinsOnOneCPU: by the affinity mask of the process.
func TestNobodySpinsOnOneCPU(t *testing.T) {
	twoCPUs(t)
	if n := spun(t, "shmsync.spin"); n == 0 {
		t.Error("two CPUs: nobody looked")
	}
	if n := spun(t, "shmsync.spin", "SPIN_CPUS=1"); n != 0 {
		t.Errorf("one CPU: %d looks", n)
	}
	if n := spun(t, "shmsync.spin", "SPIN_CPUS=2"); n == 0 {
		t.Error("two CPUs by the mask: nobody looked")
	}
}

// TestNobodySpinsOnAQuotaOfOneCPU: by the quota of a cgroup.
func TestNobodySpinsOnAQuotaOfOneCPU(t *testing.T) {
	twoCPUs(t)
	group, set := newGroup(t)
	for _, tt := range []struct {
		cpus  float64
		spins bool
	}{{2, true}, {1.5, false}, {1, false}} {
		if err := set(tt.cpus); err != nil {
			t.Fatal(err)
		}
		if n := spun(t, "shmsync.spin", "SPIN_GROUP="+group); n > 0 != tt.spins {
			t.Errorf("a quota of %v CPUs: %d looks", tt.cpus, n)
		}
	}
}

// newGroup makes a cgroup that can have a quota, of version 2 or 1, or skips.
func newGroup(t *testing.T) (dir string, set func(cpus float64) error) {
	t.Helper()
	const mounts, period = "/sys/fs/cgroup", 100000
	controllers, err := os.ReadFile(filepath.Join(mounts, "cgroup.subtree_control"))
	v2 := err == nil && slices.Contains(strings.Fields(string(controllers)), "cpu")
	top := filepath.Join(mounts, "cpu")
	if v2 {
		top = mounts
	}
	dir, err = os.MkdirTemp(top, "mmap-test-")
	if err != nil {
		testenv.Skip(t, "needs the right to make a cgroup with a quota: "+err.Error())
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	set = func(cpus float64) error {
		quota := strconv.Itoa(int(cpus * period))
		if v2 {
			return os.WriteFile(filepath.Join(dir, "cpu.max"), []byte(quota+" "+strconv.Itoa(period)), 0)
		}
		return errors.Join(os.WriteFile(filepath.Join(dir, "cpu.cfs_period_us"), []byte(strconv.Itoa(period)), 0),
			os.WriteFile(filepath.Join(dir, "cpu.cfs_quota_us"), []byte(quota), 0))
	}
	if err := set(2); err != nil {
		testenv.Skip(t, "needs a cgroup that takes a quota: "+err.Error())
	}
	return dir, set
}

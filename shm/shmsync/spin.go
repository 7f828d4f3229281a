package shmsync

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
)

// Spinning before a sleep pays where what is waited for comes sooner than the
// kernel could wake anybody, and only then: a spin that is a little too short
// makes each side put the other to sleep, which costs more than not to spin at
// all. So the budget is four times what a wake-up takes on this machine, or
// nothing. Four, since a wait in which both sides slept has two wake-ups in it:
// with less, two that have once gone to sleep would never find out that they need
// not.

// That holds where both can run at once. Where the kernel keeps the two on one CPU, a
// spin keeps off it whom it waits for. So who can tell, by Beside, gives the CPU away
// and goes on when the other sleeps or does the same; but not again for a while where
// a third has taken it.

const (
	spinLeast = 50 * time.Microsecond
	spinMost  = 100 * time.Microsecond
	spinLoads = 64   // looks between two looks at the clock
	spinFirst = 250  // ns until a spin first looks whether others want to run
	spinAlone = 2000 // ns between two such looks
	probeEach = 16   // of so many waits one spins though it does not seem worth while
	restWaits = 256  // waits without giving the CPU away after a third has had it
)

// A Spinner decides whether to spin before a sleep, from how long the waits of
// one place have lasted of late. One goroutine at a time uses it.
type Spinner struct {
	// Beside, if there is one, reports whether who is waited for was last seen on
	// the CPU on which the caller runs. It is asked in spins that last longer than
	// 0.25 us, and should take no longer than that.
	Beside func() bool

	recent int64 // how long waits lasted, ns: a moving average over about 8
	spent  int64 // what was spun before the sleep that comes now, ns
	tries  uint
	rests  int               // so many waits from now on give the CPU to nobody
	ready  [1]metrics.Sample // here, so that to ask allocates nothing
}

// spinners counts the goroutines of this process that spin: at most GOMAXPROCS-1,
// so that somebody is left to make come true what they wait for.
var spinners atomic.Int64

// Spin looks at done again and again, for as long as that is worth while, and
// reports whether it became true. It does not look at all where this process has
// less than 2 CPUs, by its affinity mask or its cgroup's quota, where enough
// others spin already, and where recent waits lasted longer than the budget, but
// for a try now and then. Other goroutines get to run meanwhile, and where Beside is
// true other threads. A false is followed by a sleep, and that by Slept.
func (s *Spinner) Spin(done func() bool) bool {
	s.spent = 0
	budget := spinBudget()
	if s.tries++; s.tries == 1 {
		s.recent = 2 * int64(spinMost) // a place must first show that its waits are short
	}
	if budget == 0 || s.recent > budget && s.tries%probeEach != 0 {
		return false
	}
	if spinners.Add(1) >= int64(runtime.GOMAXPROCS(0)) {
		spinners.Add(-1)
		return false
	}
	defer spinners.Add(-1)
	s.rests = max(0, s.rests-1)
	ask := int64(spinFirst)
	for began := now(); ; {
		for range spinLoads {
			if done() {
				s.lasted(now() - began)
				return true
			}
		}
		if s.spent = now() - began; s.spent > budget {
			return false
		}
		if s.spent < ask {
			continue
		}
		ask = s.spent + spinAlone
		switch {
		case s.othersAreReady():
			runtime.Gosched()
		case s.Beside == nil || !s.Beside():
		case s.rests > 0:
			return false
		default:
			yield()
			if now()-began-s.spent > int64(spinMost) {
				s.rests = restWaits
			}
		}
	}
}

// othersAreReady reports whether a goroutine of this process is ready to run and
// does not: what the other side waits for may be its work. To ask takes 50 ns and a
// lock of the scheduler. A Gosched for nobody costs more: it has the runtime wake a
// thread that looks for work (Go 1.22), which takes a CPU from who has some.
func (s *Spinner) othersAreReady() bool {
	s.ready[0].Name = "/sched/goroutines/runnable:goroutines" // Go 1.26
	metrics.Read(s.ready[:])
	return s.ready[0].Value.Uint64() > 0
}

// Slept notes the sleep after a Spin that was in vain.
func (s *Spinner) Slept(d time.Duration) {
	s.lasted(s.spent + int64(d))
	s.spent = 0
}

// lasted notes a wait of so many ns. One very long wait must not outweigh what
// comes after it for long.
func (s *Spinner) lasted(ns int64) {
	s.recent += (min(ns, 4*int64(spinMost)) - s.recent) / 8
}

// spinBudget is how long a spin lasts at most here and now, in ns.
func spinBudget() int64 {
	if word.Stepped || cpus() < 2 {
		return 0
	}
	return int64(calibrated())
}

// calibrated is the budget of this machine, found out once.
var calibrated = sync.OnceValue(func() time.Duration {
	var taken []time.Duration
	for range 7 {
		if d, ok := wakeUp(); ok {
			taken = append(taken, d)
		}
	}
	if len(taken) == 0 {
		return 0
	}
	slices.Sort(taken)
	return max(spinLeast, min(4*taken[len(taken)*3/4], spinMost)) // the upper quartile: some find a processor awake
})

// wakeUp measures how long a thread that has slept for a while takes to run
// again after it was woken.
func wakeUp() (time.Duration, bool) {
	bell := new(word.U32)
	rang := make(chan int64)
	go func() {
		for bell.Peek() == 0 {
			if _, err := word.Sleep(time.Second, word.Wait{Word: bell}); err != nil {
				break
			}
		}
		rang <- now()
	}()
	time.Sleep(200 * time.Microsecond)
	began := now()
	bell.Bump()
	if word.Wake(bell, 1) != nil {
		return 0, false
	}
	return time.Duration(<-rang - began), true
}

// cpuCount is how many CPUs this process may use, looked up once a second:
// affinity and quota can change under a running process.
var cpuCount struct {
	sync.Mutex // guards the others
	until      int64
	n          float64
}

func cpus() float64 {
	c := &cpuCount
	c.Lock()
	defer c.Unlock()
	if t := now(); t >= c.until {
		c.n, c.until = sys.CPUs(), t+int64(time.Second)
	}
	return c.n
}

var yield = sys.Yield // a test counts

var started = time.Now()

// now is a clock that never goes back, in ns.
func now() int64 { return int64(time.Since(started)) }

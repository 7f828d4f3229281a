package shmsync

import (
	"runtime"
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
// all. So the budget is twice what a wake-up takes on this machine, or nothing.

const (
	spinLeast = 20 * time.Microsecond
	spinMost  = 100 * time.Microsecond
	spinLoads = 64 // looks between two looks at the clock
)

// A Spinner decides whether to spin before a sleep, from how long the waits of
// one place have lasted of late. One goroutine at a time uses it.
type Spinner struct {
	recent atomic.Int64 // how long waits lasted, ns: a moving average over about 8
	spent  int64        // what was spun before the sleep that comes now, ns
}

// spinners counts the goroutines of this process that spin: at most GOMAXPROCS-1,
// so that somebody is left to make come true what they wait for.
var spinners atomic.Int64

// Spin looks at done again and again, for as long as that is worth while, and
// reports whether it became true. It does not look at all where this process has
// less than 2 CPUs, by its affinity mask or its cgroup's quota, where enough
// others spin already, and where recent waits lasted longer than the budget. A
// false is followed by a sleep, and that by Slept.
func (s *Spinner) Spin(done func() bool) bool {
	s.spent = 0
	budget := spinBudget()
	if budget == 0 || s.recent.Load() > budget {
		return false
	}
	if spinners.Add(1) >= int64(runtime.GOMAXPROCS(0)) {
		spinners.Add(-1)
		return false
	}
	defer spinners.Add(-1)
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
	}
}

// Slept notes the sleep after a Spin that was in vain.
func (s *Spinner) Slept(d time.Duration) {
	s.lasted(s.spent + int64(d))
	s.spent = 0
}

// Recent is how long waits have lasted of late, those that were spun away too.
// None counts as longer than 400 µs.
func (s *Spinner) Recent() time.Duration { return time.Duration(s.recent.Load()) }

// lasted notes a wait of so many ns. One very long wait must not outweigh what
// comes after it for long.
func (s *Spinner) lasted(ns int64) {
	recent := s.recent.Load()
	s.recent.Store(recent + (min(ns, 4*int64(spinMost))-recent)/8)
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
	return max(spinLeast, min(2*taken[len(taken)/2], spinMost))
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

var started = time.Now()

// now is a clock that never goes back, in ns.
func now() int64 { return int64(time.Since(started)) }

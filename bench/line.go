package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What two processes tell each other through memory goes from one processor's
// cache to the other's. How long that takes depends on where the processors are:
// those of a virtual machine may be moved, and then the same rows give other figures.

// placed is a report that also tells how far apart the processors were.
type placed struct {
	report
	ns []float64 // a line there and back, before the rows ran and after
}

// whereProcessorsAre makes reports of entries tell it.
func whereProcessorsAre(entries ...entry) []entry {
	for i, e := range entries {
		entries[i].make = func(s settings, file string) (report, error) {
			before := lineThereAndBack()
			r, err := e.make(s, file)
			return placed{r, []float64{before, lineThereAndBack()}}, err
		}
	}
	return entries
}

func (p placed) print(w io.Writer) {
	p.report.print(w)
	fmt.Fprintf(w, "\nA cache line went to the other processor and back in %.0f ns before, and in %.0f ns afterwards.\n", p.ns[0], p.ns[1])
}

// lineThereAndBack is the median of some short runs, in ns; 0 on one processor.
func lineThereAndBack() float64 {
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() < 2 {
		return 0
	}
	var two []int
	for cpu := 0; len(two) < 2; cpu++ {
		if all.IsSet(cpu) {
			two = append(two, cpu)
		}
	}
	var runs []float64
	for range 9 {
		runs = append(runs, bounce(two, 5000))
	}
	slices.Sort(runs)
	return quantile(runs, 0.5)
}

// bounce has two threads answer each other through one word, each on a processor
// of its own. They end with it: their affinity is theirs alone.
func bounce(cpus []int, times uint64) float64 {
	var line struct {
		_    [128]byte
		word atomic.Uint64
		_    [128]byte
	}
	took := make(chan time.Duration, 2)
	for side, cpu := range cpus {
		go func() {
			runtime.LockOSThread() // and not unlocked
			var one unix.CPUSet
			one.Set(cpu)
			unix.SchedSetaffinity(0, &one)
			began := time.Now()
			for i := uint64(side); i < 2*times; i += 2 {
				for line.word.Load() != i {
				}
				line.word.Store(i + 1)
				if i < 2 {
					began = time.Now()
				}
			}
			took <- time.Since(began)
		}()
	}
	return float64(min(<-took, <-took).Nanoseconds()) / float64(times)
}

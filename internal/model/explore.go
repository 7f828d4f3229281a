package model

import (
	"math/rand/v2"
	"testing"

	"github.com/memwright/mmap/internal/word"
)

// Options bound what Explore does.
type Options struct {
	Preemptions int    // the most switches away from a process that could go on
	Crashes     int    // the most processes killed in a run
	Runs        int    // the most runs; 0 is all there are
	Random      bool   // choose at random, without a bound on preemptions: Runs times
	Seed        uint64 // for Random
}

// Explore runs the world that build makes, once for each sequence of choices
// within the bounds. It fails t at the first run that fails, with its steps. It
// answers how many runs there were.
func Explore(t testing.TB, o Options, build func(w *World)) (runs int) {
	t.Helper()
	if o.Random {
		rng := rand.New(rand.NewPCG(o.Seed, 0))
		for range o.Runs {
			// Mostly on with the same process: a switch at every step hides as much
			// as none.
			calm := rng.IntN(10)
			once(t, o, build, func(n int) int {
				if rng.IntN(10) < calm {
					return 0
				}
				return rng.IntN(n)
			})
		}
		return o.Runs
	}
	var path []branch
	for {
		depth := 0
		once(t, o, build, func(n int) int {
			if depth == len(path) {
				path = append(path, branch{options: n})
			}
			b := path[depth]
			depth++
			if b.options != n {
				t.Fatalf("a run can't be repeated: %d options at choice %d, and %d before", n, depth, b.options)
			}
			return b.taken
		})
		runs++
		for len(path) > 0 && path[len(path)-1].taken == path[len(path)-1].options-1 {
			path = path[:len(path)-1]
		}
		if len(path) == 0 || runs == o.Runs {
			return runs
		}
		path[len(path)-1].taken++
	}
}

// branch is one choice of a run.
type branch struct{ taken, options int }

// once is one run.
func once(t testing.TB, o Options, build func(w *World), choose func(int) int) {
	t.Helper()
	w := &World{opt: o, choose: choose}
	word.Install(w)
	defer word.Install(nil)
	build(w)
	if failure := w.play(); failure != "" {
		t.Fatalf("%s\n%s", failure, w.story())
	}
}

//go:build steps

package shmsync_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/model"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm/shmsync"
)

// guarded is what a lock guards in these models: two words that are equal unless
// somebody is between the two stores, or died there.
type guarded struct {
	w      *model.World
	f      *fleet.Fleet
	inside *model.Process // who is in the critical section
	done   int            // how many finished one
	a, b   int
}

func (g *guarded) enter(p *model.Process, err error) {
	if in := g.inside; in != nil && !g.f.Gone(in) {
		g.w.Failf("%s is inside together with %s", p.Name, in.Name)
	}
	g.inside = p
	switch {
	case errors.Is(err, shmsync.ErrOwnerDied):
		if g.w.Crashes() == 0 {
			g.w.Failf("%s was told of a death, and nobody died", p.Name)
		}
		g.b = g.a
	case err != nil:
		g.w.Failf("%s: %v", p.Name, err)
	case g.a != g.b:
		g.w.Failf("%s was not told that %d is not %d", p.Name, g.a, g.b)
	}
}

// change is the critical section: a step lies between its two halves.
func (g *guarded) change(s *shmsync.Space) {
	g.a++
	s.Attached(0)
	g.b++
}

func (g *guarded) leave() { g.done++; g.inside = nil }

// bounds are what the models explore: everything within the first, in every run
// of the tests; the others in long runs.
func explore(t *testing.T, build func(w *model.World)) {
	t.Helper()
	seed := testenv.Seed(t)
	n := model.Explore(t, model.Options{Preemptions: 2}, build)
	m := model.Explore(t, model.Options{Preemptions: 1, Crashes: 1}, build)
	k := model.Explore(t, model.Options{Random: true, Crashes: 2, Runs: 3000, Seed: seed}, build)
	t.Logf("%d schedules without a crash, %d with one, %d at random", n, m, k)
}

func TestModelMutex(t *testing.T) {
	explore(t, func(w *model.World) {
		f := fleet.New(t, 4, 64)
		g := &guarded{w: w, f: f}
		for i := range 3 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				mu, err := s.Mutex(fleet.Data)
				if err != nil {
					w.Failf("%v", err)
					return
				}
				err = mu.Lock(context.Background())
				g.enter(p, err)
				g.change(s)
				if err != nil {
					if err := mu.MarkConsistent(); err != nil {
						w.Failf("%v", err)
					}
				}
				g.leave()
				if err := mu.Unlock(); err != nil {
					w.Failf("%s unlocks: %v", p.Name, err)
				}
			})
		}
		f.Launch(w)
		w.Check(func() error {
			if w.Crashes() == 0 && (g.done != 3 || w.TimedOut() > 0) {
				return fmt.Errorf("%d of 3 came through, %d wake-ups were lost", g.done, w.TimedOut())
			}
			return nil
		})
	})
}

//go:build steps

package shmsync_test

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// explore goes through all schedules within some bounds and some random ones. In
// an ordinary run of the tests it stops early; make model goes to the end.
func explore(t *testing.T, crashes int, build func(w *model.World)) {
	t.Helper()
	most, runs := 4000, 2000
	if os.Getenv("MMAP_MODEL") != "" {
		most, runs = 0, 200_000
	}
	seed := testenv.Seed(t)
	n := model.Explore(t, model.Options{Preemptions: 2, Runs: most}, build)
	m := 0
	if crashes > 0 {
		m = model.Explore(t, model.Options{Preemptions: 1, Crashes: 1, Runs: most}, build)
	}
	k := model.Explore(t, model.Options{Random: true, Crashes: crashes, Runs: runs, Seed: seed}, build)
	t.Logf("%d schedules without a crash, %d with one, %d at random", n, m, k)
}

func TestModelMutex(t *testing.T) {
	explore(t, 2, func(w *model.World) {
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

// TestModelMutexCancelled gives a wait up at every step: the others come through.
func TestModelMutexCancelled(t *testing.T) {
	t.Run("before the unlock", func(t *testing.T) { mutexCancelled(t, false) })
	t.Run("after it", func(t *testing.T) { mutexCancelled(t, true) })
}

func mutexCancelled(t *testing.T, after bool) {
	explore(t, 2, func(w *model.World) {
		f := fleet.New(t, 4, 64)
		g := &guarded{w: w, f: f}
		ctx := model.NewContext()
		for i := range 3 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				mu, err := s.Mutex(fleet.Data)
				if err != nil {
					w.Failf("%v", err)
					return
				}
				if i == 1 {
					err = mu.Lock(ctx)
				} else {
					err = mu.Lock(context.Background())
				}
				if errors.Is(err, context.Canceled) {
					return
				}
				g.enter(p, err)
				if err != nil {
					mu.MarkConsistent()
				}
				if i == 0 && !after {
					ctx.Cancel()
				}
				g.leave()
				if err := mu.Unlock(); err != nil {
					w.Failf("%s unlocks: %v", p.Name, err)
				}
				if i == 0 && after {
					ctx.Cancel()
				}
			})
		}
		f.Launch(w)
		w.Check(func() error {
			if w.Crashes() == 0 && (g.done < 2 || w.TimedOut() > 0) {
				return fmt.Errorf("%d of 3 came through, %d wake-ups were lost", g.done, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelWaitIsEnded: a Close, and a context, end a sleep at once.
func TestModelWaitIsEnded(t *testing.T) {
	for _, by := range []string{"Close", "a context"} {
		t.Run(by, func(t *testing.T) {
			explore(t, 0, func(w *model.World) {
				f := fleet.New(t, 2, 64)
				ctx := model.NewContext()
				var waiter *shmsync.Space
				var got error
				f.Crew(w, "waiter", 1, func(_ *model.Process, s *shmsync.Space) {
					waiter = s
					mu, err := s.Mutex(fleet.Data)
					if err == nil {
						err = mu.Lock(ctx)
					}
					got = err
				})
				f.Crew(w, "holder", 0, func(_ *model.Process, s *shmsync.Space) {
					mu, err := s.Mutex(fleet.Data)
					if err != nil || mu.TryLock() != nil {
						return // the other came first
					}
					s.Attached(0) // a step, for the other to fall asleep before
					if by == "Close" && waiter != nil {
						waiter.Close()
					} else {
						ctx.Cancel()
					}
				})
				w.Check(func() error {
					if w.TimedOut() > 0 {
						return fmt.Errorf("it slept on, and ended with %v", got)
					}
					return nil
				})
			})
		})
	}
}

// TestModelMutexNotRepaired: whoever comes after a repair that was given up gets
// ErrNotRecoverable, and everybody comes to an end.
func TestModelMutexNotRepaired(t *testing.T) {
	explore(t, 2, func(w *model.World) {
		f := fleet.New(t, 4, 64)
		broken := false
		for i := range 3 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				mu, err := s.Mutex(fleet.Data)
				if err != nil {
					w.Failf("%v", err)
					return
				}
				err = mu.Lock(context.Background())
				if errors.Is(err, shmsync.ErrNotRecoverable) {
					if w.Crashes() == 0 {
						w.Failf("%s: %v, and nobody died", p.Name, err)
					}
					return
				}
				if broken {
					w.Failf("%s has a broken lock: %v", p.Name, err)
				}
				if e := mu.Unlock(); e != nil {
					w.Failf("%s unlocks: %v", p.Name, e)
				}
				broken = err != nil
			})
		}
		f.Launch(w)
	})
}

// TestModelRWMutex has two writers and two readers. Readers may be inside together,
// and nobody else.
func TestModelRWMutex(t *testing.T) {
	explore(t, 2, func(w *model.World) {
		f := fleet.New(t, 3, 256)
		g := &guarded{w: w, f: f}
		reading := map[*model.Process]bool{}
		finished := 0
		write := func(p *model.Process, s *shmsync.Space, rw *shmsync.RWMutex) {
			err := rw.Lock(context.Background())
			for r := range reading {
				if reading[r] && !f.Gone(r) {
					w.Failf("%s writes while %s reads", p.Name, r.Name)
				}
			}
			g.enter(p, err)
			g.change(s)
			if err != nil {
				if err := rw.MarkConsistent(); err != nil {
					w.Failf("%v", err)
				}
			}
			g.leave()
			if err := rw.Unlock(); err != nil {
				w.Failf("%s unlocks: %v", p.Name, err)
			}
		}
		for i := range 3 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				rw, err := s.RWMutex(fleet.Data)
				if err != nil {
					w.Failf("%v", err)
					return
				}
				defer func() { finished++ }()
				if i == 0 {
					write(p, s, rw)
					return
				}
				err = rw.RLock(context.Background())
				if errors.Is(err, shmsync.ErrNeedsRepair) && w.Crashes() > 0 {
					write(p, s, rw)
					return
				}
				if err != nil {
					w.Failf("%s: %v", p.Name, err)
				}
				if in := g.inside; in != nil && !f.Gone(in) || g.a != g.b {
					w.Failf("%s reads %d, %d, and somebody writes", p.Name, g.a, g.b)
				}
				reading[p] = true
				s.Attached(0)
				reading[p] = false
				if err := rw.RUnlock(); err != nil {
					w.Failf("%s unlocks: %v", p.Name, err)
				}
			})
		}
		f.Launch(w)
		w.Check(func() error {
			if w.Crashes() == 0 && (finished != 3 || w.TimedOut() > 0) {
				return fmt.Errorf("%d of 3 came through, %d wake-ups were lost", finished, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelSemaphore shares two permits among three processes, one of which wants
// both. In the end there are two.
func TestModelSemaphore(t *testing.T) {
	explore(t, 2, func(w *model.World) {
		f := fleet.New(t, 4, 256)
		has := map[*model.Process]int{}
		finished := 0
		for i, n := range []int{1, 2, 1} {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				sem, err := s.Semaphore(fleet.Data, 2)
				if err != nil {
					w.Failf("%v", err)
					return
				}
				if err := sem.Acquire(context.Background(), n); err != nil {
					w.Failf("%s: %v", p.Name, err)
				}
				has[p] = n
				sum := 0
				for q, n := range has {
					if !f.Gone(q) {
						sum += n
					}
				}
				if sum > 2 {
					w.Failf("%s has a permit, and %d are out", p.Name, sum)
				}
				s.Attached(0)
				has[p] = 0
				if err := sem.Release(n); err != nil {
					w.Failf("%s gives back: %v", p.Name, err)
				}
				finished++
			})
		}
		f.Launch(w)
		w.Check(func() error {
			if w.Crashes() == 0 && (finished != 3 || w.TimedOut() > 0) {
				return fmt.Errorf("%d of 3 came through, %d wake-ups were lost", finished, w.TimedOut())
			}
			s := f.Join(3)
			if _, err := s.Participants(); err != nil {
				return err
			}
			sem, err := s.Semaphore(fleet.Data, 2)
			if err != nil {
				return err
			}
			if free := sem.Free(); free != 2 {
				return fmt.Errorf("%d permits are left of 2", free)
			}
			return sem.TryAcquire(2)
		})
	})
}

// TestModelEvent: what is stored before a Signal is seen after the Wait, and nobody
// sleeps through it.
func TestModelEvent(t *testing.T) {
	explore(t, 0, func(w *model.World) {
		f := fleet.New(t, 3, 64)
		finished := 0
		for i := range 3 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				ev, err := s.Event(fleet.Data)
				flag, err2 := s.Word32(fleet.Data + 8)
				if err := errors.Join(err, err2); err != nil {
					w.Failf("%v", err)
					return
				}
				if i == 0 {
					flag.Store(1)
					if err := ev.Signal(); err != nil {
						w.Failf("%v", err)
					}
					finished++
					return
				}
				for g := ev.Generation(); flag.Load() == 0; g = ev.Generation() {
					if err := ev.Wait(context.Background(), g); err != nil {
						w.Failf("%v", err)
					}
				}
				finished++
			})
		}
		w.Check(func() error {
			if finished != 3 || w.TimedOut() > 0 {
				return fmt.Errorf("%d of 3 came through, %d wake-ups were lost", finished, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelSnapshot reads while a value of three words is written again and again:
// every value is whole, and none is older than one that was read before.
func TestModelSnapshot(t *testing.T) {
	type value = [2]uint64
	explore(t, 2, func(w *model.World) {
		f := fleet.New(t, 3, 1024)
		read := func(who string, s *shmsync.Space, n int) (last uint64) {
			snap, err := shmsync.SnapshotOf[value](s, fleet.Data)
			if err != nil {
				w.Failf("%v", err)
				return
			}
			for range n {
				v, version, err := snap.Load()
				if err != nil || v[0] != v[1] || version < last {
					w.Failf("%s reads %v, version %d after %d: %v", who, v, version, last, err)
				}
				last = version
			}
			return last
		}
		for i := range 2 {
			f.Crew(w, fmt.Sprint("writer", i), i, func(p *model.Process, s *shmsync.Space) {
				snap, err := shmsync.SnapshotOf[value](s, fleet.Data)
				if err != nil {
					w.Failf("%v", err)
					return
				}
				for n := range uint64(2) {
					if err := snap.Store(context.Background(), value{n + 1, n + 1}); err != nil {
						w.Failf("%v", err)
					}
				}
			})
		}
		f.Crew(w, "reader", 2, func(_ *model.Process, s *shmsync.Space) { read("the reader", s, 2) })
		f.Launch(w)
		w.Check(func() error {
			if last := read("one who comes later", f.Reader(), 1); last != 4 && w.Crashes() == 0 {
				return fmt.Errorf("%d versions, want 4", last)
			}
			return nil
		})
	})
}

// TestModelMarkIsPassedOn: the kernel wakes one of those who wait for a process
// that ended, whatever they wait for, and the others go on without a time-out.
func TestModelMarkIsPassedOn(t *testing.T) {
	explore(t, 0, func(w *model.World) {
		f := fleet.New(t, 3, 64)
		locks := func(s *shmsync.Space) (a, b *shmsync.Mutex) {
			a, err := s.Mutex(fleet.Data)
			b, err2 := s.Mutex(fleet.Data + 8)
			if err := errors.Join(err, err2); err != nil {
				w.Failf("%v", err)
			}
			return a, b
		}
		holds := false
		f.Crew(w, "owner", 0, func(_ *model.Process, s *shmsync.Space) {
			a, b := locks(s)
			if err := errors.Join(a.Lock(context.Background()), b.Lock(context.Background())); err != nil {
				return // the others came first
			}
			holds = true
			f.Release(0)
			f.Mark(0)
		})
		for i := 1; i <= 2; i++ {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				m, b := locks(s)
				if i == 2 {
					m = b
				}
				err := m.Lock(context.Background())
				if err != nil {
					err = m.MarkConsistent()
				}
				if err := errors.Join(err, m.Unlock()); err != nil {
					w.Failf("%s: %v", p.Name, err)
				}
			})
		}
		w.Check(func() error {
			if !holds || w.TimedOut() > 0 {
				return fmt.Errorf("the owner held both: %v; %d wake-ups were lost", holds, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelSlotIsTakenOver: the next one in the slot of a process that ended comes
// before those who wait for it have looked. They go on all the same.
func TestModelSlotIsTakenOver(t *testing.T) {
	explore(t, 0, func(w *model.World) {
		f := fleet.New(t, 3, 64)
		holds := false
		lock := func(s *shmsync.Space, i int) *shmsync.Mutex {
			m, err := s.Mutex(fleet.Data + int64(8*i))
			if err != nil {
				w.Failf("%v", err)
			}
			return m
		}
		f.Crew(w, "owner", 0, func(_ *model.Process, s *shmsync.Space) {
			if err := errors.Join(lock(s, 1).Lock(context.Background()), lock(s, 2).Lock(context.Background())); err != nil {
				return // the others came first
			}
			holds = true
			f.Mark(0)
			f.Release(0)
			f.Join(0)
		})
		for i := 1; i <= 2; i++ {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				err := lock(s, i).Lock(context.Background())
				if err != nil && !errors.Is(err, shmsync.ErrOwnerDied) {
					w.Failf("%s: %v", p.Name, err)
				}
				if err := lock(s, i).Unlock(); err != nil {
					w.Failf("%s: %v", p.Name, err)
				}
			})
		}
		w.Check(func() error {
			if !holds || w.TimedOut() > 0 {
				return fmt.Errorf("the owner held both: %v; %d wake-ups were lost", holds, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelNewOwnerDies: one who was woken to take the lock, and has taken it, dies
// with it. The others hear of that at once, though they fell asleep before.
func TestModelNewOwnerDies(t *testing.T) {
	explore(t, 0, func(w *model.World) {
		f := fleet.New(t, 4, 64)
		through := 0
		for i := range 4 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				m, err := s.Mutex(fleet.Data)
				if err == nil {
					err = m.Lock(context.Background())
				}
				if err != nil && !errors.Is(err, shmsync.ErrOwnerDied) {
					w.Failf("%s: %v", p.Name, err)
				}
				through++
				if i == 1 {
					f.Release(1)
					f.Mark(1)
					return
				}
				if err := errors.Join(m.MarkConsistent(), m.Unlock()); err != nil {
					w.Failf("%s: %v", p.Name, err)
				}
			})
		}
		w.Check(func() error {
			if through != 4 || w.TimedOut() > 0 {
				return fmt.Errorf("%d of 4 came through; %d wake-ups were lost", through, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelLeave: who leaves with a lock held wakes those who wait for it.
func TestModelLeave(t *testing.T) {
	explore(t, 0, func(w *model.World) {
		f := fleet.New(t, 3, 64)
		told := 0
		for i := range 3 {
			f.Crew(w, fmt.Sprint("p", i), i, func(p *model.Process, s *shmsync.Space) {
				m, err := s.Mutex(fleet.Data)
				if i == 0 {
					if err == nil && m.TryLock() == nil { // it is the first, or does not wait
						s.Leave()
						f.Release(0)
					}
					return
				}
				if err == nil {
					err = m.Lock(context.Background())
				}
				if errors.Is(err, shmsync.ErrOwnerDied) {
					told++
					err = m.MarkConsistent()
				}
				if err := errors.Join(err, m.Unlock()); err != nil {
					w.Failf("%s: %v", p.Name, err)
				}
			})
		}
		w.Check(func() error {
			if told > 1 || w.TimedOut() > 0 {
				return fmt.Errorf("%d were told of one who left; %d wake-ups were lost", told, w.TimedOut())
			}
			return nil
		})
	})
}

// TestModelSnapshotLapped: a reader that is overtaken by a whole lap notices.
func TestModelSnapshotLapped(t *testing.T) {
	type value = [2]uint64
	n := model.Explore(t, model.Options{Preemptions: 2}, func(w *model.World) {
		f := fleet.New(t, 2, 1024)
		f.Crew(w, "writer", 0, func(_ *model.Process, s *shmsync.Space) {
			snap, err := shmsync.SnapshotOf[value](s, fleet.Data)
			for n := uint64(1); n <= 5 && err == nil; n++ {
				err = snap.Store(context.Background(), value{n, n})
			}
			if err != nil {
				w.Failf("%v", err)
			}
		})
		f.Crew(w, "reader", 1, func(_ *model.Process, s *shmsync.Space) {
			snap, err := shmsync.SnapshotOf[value](s, fleet.Data)
			if err != nil {
				w.Failf("%v", err)
				return
			}
			if v, version, err := snap.Load(); err != nil || v != (value{version, version}) {
				w.Failf("version %d is %v: %v", version, v, err)
			}
		})
	})
	t.Logf("%d schedules", n)
}

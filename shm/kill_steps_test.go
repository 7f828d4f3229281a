//go:build steps

package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm"
)

const (
	scenarioVar = "SHM_TEST_SCENARIO"
	stepVar     = "SHM_TEST_STEP"
)

// stopper stops the process at its n-th step, for another to kill.
type stopper struct{ left atomic.Int64 }

func (s *stopper) Step(what string) {
	if left := s.left.Add(-1); left == 0 {
		fmt.Println("stopped before", what)
		select {}
	} else if left < 0 {
		select {} // nobody does anything any more
	}
}

func (s *stopper) Sleep(time.Duration, []word.Wait) (done, timedOut bool) {
	s.Step("sleep")
	return false, false
}

func (s *stopper) Wake(*word.U32, int) bool {
	s.Step("wake")
	return false
}

// scenarios are what a process does while it is stopped at each step: what comes
// before, and what is stopped.
var scenarios = map[string]func(name string) (run func() error, err error){
	"create": func(name string) (func() error, error) {
		return func() error { _, err := shm.Create(name, 1<<16, shm.Options{}); return err }, nil
	},
	"attach": func(name string) (func() error, error) {
		return func() error { _, err := shm.Open(name, shm.Options{}); return err }, nil
	},
	"leave": func(name string) (func() error, error) {
		s, err := shm.OpenOrCreate(name, 1<<16, shm.Options{})
		if err != nil {
			return nil, err
		}
		return s.Close, nil
	},
	"place": func(name string) (func() error, error) {
		s, err := shm.Open(name, shm.Options{})
		return func() error {
			_, err := s.Place(context.Background(), shm.Object{Name: "late", Size: 64, Init: func(off int64) error {
				w, err := s.Space().Word64(off)
				if err == nil && w.Swap(1) != 0 {
					err = errors.New("the object was not zero")
				}
				return err
			}})
			return err
		}, err
	},
	"a round": func(name string) (func() error, error) {
		s, err := shm.Open(name, shm.Options{})
		if err != nil {
			return nil, err
		}
		w, err := join(s)
		return func() error { return w.round(context.Background()) }, err
	},
}

var _ = testenv.Register("shm.stopped", func() {
	run, err := scenarios[os.Getenv(scenarioVar)](os.Getenv(nameVar))
	if err != nil {
		childFails(err)
	}
	n, err := strconv.ParseInt(os.Getenv(stepVar), 10, 64)
	if err != nil {
		childFails(err)
	}
	s := new(stopper)
	s.left.Store(n)
	word.Install(s)
	err = run()
	word.Install(nil)
	if err != nil {
		childFails(err)
	}
	fmt.Println("done")
})

// everyStep has a process stopped at each step of a scenario and killed there, and
// calls check after each death.
func everyStep(t *testing.T, scenario, name string, check func(n int, where string)) {
	t.Helper()
	for n := 1; ; n++ {
		c := testenv.Child{Name: "shm.stopped", Env: []string{nameVar + "=" + name, scenarioVar + "=" + scenario, stepVar + "=" + strconv.Itoa(n)}}
		cmd := c.Command(t)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 200)
		k, _ := out.Read(said)
		where, stopped := strings.CutPrefix(strings.TrimSpace(string(said[:k])), "stopped before ")
		cmd.Process.Kill()
		cmd.Wait()
		if !stopped && where != "done" {
			t.Fatalf("%s, step %d: the child says %q", scenario, n, where)
		}
		check(n, where)
		if t.Failed() {
			t.Fatalf("killed in %s, step %d, before %s", scenario, n, where)
		}
		if !stopped {
			t.Logf("%s: killed at each of %d steps", scenario, n-1)
			if n < 4 {
				t.Error("these are too few to be all")
			}
			return
		}
	}
}

// TestKilledWhileOthersStay: somebody else takes part all the time.
func TestKilledWhileOthersStay(t *testing.T) {
	need(t)
	for _, scenario := range []string{"attach", "leave", "place", "a round"} {
		name := ours(t)
		s, err := shm.Create(name, 1<<16, shm.Options{Participants: 4})
		if err != nil {
			t.Fatal(err)
		}
		w, err := join(s)
		if err != nil {
			t.Fatal(err)
		}
		var longest time.Duration
		everyStep(t, scenario, name, func(n int, where string) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			for range 2 {
				if err := w.round(ctx); err != nil {
					t.Error(err)
				}
			}
			longest = max(longest, time.Since(began))
			// Everything else works too: attaching, leaving, and the last permit.
			o, err := shm.Open(name, shm.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			ps, err := o.Participants()
			alive := 0
			for _, p := range ps {
				if p.Alive {
					alive++
				}
			}
			if err != nil || alive != 2 {
				t.Errorf("%d of %v live, want 2: %v", alive, ps, err)
			}
			if err := w.sem.Acquire(ctx, permits); err != nil {
				t.Error(err)
			} else if err := w.sem.Release(permits); err != nil {
				t.Error(err)
			}
			objects, err := o.Objects()
			if err != nil || len(objects) > 1 && scenario != "place" {
				t.Errorf("objects %v, %v", objects, err)
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := shm.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the last one left: %v", err)
		}
		t.Logf("the longest two rounds after a death took %v", longest)
	}
}

// TestKilledAlone: nobody else takes part, so the name may stay. Then it is that
// of a whole segment, and the next one takes it away.
func TestKilledAlone(t *testing.T) {
	need(t)
	for _, scenario := range []string{"create", "leave"} {
		name := ours(t)
		there := 0
		everyStep(t, scenario, name, func(int, string) {
			i, err := shm.Stat(name)
			switch {
			case err == nil && i.Participants == 0:
				there++
			case !errors.Is(err, fs.ErrNotExist):
				t.Errorf("%+v, %v", i, err)
			}
			s, err := shm.OpenOrCreate(name, 1<<16, shm.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			w, err := join(s)
			if err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := w.round(ctx); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := shm.Stat(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the last one left: %v", err)
			}
		})
		if there == 0 {
			t.Error("no death left the name behind: they were not in time")
		}
	}
}

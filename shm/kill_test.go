package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// nameVar tells a child the name of the segment.
const nameVar = "SHM_TEST_NAME"

// ours is a name that no other test has, and that is gone after the test.
func ours(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("shmtest-%d-%d", os.Getpid(), rand.Uint64())
	t.Cleanup(func() {
		if err := shm.Remove(name); err == nil {
			t.Errorf("%s was left behind", name)
		}
	})
	return name
}

// need skips the test where there are no segments.
func need(t testing.TB) {
	t.Helper()
	s, err := shm.Anonymous(1, shm.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// patience bounds what must not hang: the promise is one second, and the machine
// may be busy.
const patience = 10 * time.Second

// work is what the processes of these tests share: a lock of each kind, and what
// it guards.
type work struct {
	seg   *shm.Segment
	mutex *shmsync.Mutex
	rw    *shmsync.RWMutex
	sem   *shmsync.Semaphore
	a, b  *word.U64 // guarded by mutex: equal, unless somebody died between
	c, d  *word.U64 // guarded by rw
	acks  *word.U64 // how many rounds are known to be finished
}

const permits = 2

func join(s *shm.Segment) (w *work, err error) {
	sp := s.Space()
	size := 1024 + sp.RWMutexBytes() + sp.SemaphoreBytes()
	off, err := s.Place(context.Background(), shm.Object{Name: "work", Size: size})
	if err != nil {
		return nil, err
	}
	w = &work{seg: s}
	words := []**word.U64{&w.a, &w.b, &w.c, &w.d, &w.acks}
	for i, p := range words {
		if *p, err = sp.Word64(off + int64(8*i)); err != nil {
			return nil, err
		}
	}
	if w.mutex, err = sp.Mutex(off + 512); err != nil {
		return nil, err
	}
	if w.rw, err = sp.RWMutex(off + 1024); err != nil {
		return nil, err
	}
	w.sem, err = sp.Semaphore(off+1024+int64(sp.RWMutexBytes()), permits)
	return w, err
}

// locked changes two words under a lock, and repairs them if it must.
func locked(ctx context.Context, l interface {
	Lock(context.Context) error
	Unlock() error
	MarkConsistent() error
}, a, b *word.U64) error {
	err := l.Lock(ctx)
	switch {
	case errors.Is(err, shmsync.ErrOwnerDied):
		b.Store(a.Load())
		if err := l.MarkConsistent(); err != nil {
			return err
		}
	case err != nil:
		return err
	case a.Load() != b.Load():
		return fmt.Errorf("%d is not %d, and nobody said so", a.Load(), b.Load())
	}
	a.Add(1)
	b.Add(1)
	return l.Unlock()
}

// round uses each lock once.
func (w *work) round(ctx context.Context) error {
	if err := locked(ctx, w.mutex, w.a, w.b); err != nil {
		return fmt.Errorf("mutex: %w", err)
	}
	if err := locked(ctx, w.rw, w.c, w.d); err != nil {
		return fmt.Errorf("writer: %w", err)
	}
	switch err := w.rw.RLock(ctx); {
	case errors.Is(err, shmsync.ErrNeedsRepair): // the next writer does
	case err != nil:
		return fmt.Errorf("reader: %w", err)
	default:
		if c, d := w.c.Load(), w.d.Load(); c != d {
			return fmt.Errorf("a reader sees %d and %d", c, d)
		}
		if err := w.rw.RUnlock(); err != nil {
			return fmt.Errorf("reader: %w", err)
		}
	}
	if err := w.sem.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("semaphore: %w", err)
	}
	if err := w.sem.Release(1); err != nil {
		return fmt.Errorf("semaphore: %w", err)
	}
	w.acks.Add(1)
	return nil
}

var _ = testenv.Register("shm.worker", func() {
	for {
		s, err := shm.OpenOrCreate(os.Getenv(nameVar), 1<<16, shm.Options{})
		if err != nil {
			childFails(err)
		}
		w, err := join(s)
		if err != nil {
			childFails(err)
		}
		fmt.Println("at work")
		for range 2000 {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			if err := w.round(ctx); err != nil {
				childFails(err)
			}
			cancel()
		}
		if err := s.Close(); err != nil {
			childFails(err)
		}
	}
})

func childFails(err error) {
	fmt.Println("FAILED:", err)
	os.Exit(1)
}

// TestRandomKills kills processes at any moment while they lock, unlock, attach
// and leave. Nobody hangs, no death goes unnoticed, and nothing that was finished
// is lost. MMAP_KILLS=1000 kills as many.
func TestRandomKills(t *testing.T) {
	need(t)
	kills := 25
	if n, err := strconv.Atoi(os.Getenv("MMAP_KILLS")); err == nil {
		kills = n
	}
	rng := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	name := ours(t)
	s, err := shm.Create(name, 1<<16, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := join(s)
	if err != nil {
		t.Fatal(err)
	}
	workers := make([]*worker, 3)
	for i := range workers {
		workers[i] = startWorker(t, name)
	}
	var longest time.Duration
	for range kills {
		i := rng.IntN(len(workers))
		time.Sleep(time.Duration(rng.IntN(20_000)) * time.Microsecond)
		workers[i].kill(t)
		before := w.a.Load()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := w.round(ctx); err != nil {
			t.Fatalf("after %d rounds: %v", before, err)
		}
		cancel()
		longest = max(longest, time.Since(began))
		workers[i] = startWorker(t, name)
	}
	for _, c := range workers {
		c.kill(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 { // the second reader must not need repair any more
		if err := w.round(ctx); err != nil {
			t.Fatal(err)
		}
	}
	a, acks := w.a.Load(), w.acks.Load()
	if a < acks || a > acks+uint64(kills+len(workers)) {
		t.Errorf("%d rounds were begun and %d finished, with %d processes killed", a, acks, kills+len(workers))
	}
	if _, err := s.Participants(); err != nil {
		t.Error(err)
	}
	if free := w.sem.Free(); free != permits {
		t.Errorf("%d permits are left of %d", free, permits)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := shm.Stat(name); err == nil {
		t.Error("the last one out left the segment behind")
	}
	t.Logf("%d kills, %d rounds; the longest round after one took %v", kills, a, longest)
}

// worker is a process at work.
type worker struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startWorker(t *testing.T, name string) *worker {
	t.Helper()
	return start(t, testenv.Child{Name: "shm.worker", Env: []string{nameVar + "=" + name}}, "at work")
}

// start starts a child and waits for what it says first.
func start(t *testing.T, c testenv.Child, want string) *worker {
	t.Helper()
	cmd := c.Command(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{cmd, bufio.NewScanner(out)}
	if !w.out.Scan() || w.out.Text() != want {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("the child says %q: %v", w.out.Text(), w.out.Err())
	}
	return w
}

// kill kills, and fails the test if the child has failed before.
func (w *worker) kill(t *testing.T) {
	t.Helper()
	w.cmd.Process.Kill()
	for w.out.Scan() {
		if line := w.out.Text(); len(line) > 6 && line[:6] == "FAILED" {
			t.Error(line)
		}
	}
	w.cmd.Wait()
}

var _ = testenv.Register("shm.holder", func() {
	s, err := shm.Open(os.Getenv(nameVar), shm.Options{})
	if err != nil {
		childFails(err)
	}
	w, err := join(s)
	if err != nil {
		childFails(err)
	}
	ctx := context.Background()
	if err := errors.Join(w.mutex.Lock(ctx), w.rw.RLock(ctx), w.sem.Acquire(ctx, permits)); err != nil {
		childFails(err)
	}
	w.a.Add(1)
	fmt.Println("holding")
	select {}
})

// TestOwnerKilledWakesAll: whoever waits for a lock, a reader or a permit of a
// process goes on when it is killed, all of them at once, and one is told.
func TestOwnerKilledWakesAll(t *testing.T) {
	need(t)
	name := ours(t)
	s, err := shm.Create(name, 1<<16, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for range 5 {
		if _, err := join(s); err != nil {
			t.Fatal(err)
		}
		holder := start(t, testenv.Child{Name: "shm.holder", Env: []string{nameVar + "=" + name}}, "holding")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		const waiters = 4
		results := make(chan error, 3*waiters)
		var told atomic.Int32
		for range waiters {
			o, err := shm.Open(name, shm.Options{}) // a participant of its own
			if err != nil {
				t.Fatal(err)
			}
			w, err := join(o)
			if err != nil {
				t.Fatal(err)
			}
			var left sync.WaitGroup
			left.Go(func() {
				err := w.mutex.Lock(ctx)
				if errors.Is(err, shmsync.ErrOwnerDied) {
					told.Add(1)
					w.b.Store(w.a.Load())
					err = w.mutex.MarkConsistent()
				}
				results <- errors.Join(err, w.mutex.Unlock())
			})
			left.Go(func() { results <- errors.Join(w.rw.Lock(ctx), w.rw.Unlock()) })
			left.Go(func() { results <- errors.Join(w.sem.Acquire(ctx, 1), w.sem.Release(1)) })
			go func() {
				left.Wait()
				results <- o.Close()
			}()
		}
		time.Sleep(20 * time.Millisecond)
		if n := len(results); n > 0 {
			t.Errorf("%d came through while the owner lived", n)
		}
		began := time.Now()
		holder.kill(t)
		for range 4 * waiters {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		longest = max(longest, time.Since(began))
		cancel()
		if n := told.Load(); n != 1 {
			t.Errorf("%d were told of the death, want 1", n)
		}
	}
	t.Logf("all %d were through %v after the kill, at most", 4*3, longest)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

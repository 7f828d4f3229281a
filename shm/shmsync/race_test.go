package shmsync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// need skips the test where a process can't sleep on a word.
func need(t testing.TB) {
	t.Helper()
	if _, err := word.Sleep(0, word.Wait{Word: new(word.U32)}); errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
}

// must returns v.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// crowd runs f on several goroutines of several participants at once.
func crowd(s []*shmsync.Space, goroutines int, f func(s *shmsync.Space, i int) error) error {
	errs := make(chan error, len(s)*goroutines)
	var all sync.WaitGroup
	for _, s := range s {
		for i := range goroutines {
			all.Go(func() { errs <- f(s, i) })
		}
	}
	all.Wait()
	close(errs)
	var first error
	for err := range errs {
		first = errors.Join(first, err)
	}
	return first
}

// participants are n of them on one memory of the heap, which the race detector
// watches: what a lock guards is an ordinary variable in these tests.
func participants(t *testing.T, n, size int) (*fleet.Fleet, []*shmsync.Space) {
	need(t)
	f := fleet.New(t, n, size)
	var s []*shmsync.Space
	for i := range n {
		s = append(s, f.Join(i))
	}
	return f, s
}

func TestMutexExcludes(t *testing.T) {
	_, s := participants(t, 3, 64)
	sum := 0
	err := crowd(s, 4, func(s *shmsync.Space, i int) error {
		mu, err := s.Mutex(fleet.Data)
		for n := 0; n < 2000 && err == nil; n++ {
			if err = mu.Lock(context.Background()); err == nil {
				sum++
				err = mu.Unlock()
			}
		}
		return err
	})
	if sum != 3*4*2000 || err != nil {
		t.Errorf("the sum is %d: %v", sum, err)
	}
}

// TestMutexWithinAProcess: one goroutine waits for another of the same process.
func TestMutexWithinAProcess(t *testing.T) {
	_, s := participants(t, 1, 64)
	mu := must(s[0].Mutex(fleet.Data))
	const rounds = 20
	late := 0 // woken by nobody: a wait looks again by itself only after Rearm
	for range rounds {
		if err := mu.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), shmsync.Rearm*4/5)
			defer cancel()
			err := mu.Lock(ctx)
			if err == nil {
				err = mu.Unlock()
			}
			got <- err
		}()
		time.Sleep(time.Millisecond)
		if err := mu.Unlock(); err != nil {
			t.Fatal(err)
		}
		switch err := <-got; {
		case errors.Is(err, context.DeadlineExceeded):
			late++ // as a busy machine may have it now and then
		case err != nil:
			t.Fatal(err)
		}
	}
	if late > rounds/2 {
		t.Errorf("an Unlock did not wake who waits in its own process, %d times of %d", late, rounds)
	}
}

// TestMutexGivesUp has most waits end by their context, at any moment.
func TestMutexGivesUp(t *testing.T) {
	_, s := participants(t, 3, 64)
	sum, want := 0, 0
	var count sync.Mutex // guards want
	err := crowd(s, 4, func(s *shmsync.Space, i int) error {
		mu, err := s.Mutex(fleet.Data)
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		for range 300 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(200))*time.Microsecond)
			switch err = mu.Lock(ctx); {
			case err == nil:
				sum++
				time.Sleep(20 * time.Microsecond)
				err = mu.Unlock()
				count.Lock()
				want++
				count.Unlock()
			case errors.Is(err, context.DeadlineExceeded):
				err = nil
			}
			cancel()
			if err != nil {
				break
			}
		}
		return err
	})
	if sum != want || err != nil {
		t.Errorf("the sum is %d, want %d: %v", sum, want, err)
	}
	if err := must(s[0].Mutex(fleet.Data)).TryLock(); err != nil {
		t.Errorf("in the end: %v", err)
	}
}

func TestRWMutexExcludes(t *testing.T) {
	_, s := participants(t, 3, 256)
	a, b := 0, 0
	err := crowd(s, 4, func(s *shmsync.Space, i int) error {
		rw, err := s.RWMutex(fleet.Data)
		for n := 0; n < 500 && err == nil; n++ {
			if i == 0 {
				if err = rw.Lock(context.Background()); err == nil {
					a++
					b++
					err = rw.Unlock()
				}
				continue
			}
			if err = rw.RLock(context.Background()); err == nil {
				if a != b {
					err = fmt.Errorf("a reader sees %d and %d", a, b)
				}
				err = errors.Join(err, rw.RUnlock())
			}
		}
		return err
	})
	if a != 3*500 || err != nil {
		t.Errorf("%d writes: %v", a, err)
	}
}

func TestSemaphoreBounds(t *testing.T) {
	_, s := participants(t, 3, 256)
	var out struct {
		sync.Mutex
		n, most int
	}
	err := crowd(s, 4, func(s *shmsync.Space, i int) error {
		sem, err := s.Semaphore(fleet.Data, 3)
		for k := 0; k < 300 && err == nil; k++ {
			n := 1 + (i+k)%3
			if err = sem.Acquire(context.Background(), n); err != nil {
				break
			}
			out.Lock()
			out.n += n
			out.most = max(out.most, out.n)
			out.Unlock()
			out.Lock()
			out.n -= n
			out.Unlock()
			err = sem.Release(n)
		}
		return err
	})
	if out.most > 3 || err != nil {
		t.Errorf("%d permits were out: %v", out.most, err)
	}
	if free := must(s[0].Semaphore(fleet.Data, 3)).Free(); free != 3 {
		t.Errorf("%d are left of 3", free)
	}
}

// TestTryAcquireDoesNotWait: a peer that was stopped while it holds the semaphore's
// own lock keeps no Try waiting.
func TestTryAcquireDoesNotWait(t *testing.T) {
	_, s := participants(t, 2, 256)
	sem := must(s[1].Semaphore(fleet.Data, 1))
	stopped := must(s[0].Mutex(fleet.Data))
	if err := stopped.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(5*time.Second, s[1].Close).Stop() // ends one that waits
	if err := sem.TryAcquire(1); !errors.Is(err, shmsync.ErrLocked) {
		t.Errorf("while a peer is stopped: %v", err)
	}
	if err := errors.Join(stopped.Unlock(), sem.TryAcquire(1)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestTryAcquireRepairs: a peer that has died there keeps nobody out.
func TestTryAcquireRepairs(t *testing.T) {
	f, s := participants(t, 2, 256)
	if err := must(s[0].Mutex(fleet.Data)).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Kill(0)
	sem := must(s[1].Semaphore(fleet.Data, 1))
	if err := sem.TryAcquire(1); err != nil {
		t.Error(err)
	}
	if err := sem.Release(1); err != nil {
		t.Error(err)
	}
}

func TestEventWakesAll(t *testing.T) {
	_, s := participants(t, 3, 64)
	const rounds = 200
	// Each round ends when all have seen it: a wake-up that got lost takes 250 ms.
	var seen sync.WaitGroup
	began := time.Now()
	for range rounds {
		g := must(s[0].Event(fleet.Data)).Generation()
		for _, s := range s {
			for range 2 {
				seen.Go(func() {
					if err := must(s.Event(fleet.Data)).Wait(context.Background(), g); err != nil {
						t.Error(err)
					}
				})
			}
		}
		if err := must(s[1].Event(fleet.Data)).Signal(); err != nil {
			t.Error(err)
		}
		seen.Wait()
	}
	t.Logf("%d rounds in %v", rounds, time.Since(began))
}

func TestSnapshotIsWhole(t *testing.T) {
	type value struct {
		N    uint64
		Text [57]byte
	}
	f, s := participants(t, 2, 4096)
	readers := []*shmsync.Space{s[1], f.Reader()}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for _, r := range readers {
		all.Go(func() {
			snap := must(shmsync.SnapshotOf[value](r, fleet.Data))
			var last uint64
			for {
				v, version, err := snap.Load()
				if errors.Is(err, shmsync.ErrOvertaken) {
					continue
				}
				if err != nil || version < last || v.N != version {
					t.Errorf("version %d after %d holds %d: %v", version, last, v.N, err)
					return
				}
				for _, c := range v.Text {
					if version > 0 && c != byte(version) {
						t.Errorf("version %d is torn: %v", version, v)
						return
					}
				}
				last = version
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	snap := must(shmsync.SnapshotOf[value](s[0], fleet.Data))
	for n := range uint64(5000) {
		v := value{N: n + 1}
		for i := range v.Text {
			v.Text[i] = byte(n + 1)
		}
		if err := snap.Store(t.Context(), v); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
	if err := must(shmsync.SnapshotOf[value](readers[1], fleet.Data)).Store(t.Context(), value{}); !errors.Is(err, shmsync.ErrNoParticipant) {
		t.Errorf("one who only reads stores: %v", err)
	}
}

// TestDeathWakesAll is what the models do, with real sleeps: all who wait
// for a dead owner go on, and one is told.
func TestDeathWakesAll(t *testing.T) {
	f, s := participants(t, 5, 256)
	if err := must(s[0].Mutex(fleet.Data)).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 8)
	var all sync.WaitGroup
	for _, s := range s[1:] {
		all.Go(func() {
			mu := must(s.Mutex(fleet.Data))
			err := mu.Lock(context.Background())
			if err != nil {
				told <- err
				err = mu.MarkConsistent()
			}
			if err := errors.Join(err, mu.Unlock()); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	f.Mark(0)
	time.Sleep(5 * time.Millisecond)
	if len(told) > 0 {
		t.Error("repaired while threads of the dead process may still run")
	}
	f.Release(0)
	all.Wait()
	if len(told) != 1 || !errors.Is(<-told, shmsync.ErrOwnerDied) {
		t.Errorf("%d were told", len(told)+1)
	}
}

// TestMarkThatNeverCame: the kernel's mark is lost, as where the list of a process
// was cut short. The death is noticed all the same.
func TestMarkThatNeverCame(t *testing.T) {
	f, s := participants(t, 2, 64)
	if err := must(s[0].Mutex(fleet.Data)).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Release(0)
	if err := must(s[1].Mutex(fleet.Data)).Lock(t.Context()); !errors.Is(err, shmsync.ErrOwnerDied) {
		t.Error(err)
	}
}

func TestCloseEndsWaits(t *testing.T) {
	_, s := participants(t, 2, 1024)
	ctx := context.Background()
	err := errors.Join(must(s[0].Mutex(fleet.Data)).Lock(ctx), must(s[0].RWMutex(fleet.Data+64)).Lock(ctx),
		must(s[0].Semaphore(fleet.Data+256, 1)).Acquire(ctx, 1))
	if err != nil {
		t.Fatal(err)
	}
	waits := []func() error{
		func() error { return must(s[1].Mutex(fleet.Data)).Lock(ctx) },
		func() error { return must(s[1].RWMutex(fleet.Data + 64)).Lock(ctx) },
		func() error { return must(s[1].RWMutex(fleet.Data + 64)).RLock(ctx) },
		func() error { return must(s[1].Semaphore(fleet.Data+256, 1)).Acquire(ctx, 1) },
		func() error { return must(s[1].Event(fleet.Data+512)).Wait(ctx, 0) },
	}
	got := make(chan error, 2*len(waits))
	for _, wait := range waits {
		for range 2 { // one in the kernel, one in the queue
			go func() { got <- wait() }()
		}
	}
	time.Sleep(10 * time.Millisecond)
	s[1].Close()
	for range 2 * len(waits) {
		if err := <-got; !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	}
	for i, wait := range waits[:4] {
		if err := wait(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%d, afterwards: %v", i, err)
		}
	}
}

func TestContextEndsWaits(t *testing.T) {
	_, s := participants(t, 2, 1024)
	ctx, cancel := context.WithCancel(t.Context())
	err := errors.Join(must(s[0].Mutex(fleet.Data)).Lock(ctx), must(s[0].RWMutex(fleet.Data+64)).RLock(ctx),
		must(s[0].Semaphore(fleet.Data+256, 1)).Acquire(ctx, 1))
	if err != nil {
		t.Fatal(err)
	}
	waits := []func() error{
		func() error { return must(s[1].Mutex(fleet.Data)).Lock(ctx) },
		func() error { return must(s[1].RWMutex(fleet.Data + 64)).Lock(ctx) },
		func() error { return must(s[1].Semaphore(fleet.Data+256, 1)).Acquire(ctx, 1) },
		func() error { return must(s[1].Event(fleet.Data+512)).Wait(ctx, 0) },
	}
	got := make(chan error, 2*len(waits))
	for _, wait := range waits {
		for range 2 {
			go func() { got <- wait() }()
		}
	}
	time.Sleep(10 * time.Millisecond)
	cancel()
	for range 2 * len(waits) {
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	// A writer who gave up lets readers in again.
	if err := must(s[1].RWMutex(fleet.Data + 64)).RLock(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestSleeperIsForgotten: a Space keeps no Sleeper that does not sleep, however
// many were made.
func TestSleeperIsForgotten(t *testing.T) {
	_, s := participants(t, 1, 64)
	w := must(s[0].Word32(fleet.Data))
	sl := s[0].NewSleeper()
	if err := sl.Sleep(t.Context(), 0, w, 1); err != nil { // it does not hold 1: over at once
		t.Fatal(err)
	}
	kept := weak.Make(sl)
	runtime.GC()
	if kept.Value() != nil {
		t.Error("it is known still")
	}
	runtime.KeepAlive(s[0])
}

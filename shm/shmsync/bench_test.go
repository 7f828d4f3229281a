package shmsync_test

import (
	"context"
	"sync"
	"testing"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/shm/shmsync"
)

// The lock that nobody else wants: lock and unlock, in one goroutine.
func BenchmarkUncontended(b *testing.B) {
	b.Run("shmsync.Mutex", func(b *testing.B) {
		s := fleet.New(b, 1, 64).Join(0)
		mu, ctx := must(s.Mutex(fleet.Data)), context.Background()
		n := 0
		for b.Loop() {
			mu.Lock(ctx)
			n++
			mu.Unlock()
		}
	})
	b.Run("shmsync.Mutex, guarded", func(b *testing.B) {
		f := fleet.New(b, 1, 64)
		s := must(shmsync.NewSpace(shmsync.Memory{Bytes: f.Bytes(), Slots: 1,
			Held: func(int) (bool, error) { return true, nil }, Lost: func(int64) error { return nil }}))
		if err := s.Join(0); err != nil {
			b.Fatal(err)
		}
		mu, ctx := must(s.Mutex(fleet.Data)), context.Background()
		n := 0
		for b.Loop() {
			mu.Lock(ctx)
			n++
			mu.Unlock()
		}
	})
	b.Run("sync.Mutex", func(b *testing.B) {
		var mu sync.Mutex
		n := 0
		for b.Loop() {
			mu.Lock()
			n++
			mu.Unlock()
		}
	})
	b.Run("shmsync.RWMutex.RLock", func(b *testing.B) {
		s := fleet.New(b, 1, 256).Join(0)
		rw, ctx := must(s.RWMutex(fleet.Data)), context.Background()
		for b.Loop() {
			rw.RLock(ctx)
			rw.RUnlock()
		}
	})
	b.Run("shmsync.Semaphore", func(b *testing.B) {
		s := fleet.New(b, 64, 1024).Join(0)
		sem, ctx := must(s.Semaphore(fleet.Data, 2)), context.Background()
		for b.Loop() {
			sem.Acquire(ctx, 1)
			sem.Release(1)
		}
	})
	b.Run("shmsync.Snapshot.Load", func(b *testing.B) {
		s := fleet.New(b, 1, 1024).Join(0)
		snap := must(shmsync.SnapshotOf[[4]uint64](s, fleet.Data))
		if err := snap.Store(context.Background(), [4]uint64{1, 2, 3, 4}); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			snap.Load()
		}
	})
}

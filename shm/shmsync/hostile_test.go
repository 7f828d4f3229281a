package shmsync_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// everything calls whatever there is on memory that anybody may have written to.
// What comes back does not matter, only that it comes back.
func everything(s *shmsync.Space) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	for slot := range s.Slots() {
		s.Examine(s.Attached(slot))
	}
	s.Participants()
	if mu, err := s.Mutex(fleet.Data); err == nil {
		mu.TryLock()
		mu.Lock(ctx)
		mu.MarkConsistent()
		mu.Unlock()
	}
	if rw, err := s.RWMutex(fleet.Data + 64); err == nil {
		rw.TryRLock()
		rw.RLock(ctx)
		rw.RUnlock()
		rw.TryLock()
		rw.Lock(ctx)
		rw.MarkConsistent()
		rw.Unlock()
	}
	if sem, err := s.Semaphore(fleet.Data+256, 3); err == nil {
		sem.Free()
		sem.TryAcquire(1)
		sem.Acquire(ctx, 2)
		sem.Release(3)
	}
	if ev, err := s.Event(fleet.Data + 512); err == nil {
		ev.Wait(ctx, ev.Generation())
		ev.Signal()
	}
	if snap, err := shmsync.SnapshotOf[[5]uint32](s, fleet.Data+576); err == nil {
		snap.Load()
		snap.Store(ctx, [5]uint32{})
	}
}

const hostileBytes = 1024

// FuzzHostile puts any bytes under the locks, and any into the table.
func FuzzHostile(f *testing.F) {
	need(f)
	f.Add([]byte{}, []byte{})
	for _, w := range []uint64{1 << 31, 1 << 30, 1 << 29, 3<<30 | 1, 7<<29 | 1<<32 | 1, 1<<32 | 1, 1<<54 - 1, ^uint64(0)} {
		f.Add(binary.NativeEndian.AppendUint64(nil, w), binary.NativeEndian.AppendUint64(nil, w))
	}
	f.Fuzz(func(t *testing.T, locks, table []byte) {
		m := fleet.New(t, 4, hostileBytes)
		s := m.Join(1)
		for i := range hostileBytes {
			if len(locks) > 0 {
				m.Bytes()[fleet.Data+i] = locks[i%len(locks)]
			}
		}
		copy(m.Bytes(), table)
		everything(s)
	})
}

// TestHostilePeer has somebody write random words everywhere while the locks are
// in use.
func TestHostilePeer(t *testing.T) {
	need(t)
	seed := testenv.Seed(t)
	m := fleet.New(t, 4, hostileBytes)
	s, peer := m.Join(1), m.Join(2)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 1))
		bits := []uint64{0, 1, 2, 3, 1 << 29, 1 << 30, 1 << 31, 1 << 32, 2 << 32, 1 << 54}
		for {
			select {
			case <-stop:
				return
			default:
			}
			off := rng.Int64N(int64(fleet.Data+hostileBytes)/8) * 8
			if off > 256 && off < fleet.Data {
				continue // nothing is there
			}
			w := rng.Uint64()
			if rng.IntN(3) > 0 {
				w = 0
				for range 3 {
					w |= bits[rng.IntN(len(bits))]
				}
			}
			p := must(s.Word64(off))
			p.Store(w)
			word.Wake(p.Low(), 1)
			if rng.IntN(100) == 0 {
				time.Sleep(10 * time.Microsecond)
			}
		}
	})
	for _, who := range []*shmsync.Space{s, peer, m.Reader()} {
		all.Go(func() {
			for range 40 {
				everything(who)
			}
		})
	}
	go func() {
		time.Sleep(300 * time.Millisecond)
		close(stop)
	}()
	all.Wait()
}

func TestMisuse(t *testing.T) {
	_, s := participants(t, 2, 1024)
	mu := must(s[0].Mutex(fleet.Data))
	rw := must(s[0].RWMutex(fleet.Data + 64))
	sem := must(s[0].Semaphore(fleet.Data+256, 2))
	if err := must(s[1].Mutex(fleet.Data)).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, err := range []error{mu.Unlock(), mu.MarkConsistent(), rw.Unlock(), rw.RUnlock(), sem.Release(1)} {
		if !errors.Is(err, shmsync.ErrNotOwner) {
			t.Errorf("%d: what is not held is given back: %v", i, err)
		}
	}
	if again := must(s[0].Mutex(fleet.Data)); again != mu {
		t.Error("two of one lock in one process: each would have its own waiter")
	}
	if _, err := s[0].Event(fleet.Data); err == nil {
		t.Error("a mutex is an event too")
	}
	if _, err := s[0].Semaphore(fleet.Data+256, 3); err == nil {
		t.Error("a semaphore has two numbers of permits")
	}
	for _, off := range []int64{-8, 4, 1 << 40, int64(s[0].Size()), int64(s[0].Size()) - 4} {
		if _, err := s[0].Mutex(off); err == nil {
			t.Errorf("a mutex at %d of %d", off, s[0].Size())
		}
	}
	if _, err := shmsync.SnapshotOf[*int](s[0], fleet.Data+512); err == nil {
		t.Error("a snapshot of a pointer")
	}
}

// TestSlotUsedUp: a slot's last epoch is not followed by its first.
func TestSlotUsedUp(t *testing.T) {
	need(t)
	f := fleet.New(t, 1, 64)
	const last = 1<<22 - 1
	binary.NativeEndian.PutUint32(f.Bytes()[4:], (last-1)<<2)
	s := f.Join(0)
	if got := s.Self().String(); got != "0.4194303" {
		t.Errorf("the last participant is %s", got)
	}
	s.Leave()
	again := must(shmsync.NewSpace(shmsync.Memory{Bytes: f.Bytes(), Slots: 1}))
	if err := again.Join(0); !errors.Is(err, shmsync.ErrSlotUsedUp) {
		t.Errorf("one more: %v", err)
	}
}

// TestDamage: a word that no lock ever has is an error of every call.
func TestDamage(t *testing.T) {
	_, s := participants(t, 2, 1024)
	mu, rw := must(s[0].Mutex(fleet.Data)), must(s[0].RWMutex(fleet.Data+64))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, w := range []uint64{1 << 10, 1 << 28, 1<<54 | 1, 1<<32 | 5, 1 << 31, 1<<31 | 1<<30, 1 << 32, 3 << 29,
		1<<32 | 1<<29 | 1, 1<<32 | 5<<29 | 1, 1<<32 | 1<<29 | 2} {
		must(s[1].Word64(fleet.Data)).Store(w)
		must(s[1].Word64(fleet.Data + 64)).Store(w)
		for i, err := range []error{mu.TryLock(), mu.Lock(ctx), rw.TryLock(), rw.Lock(ctx)} {
			if !errors.Is(err, shmsync.ErrDamaged) {
				t.Fatalf("%#x, call %d: %v", w, i, err)
			}
		}
		if err := rw.RLock(ctx); !errors.Is(err, shmsync.ErrDamaged) && !errors.Is(err, shmsync.ErrNeedsRepair) {
			t.Errorf("%#x, a reader: %v", w, err)
		}
	}
}

// TestTryThatCanNotWait: where a lock would not wait but fail, a Try fails in the same
// way and says nothing of a lock that is taken, which is worth another try.
func TestTryThatCanNotWait(t *testing.T) {
	f, s := participants(t, 3, 1024)
	rw := must(s[0].RWMutex(fleet.Data + 64))
	if err := must(s[1].RWMutex(fleet.Data + 64)).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Kill(1)
	if err := rw.TryRLock(); !errors.Is(err, shmsync.ErrNeedsRepair) || errors.Is(err, shmsync.ErrLocked) {
		t.Errorf("after a writer died: %v", err)
	}
	if err := rw.Lock(t.Context()); !errors.Is(err, shmsync.ErrOwnerDied) {
		t.Fatal(err)
	}
	if err := rw.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := rw.TryRLock(); !errors.Is(err, shmsync.ErrNotRecoverable) || errors.Is(err, shmsync.ErrLocked) {
		t.Errorf("of a broken lock: %v", err)
	}
	must(s[2].Word64(fleet.Data + 64)).Store(1 << 10)
	if err := rw.TryRLock(); !errors.Is(err, shmsync.ErrDamaged) || errors.Is(err, shmsync.ErrLocked) {
		t.Errorf("of no lock: %v", err)
	}

	// The kernel does not tell who lives.
	blind := must(shmsync.NewSpace(shmsync.Memory{
		Bytes: f.Bytes(), Slots: 3,
		Held: func(int) (bool, error) { return false, errBlind },
	}))
	if err := blind.Join(1); err != nil {
		t.Fatal(err)
	}
	must(s[2].Word64(fleet.Data + 64)).Store(0)
	if err := errors.Join(must(s[2].Mutex(fleet.Data)).Lock(t.Context()), must(s[2].RWMutex(fleet.Data+64)).Lock(t.Context())); err != nil {
		t.Fatal(err)
	}
	f.Mark(2)
	mu := must(blind.Mutex(fleet.Data))
	rw = must(blind.RWMutex(fleet.Data + 64))
	for i, err := range []error{mu.TryLock(), rw.TryLock(), rw.TryRLock()} {
		if !errors.Is(err, errBlind) || errors.Is(err, shmsync.ErrLocked) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

var errBlind = errors.New("nobody knows")

// TestSlotIsInherited: what the dead one in a slot had is not the next one's.
func TestSlotIsInherited(t *testing.T) {
	f, s := participants(t, 2, 1024)
	rw, sem := must(s[0].RWMutex(fleet.Data)), must(s[0].Semaphore(fleet.Data+256, 2))
	if err := errors.Join(rw.RLock(t.Context()), rw.RLock(t.Context()), sem.Acquire(t.Context(), 1)); err != nil {
		t.Fatal(err)
	}
	f.Kill(0)
	next := f.Join(0)
	rw, sem = must(next.RWMutex(fleet.Data)), must(next.Semaphore(fleet.Data+256, 2))
	if err := errors.Join(rw.RLock(t.Context()), rw.RUnlock()); err != nil {
		t.Error(err)
	}
	if err := rw.RUnlock(); !errors.Is(err, shmsync.ErrNotOwner) {
		t.Errorf("a reader gives back what the dead one had: %v", err)
	}
	if err := must(s[1].RWMutex(fleet.Data)).TryLock(); err != nil {
		t.Errorf("a writer waits for a dead reader: %v", err)
	}
	if err := sem.Acquire(t.Context(), 1); err != nil || sem.Free() != 1 {
		t.Errorf("%d permits are left of 2 after one was taken: %v", sem.Free(), err)
	}
}

// TestWriterGivesUpARepair: one who took over from a dead writer, and gave up
// waiting for a reader, leaves the repair to the next.
func TestWriterGivesUpARepair(t *testing.T) {
	f, s := participants(t, 3, 1024)
	var rw [3]*shmsync.RWMutex
	for i := range rw {
		rw[i] = must(s[i].RWMutex(fleet.Data))
	}
	if err := rw[2].RLock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- rw[0].Lock(ctx) }() // dies while it waits for the reader
	for !errors.Is(rw[1].TryRLock(), shmsync.ErrLocked) {
		if err := rw[1].RUnlock(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	f.Kill(0)
	short, cancelShort := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelShort()
	if err := rw[1].Lock(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a writer beside a reader: %v", err)
	}
	cancel()
	<-gone
	if err := rw[1].RLock(t.Context()); !errors.Is(err, shmsync.ErrNeedsRepair) {
		t.Errorf("a reader before the repair: %v", err)
	}
	if err := rw[2].RUnlock(); err != nil {
		t.Error(err)
	}
	if err := rw[1].Lock(t.Context()); !errors.Is(err, shmsync.ErrOwnerDied) {
		t.Errorf("the next writer: %v", err)
	}
	if err := errors.Join(rw[1].MarkConsistent(), rw[1].Unlock(), rw[2].RLock(t.Context())); err != nil {
		t.Error(err)
	}
}

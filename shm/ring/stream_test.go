package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/testenv"
)

// newStreamPair is both sides of a stream of n bytes, each of a participant of its own.
func newStreamPair(t testing.TB, n int) (*harbour, *StreamWriter, *StreamReader) {
	t.Helper()
	size, err := StreamSize(n)
	if err != nil {
		t.Fatal(err)
	}
	h := newHarbour(t, size)
	a, err := CreateStream(h.join(), fleet.Data, n)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenStream(h.join(), fleet.Data)
	if err != nil {
		t.Fatal(err)
	}
	w, err := a.Writer()
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Reader()
	if err != nil {
		t.Fatal(err)
	}
	return h, w, r
}

func TestStreamBoundaries(t *testing.T) {
	_, w, r := newStreamPair(t, 64)
	if _, err := r.TryNext(1); err != ErrEmpty {
		t.Fatalf("nothing was written: %v", err)
	}
	b, err := w.TryReserve(100)
	if len(b) != 64 || cap(b) != 64 || err != nil {
		t.Fatalf("%d bytes are free (room %d), %v", len(b), cap(b), err)
	}
	copy(b, "abcdefgh")
	if err := w.Commit(65); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a commit of more than was reserved: %v", err)
	}
	if err := w.Commit(8); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a second commit of one reservation: %v", err)
	}
	for _, want := range []string{"abc", "def", "gh"} {
		b, err := r.TryNext(3)
		if string(b) != want || err != nil {
			t.Fatalf("read %q, %v", b, err)
		}
		if again, _ := r.TryNext(3); string(again) != want {
			t.Fatalf("what was not released is read again as %q", again)
		}
		if err := r.Release(len(b)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = w.TryReserve(64); len(b) != 56 || err != nil {
		t.Fatalf("%d bytes lie together before the end, %v", len(b), err)
	}
	if err := w.Commit(56); err != nil {
		t.Fatal(err)
	}
	if b, err = w.TryReserve(64); len(b) != 8 || err != nil {
		t.Fatalf("%d bytes are free at the beginning, %v", len(b), err)
	}
	if err := w.Commit(8); err != nil {
		t.Fatal(err)
	}
	if _, err := w.TryReserve(1); err != ErrFull {
		t.Errorf("64 of 64 bytes are on their way: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.TryReserve(1); err != fs.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	got, err := readAll(t, r)
	if len(got) != 64 || err != io.EOF {
		t.Errorf("%d bytes before the end, then %v", len(got), err)
	}
}

func readAll(t *testing.T, r *StreamReader) (all []byte, err error) {
	p := make([]byte, 17)
	for {
		n, err := r.Read(t.Context(), p)
		all = append(all, p[:n]...)
		if err != nil {
			return all, err
		}
	}
}

func TestStreamSidesAreTakenOnce(t *testing.T) {
	h, w, r := newStreamPair(t, 64)
	s, err := OpenStream(h.join(), fleet.Data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Writer(); err != ErrTaken {
		t.Errorf("a second writer: %v", err)
	}
	if _, err := s.Reader(); err != ErrTaken {
		t.Errorf("a second reader: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.TryReserve(1); err != nil {
		t.Errorf("room known before may still be handed out, and fails when it is used up: %v", err)
	}
	if closed, err := w.ReaderClosed(); !closed || err != nil {
		t.Errorf("the reader has closed, and a look at it says %v, %v", closed, err)
	}
	if _, err := w.Write(t.Context(), make([]byte, 1)); err != io.ErrClosedPipe {
		t.Errorf("the reader has closed: %v", err)
	}
}

// TestStreamSizeBounds: the longest that an int can hold is no size either.
func TestStreamSizeBounds(t *testing.T) {
	for _, n := range []int{math.MinInt, -64, 0, 63, 65, 100, math.MaxInt / 64 * 64, math.MaxInt - streamHeader + 1} {
		if size, err := StreamSize(n); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("a stream of %d bytes takes %d: %v", n, size, err)
		}
	}
	for _, n := range []int{64, 192, 1 << 30} {
		if size, err := StreamSize(n); err != nil || size != streamHeader+n {
			t.Errorf("a stream of %d bytes takes %d: %v", n, size, err)
		}
	}
}

// TestStreamCarriesEverything sends random pieces through a small stream while
// the other side sleeps and wakes.
func TestStreamCarriesEverything(t *testing.T) {
	needsFutex(t)
	for _, n := range []int{192, 256} {
		t.Run(fmt.Sprint(n, " bytes"), func(t *testing.T) { carryEverything(t, n) })
	}
}

func carryEverything(t *testing.T, n int) {
	_, w, r := newStreamPair(t, n)
	sent := make([]byte, 1<<18)
	random := rand.New(rand.NewChaCha8([32]byte{byte(testenv.Seed(t))}))
	for i := range sent {
		sent[i] = byte(random.Uint32())
	}
	failed := make(chan error, 1)
	go func() {
		for p := sent; len(p) > 0; {
			n := min(len(p), 1+random.IntN(600))
			if _, err := w.Write(t.Context(), p[:n]); err != nil {
				failed <- err
				return
			}
			p = p[n:]
		}
		err := w.Close()
		if _, e := w.Notify(); e != nil {
			err = e
		}
		failed <- err
	}()
	got, err := readAll(t, r)
	if err != io.EOF || !bytes.Equal(got, sent) {
		t.Errorf("read %d bytes of %d (equal: %v), then %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func needsFutex(t *testing.T) {
	t.Helper()
	_, w, _ := newStreamPair(t, 64)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for err := error(nil); err == nil; _, err = w.Write(ctx, []byte{0}) {
		if errors.Is(err, errors.ErrUnsupported) {
			testenv.Skip(t, err.Error())
		}
	}
}

func TestStreamPeerDies(t *testing.T) {
	needsFutex(t)
	h, w, r := newStreamPair(t, 64)
	if _, err := w.Write(t.Context(), []byte("last")); err != nil {
		t.Fatal(err)
	}
	h.kill(w.space)
	if got, err := readAll(t, r); string(got) != "last" || err != io.ErrUnexpectedEOF {
		t.Errorf("read %q of a writer that died, then %v", got, err)
	}
	if alive, err := r.PeerAlive(); alive || err != nil {
		t.Errorf("it is alive: %v, %v", alive, err)
	}

	h, w, r = newStreamPair(t, 64)
	h.kill(r.space)
	if n, err := w.Write(t.Context(), make([]byte, 100)); n != 64 || err != io.ErrUnexpectedEOF {
		t.Errorf("%d bytes for a reader that died, then %v", n, err)
	}
}

func TestStreamWaitEndsWithItsContext(t *testing.T) {
	needsFutex(t)
	_, _, r := newStreamPair(t, 64)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for r.Armed() != WakeFutex {
			time.Sleep(time.Millisecond)
		}
		cancel(nil)
	}()
	if _, err := r.Read(ctx, make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read ended with %v", err)
	}
	if how := r.Armed(); how != WakeNone {
		t.Errorf("it still wants to be woken: %v", how)
	}
}

// TestStreamBell: who sleeps on something else is told once.
func TestStreamBell(t *testing.T) {
	_, w, r := newStreamPair(t, 64)
	notify := func(want bool) {
		t.Helper()
		if ring, err := w.Notify(); ring != want || err != nil {
			t.Errorf("ring the bell: %v, %v", ring, err)
		}
	}
	notify(false)
	r.Arm(WakeBell)
	notify(true)
	if how := r.Armed(); how != WakeNone {
		t.Errorf("armed as %v after the bell", how)
	}
	notify(false)
	r.Arm(WakeBell)
	r.Arm(WakeNone)
	notify(false)
}

// TestStreamHostilePositions: whatever the other side stores, calls fail or hand
// out bytes of the data.
func TestStreamHostilePositions(t *testing.T) {
	for _, bad := range []uint64{1 << 62, 65, ^uint64(0), closedBit | 65, closedBit - 1} {
		_, w, r := newStreamPair(t, 64)
		w.us.position.Store(bad)
		if _, err := r.TryNext(1); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %#x: %v", bad, err)
		}
		if _, err := r.Read(t.Context(), make([]byte, 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("tail %#x, after that: %v", bad, err)
		}
		_, w, r = newStreamPair(t, 64)
		r.us.position.Store(bad)
		if _, err := w.Write(t.Context(), make([]byte, 65)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("head %#x: %v", bad, err)
		}
	}
	h, w, r := newStreamPair(t, 64)
	if _, err := w.Write(t.Context(), []byte("abcd")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.TryNext(2); err != nil {
		t.Fatal(err)
	}
	w.us.position.Store(1)
	if _, err := r.TryNext(8); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a tail that goes back: %v", err)
	}
	for _, n := range []uint64{0, 63, 96, 128, 1 << 40, 1 << 63} {
		words(h.Bytes(), fleet.Data, 2)[1].Store(n)
		if _, err := OpenStream(h.join(), fleet.Data); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a stream of %d bytes in a place for 64: %v", n, err)
		}
	}
	words(h.Bytes(), fleet.Data, 2)[0].Store(0)
	if _, err := OpenStream(h.join(), fleet.Data); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no magic: %v", err)
	}
}

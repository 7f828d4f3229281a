package mmap_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// Every method of a closed mapping answers fs.ErrClosed, or nothing.
func TestAfterClose(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(pageSize)), mmap.Options{Access: mmap.ReadWrite}))
	r := m.NewReader()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1)
	fn := func([]byte) error { t.Error("fn ran"); return nil }
	second := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"Close":        m.Close(),
		"CloseContext": m.CloseContext(t.Context()),
		"View":         m.View(0, 1, fn),
		"WriteView":    m.WriteView(0, 1, fn),
		"ReadAt":       second(m.ReadAt(p, 0)),
		"WriteAt":      second(m.WriteAt(p, 0)),
		"WriteTo":      second(m.WriteTo(io.Discard)),
		"SendTo":       second(m.SendTo(io.Discard, 0, 1)),
		"File":         second(m.File()),
		"Sync":         m.Sync(),
		"SyncRange":    m.SyncRange(0, 1, mmap.SyncStart),
		"Protect":      m.Protect(0, 1, mmap.ProtRead),
		"Lock":         m.Lock(0, 1, mmap.LockNow),
		"Unlock":       m.Unlock(0, 1),
		"Advise":       m.Advise(0, 1, mmap.AdviseNormal),
		"Discard":      m.Discard(0, 1, mmap.PunchHole),
		"Populate":     m.Populate(t.Context(), 0, 1),
		"Residency":    second(m.Residency(0, 1)),
		"Resize":       m.Resize(1),
		"Slice":        second(mmap.Slice[byte](m, 0, 1)),
		"Reader.Read":  second(r.Read(p)),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		wantError(t, err, fs.ErrClosed)
	}
	for _, err := range m.ResidentRanges(0, 1) {
		wantError(t, err, fs.ErrClosed)
	}
	if addr, n := m.Span(); m.Bytes() != nil || m.Len() != 0 || m.Addr() != 0 || addr != 0 || n != 0 {
		t.Errorf("bytes %v, length %d at %#x, span %#x, %d", m.Bytes(), m.Len(), m.Addr(), addr, n)
	}
}

func TestCloseGivesTheMemoryBack(t *testing.T) {
	testenv.Need(t, proc)
	name := newFile(t, pattern(3*pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Reserve: 10 * pageSize}))
	if !mapped(t, name) {
		t.Fatal("the file is not in the process's maps")
	}
	m.Close()
	if mapped(t, name) {
		t.Error("the file is still mapped")
	}
}

func TestCloseInsideAView(t *testing.T) {
	name := newFile(t, pattern(10))
	a := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	b := hold(t)(mmap.Open(name))
	err := a.View(0, 10, func(p []byte) error {
		wantError(t, a.Close(), mmap.ErrBusy, "1 views are out")
		if p[0] != pattern(1)[0] {
			t.Error("the memory is gone")
		}
		return b.Close() // another mapping is no business of this view
	})
	if err != nil {
		t.Error(err)
	}
	err = a.WriteView(0, 10, func(p []byte) error {
		func() { defer func() { wantError(t, a.Close(), mmap.ErrBusy) }() }()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := a.WriteTo(writerFunc(func(p []byte) (int, error) { return len(p), nil })); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("after the views: %v", err)
	}
}

// A Close that is refused has kept nobody out meanwhile.
func TestRefusedCloseDisturbsNobody(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(pageSize))))
	stop, done := make(chan struct{}), make(chan error, 1)
	reads := atomic.Int64{}
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := m.ReadAt(make([]byte, 1), 0); err != nil {
				done <- err
				return
			}
			reads.Add(1)
		}
	}()
	err := m.View(0, 1, func([]byte) error {
		for i := 0; i < 1000 || reads.Load() < 1000 && len(done) == 0; i++ {
			if err := m.Close(); !errors.Is(err, mmap.ErrBusy) {
				return err
			}
		}
		return nil
	})
	close(stop)
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
}

// waiting waits until a Close has begun: from then on accesses are refused.
func waiting(t *testing.T, m *mmap.Mapping) {
	t.Helper()
	for {
		if _, err := m.ReadAt(make([]byte, 1), 0); errors.Is(err, fs.ErrClosed) {
			return
		}
		runtime.Gosched()
	}
}

// Close waits for a view, and whoever is inside that view and wants the mapping
// for itself gets an answer: otherwise both would wait for ever.
func TestCloseWaitsForViews(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(pageSize))))
	closed := make(chan error, 1)
	err := m.View(0, 10, func(p []byte) error {
		go func() { closed <- m.Close() }()
		waiting(t, m)
		time.Sleep(10 * time.Millisecond) // a Close that did not wait would be through
		wantBytes(t, "the view", p, pattern(10))
		wantError(t, m.Resize(5), mmap.ErrBusy)
		wantError(t, m.Close(), mmap.ErrBusy)
		wantError(t, m.View(0, 1, func([]byte) error { return nil }), fs.ErrClosed)
		select {
		case err := <-closed:
			t.Errorf("Close returned with a view out: %v", err)
		default:
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wantError(t, m.Close(), fs.ErrClosed)
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(pageSize))))
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	err := m.View(0, 10, func(p []byte) error {
		go func() { closed <- m.CloseContext(ctx) }()
		waiting(t, m)
		cancel()
		wantError(t, <-closed, context.Canceled, "views are out")
		_, err := m.ReadAt(make([]byte, 1), 0)
		return err // it is open again
	})
	if err != nil {
		t.Error(err)
	}
	leavesTheGateUsable(t, m)
}

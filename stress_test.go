package mmap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// stressPages is the length of the file; what lies from holePage on may be holed.
const stressPages, holePage = 16, 12

// stressTime is how long one stress lasts: make stress sets it to 10 s.
func stressTime(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("MMAP_STRESS")
	if s == "" {
		return 200 * time.Millisecond
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("MMAP_STRESS: %v", err)
	}
	return d
}

// A stressed mapping, with what one accessor of it needs.
type stressed struct {
	m    *mmap.Mapping
	want []byte
	rand *rand.Rand
	p    []byte // room for a range of it
	err  error  // of its own: it was shown wrong bytes
}

// place is a random range of at most a few pages.
func (s *stressed) place() (off int64, n int) {
	off = s.rand.Int64N(int64((stressPages - 1) * pageSize))
	return off, 1 + s.rand.IntN(min(len(s.want)-int(off), 3*pageSize))
}

// hole is a random range that may be holed.
func (s *stressed) hole() (off int64, n int) {
	n = 1 + s.rand.IntN(pageSize)
	return int64(holePage*pageSize + s.rand.IntN((stressPages-holePage)*pageSize-n)), n
}

// check compares what was shown of off with what was put there. A byte of a hole
// may be zero.
func (s *stressed) check(what string, got []byte, off int64) {
	for i, b := range got {
		at := int(off) + i
		if b != s.want[at] && (b != 0 || at < holePage*pageSize) {
			s.err = fmt.Errorf("%s showed %#x at %d, want %#x", what, b, at, s.want[at])
			return
		}
	}
}

// closed is the error of an access to a mapping that has no length any more.
func (s *stressed) closed() error {
	_, err := s.m.ReadAt(s.p[:1], 0)
	return err
}

// stressAccessors is every way to use a mapping that another goroutine may close,
// resize or protect meanwhile.
var stressAccessors = map[string]func(s *stressed) error{
	"ReadAt": func(s *stressed) error {
		off, n := s.place()
		n, err := s.m.ReadAt(s.p[:n], off)
		s.check("ReadAt", s.p[:n], off)
		return err
	},
	"WriteAt": func(s *stressed) error {
		off, n := s.place()
		_, err := s.m.WriteAt(s.want[off:int(off)+n], off)
		return err
	},
	"View": func(s *stressed) error {
		off, n := s.place()
		return s.m.View(off, n, func(v []byte) error { s.check("View", v, off); return nil })
	},
	"a store in View": func(s *stressed) error {
		off, n := s.place()
		return s.m.View(off, n, func(v []byte) error { copy(v, s.want[off:]); return nil })
	},
	"WriteView": func(s *stressed) error {
		off, n := s.place()
		return s.m.WriteView(off, n, func(v []byte) error { copy(v, s.want[off:]); return nil })
	},
	"ViewOf": func(s *stressed) error {
		off, _ := s.place()
		off &^= 7
		return mmap.ViewOf(s.m, off, 1, func(v []uint64) error { s.err = errors.Join(s.err, ignore(v[0])); return nil })
	},
	"Windows": func(s *stressed) error {
		length := s.m.Len()
		if length == 0 {
			return s.closed()
		}
		for off, n := range s.m.Windows(0, length, 4*pageSize) {
			if err := s.m.View(off, n, func(v []byte) error { s.check("a window", v, off); return nil }); err != nil {
				return err
			}
		}
		return nil
	},
	"Reader": func(s *stressed) error {
		r := s.m.NewReader()
		off, n := s.place()
		if _, err := r.Seek(off, io.SeekStart); err != nil {
			return err
		}
		n, err := r.Read(s.p[:n])
		s.check("Reader", s.p[:n], off)
		if err != nil {
			return err
		}
		if _, err = r.ReadByte(); err == io.EOF {
			return nil // the range was the last
		}
		return err
	},
	"WriteTo": func(s *stressed) error {
		var b bytes.Buffer
		_, err := s.m.WriteTo(&b)
		s.check("WriteTo", b.Bytes(), 0)
		return err
	},
	"SendTo": func(s *stressed) error {
		off, n := s.place()
		var b bytes.Buffer
		_, err := s.m.SendTo(&b, off, n)
		s.check("SendTo", b.Bytes(), off)
		return err
	},
	"Sync": func(s *stressed) error { return s.m.Sync() },
	"SyncRange": func(s *stressed) error {
		off, n := s.place()
		return s.m.SyncRange(off, n, mmap.SyncStart)
	},
	"Lock": func(s *stressed) error {
		off, n := s.place()
		return errors.Join(s.m.Lock(off, n, mmap.LockNow), s.m.Unlock(off, n))
	},
	"Advise": func(s *stressed) error {
		off, n := s.place()
		return s.m.Advise(off, n, []mmap.Advice{mmap.AdviseWillNeed, mmap.AdviseNormal, mmap.AdviseRandom}[s.rand.IntN(3)])
	},
	"Discard": func(s *stressed) error {
		off, n := s.hole()
		return s.m.Discard(off, n, mmap.PunchHole)
	},
	"Populate": func(s *stressed) error {
		off, n := s.place()
		return s.m.Populate(context.Background(), off, n)
	},
	"Residency": func(s *stressed) error {
		off, n := s.place()
		_, err := s.m.Residency(off, n)
		for _, rangeErr := range s.m.ResidentRanges(off, n) {
			err = errors.Join(err, rangeErr)
		}
		return err
	},
	"Len, Addr, Span, Bytes": func(s *stressed) error {
		if s.m.Len() == 0 && s.m.Addr() == 0 && s.m.Bytes() == nil {
			return s.closed()
		}
		if addr, n := s.m.Span(); addr == 0 && n != 0 {
			s.err = fmt.Errorf("a span of %d bytes nowhere", n)
		}
		return nil
	},
	"File": func(s *stressed) error {
		f, err := s.m.File()
		if err != nil {
			return err
		}
		return f.Close()
	},
}

// ignore is no error, and needs what it is given.
func ignore(uint64) error { return nil }

// stressChanges is what every accessor must stand.
var stressChanges = map[string]func(s *stressed) error{
	"Close":  nil, // each round ends with one
	"Resize": func(s *stressed) error { return s.m.Resize((8 + s.rand.IntN(stressPages-7)) * pageSize) },
	"Protect": func(s *stressed) error {
		off, n := s.place()
		prot := []mmap.Prot{mmap.ProtNone, mmap.ProtRead, mmap.ProtRead | mmap.ProtWrite}[s.rand.IntN(3)]
		return errors.Join(s.m.Protect(off, n, prot), s.m.Protect(0, s.m.Len(), mmap.ProtRead|mmap.ProtWrite))
	},
}

// allowed reports whether err may come of an access while this change goes on.
func allowed(change, what string, err error) bool {
	switch {
	case err == nil, errors.Is(err, mmap.ErrBusy):
		return true // Lock and Protect keep others out, and Resize refuses while views are out
	case change == "Resize":
		parts := what == change && errors.Is(err, sys.EFAULT) // Advise and Lock made parts that can't grow together
		return err == io.EOF || errors.Is(err, mmap.ErrOutOfRange) || parts
	case change == "Protect":
		// The page may have been given back before the cause was looked for.
		return errors.As(err, new(*mmap.FaultError)) || errors.Is(err, fs.ErrPermission) || errors.Is(err, sys.EFAULT) || errors.Is(err, sys.ENOMEM)
	}
	return false
}

// TestStress has every accessor at work at once while the mapping is closed,
// resized or protected: no crash, no wrong byte, no error but the expected ones,
// none that is left out, and Close ends it all.
func TestStress(t *testing.T) {
	for change, do := range stressChanges {
		for _, procs := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s, GOMAXPROCS %d", change, procs), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				seed := testenv.Seed(t)
				if os.Getenv("MMAP_STRESS") != "" {
					t.Logf("MMAP_TEST_SEED=%d", seed)
				}
				want := pattern(stressPages * pageSize)
				name := newFileIn(t, testenv.DiskDir(t), want)
				done := make(map[string]*atomic.Int64)
				for accessor := range stressAccessors {
					done[accessor] = new(atomic.Int64)
				}
				if do != nil {
					done[change] = new(atomic.Int64)
				}
				rounds := uint64(0)
				for start := time.Now(); !t.Failed(); rounds++ {
					idle := neverDone(done)
					if took := time.Since(start); took > childPatience && len(idle) > 0 {
						t.Errorf("%v never succeeded in %d rounds", idle, rounds)
					} else if took > stressTime(t) && len(idle) == 0 {
						break
					}
					stressRound(t, name, want, change, do, done, seed+rounds<<32)
				}
			})
		}
	}
}

// neverDone lists the accessors that have not succeeded yet.
func neverDone(done map[string]*atomic.Int64) (idle []string) {
	for accessor, n := range done {
		if n.Load() == 0 {
			idle = append(idle, accessor)
		}
	}
	return idle
}

// stressRound opens a mapping, has everybody at it until each accessor has had its
// turn, and closes it.
func stressRound(t *testing.T, name string, want []byte, change string, do func(*stressed) error, done map[string]*atomic.Int64, seed uint64) {
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	var all, turn sync.WaitGroup
	forever := func(what string, seed uint64, op func(*stressed) error) {
		s := &stressed{m: m, want: want, rand: rand.New(rand.NewPCG(seed, 0)), p: make([]byte, 3*pageSize)}
		turn.Add(1)
		all.Go(func() {
			had := sync.OnceFunc(turn.Done)
			defer had()
			for {
				err := op(s)
				if errors.Is(err, fs.ErrClosed) {
					return
				}
				if s.err != nil || !allowed(change, what, err) {
					t.Errorf("%s: %v", what, errors.Join(s.err, err))
					return
				}
				if n := done[what]; n != nil && err == nil {
					n.Add(1)
				}
				had()
				runtime.Gosched() // one that fails at once must not keep the others waiting
			}
		})
	}
	for what, op := range stressAccessors {
		seed++
		forever(what, seed, op)
	}
	if do != nil {
		forever(change, seed+1, do)
	}
	turn.Wait()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap"
	"golang.org/x/sys/unix"
)

const (
	lateGoroutines = 4
	lateTick       = time.Millisecond
	evictedFor     = 2 * time.Second
)

// lateness: how late a ticker of 1 ms gets, and how long a garbage collection
// takes, while four goroutines read the pages of a slow file: each page once, or
// with evicted any page at random for a time, while pages are taken away.
func lateness(dir string, procs int, evicted bool) (trial, error) {
	server, err := mountSlow(dir)
	if err != nil {
		return trial{}, err
	}
	t := trial{
		title:   fmt.Sprintf("A ticker beside %d goroutines that read %d cold pages of a file system with reads of 20 ms, GOMAXPROCS %d", lateGoroutines, slowPages, procs),
		columns: []string{"worst lateness of the ticker, ms", "longest runtime.GC, ms", "the reads, ms"},
		over:    true,
		close:   []func() error{server.close},
	}
	if evicted {
		t.title = fmt.Sprintf("A ticker beside %d goroutines that read %d pages at random for %v, while a quarter of the pages is evicted every 100 ms, GOMAXPROCS %d", lateGoroutines, slowPages, evictedFor, procs)
		t.columns[2] = "one read, us"
		t.notes = func(t *trial) []string { return againstBound(t, procs) }
	}
	for _, w := range []struct {
		name string
		open func(f *os.File) (readAt func(p []byte, off int64) (int, error), close func() error, err error)
	}{
		{"os.File: ReadAt", func(f *os.File) (func([]byte, int64) (int, error), func() error, error) {
			return f.ReadAt, func() error { return nil }, nil
		}},
		{"this module: ReadAt", func(f *os.File) (func([]byte, int64) (int, error), func() error, error) {
			m, err := mmap.Map(f, mmap.Options{})
			return m.ReadAt, m.Close, err
		}},
		{"this module: View, copy", func(f *os.File) (func([]byte, int64) (int, error), func() error, error) {
			m, err := mmap.Map(f, mmap.Options{})
			return func(p []byte, off int64) (int, error) {
				return len(p), m.View(off, len(p), func(v []byte) error { copy(p, v); return nil })
			}, m.Close, err
		}},
		{"bare slice: copy", func(f *os.File) (func([]byte, int64) (int, error), func() error, error) {
			raw, err := unix.Mmap(int(f.Fd()), 0, slowSize, unix.PROT_READ, unix.MAP_SHARED)
			return func(p []byte, off int64) (int, error) { return copy(p, raw[off:]), nil },
				func() error { return unix.Munmap(raw) }, err
		}},
	} {
		t.rows = append(t.rows, trialRow{name: w.name, run: func() ([]float64, error) {
			f, err := os.Open(server.path) // which finds every page cold
			if err != nil {
				return nil, err
			}
			defer f.Close()
			readAt, unmap, err := w.open(f)
			if err != nil {
				return nil, err
			}
			if err := server.tell(evicted); err != nil {
				return nil, err
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			figures, err := beside(readAt, evicted)
			return figures, errors.Join(err, server.tell(false), unmap())
		}})
	}
	return t, nil
}

// againstBound sets what the rows of this module came to beside what mmap.StalePeriod
// documents: each of the goroutines that stand in the ticker's way may bring in one
// page that was believed to be in memory.
func againstBound(t *trial, procs int) (lines []string) {
	bound := slowDelay * time.Duration((lateGoroutines+procs-1)/procs)
	for _, r := range t.rows {
		worst := 0.0
		for i, late := range r.got[0] {
			worst = max(worst, late-t.rows[0].got[0][i])
		}
		if strings.HasPrefix(r.name, "this module") {
			lines = append(lines, fmt.Sprintf("%s: in the worst of %d rounds %.3g ms later than the first row; the documented bound is %v.", r.name, len(r.got[0]), worst, bound))
		}
	}
	return lines
}

// beside reads while a ticker ticks and the collector runs.
func beside(readAt func(p []byte, off int64) (int, error), again bool) ([]float64, error) {
	var stop atomic.Bool
	var watchers sync.WaitGroup
	var late, collecting time.Duration
	started := make(chan struct{}, 2)
	watchers.Go(func() {
		tick := time.NewTicker(lateTick)
		defer tick.Stop()
		started <- struct{}{}
		for last := time.Now(); !stop.Load(); {
			<-tick.C
			now := time.Now()
			late = max(late, now.Sub(last)-lateTick)
			last = now
		}
	})
	watchers.Go(func() {
		started <- struct{}{}
		for !stop.Load() {
			start := time.Now()
			runtime.GC()
			collecting = max(collecting, time.Since(start))
			time.Sleep(20 * time.Millisecond)
		}
	})
	<-started
	<-started
	slowBytes() // is made before the clock starts
	start := time.Now()
	count, err := readPages(readAt, again)
	took := time.Since(start)
	stop.Store(true)
	watchers.Wait()
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	reads := ms(took)
	if again {
		reads = float64(took.Microseconds()) * lateGoroutines / float64(count)
	}
	return []float64{ms(late), ms(collecting), reads}, err
}

// readPages reads every page once, by four goroutines, and with again goes on at
// random for a time. It tells how many reads that were.
func readPages(readAt func(p []byte, off int64) (int, error), again bool) (int64, error) {
	want := slowBytes()
	errs := make([]error, lateGoroutines)
	var count atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(evictedFor)
	for g := range lateGoroutines {
		all.Go(func() {
			buf := make([]byte, slowPage)
			read := func(off int64) {
				if _, err := readAt(buf, off); err != nil {
					errs[g] = err
				} else if sum(buf) != sum(want[off:off+slowPage]) {
					errs[g] = fmt.Errorf("wrong bytes at %d", off)
				}
				count.Add(1)
			}
			if !again {
				for pg := g; pg < slowPages && errs[g] == nil; pg += lateGoroutines {
					read(int64(pg) * slowPage)
				}
				return
			}
			for at := (places{n: slowPage, size: slowSize, seed: uint64(g)}); time.Now().Before(end) && errs[g] == nil; {
				read(at.next())
				time.Sleep(100 * time.Microsecond) // or the readers alone would fill the processors
			}
		})
	}
	all.Wait()
	return count.Load(), errors.Join(errs...)
}

package main

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/memwright/mmap"
	"golang.org/x/sys/unix"
)

const (
	coldReads      = 20_000
	coldGoroutines = 64
	coldPage       = 4096
)

// coldRandom: 20,000 pages of a file that has none in memory, each once, in no
// order, by 64 goroutines.
func coldRandom(size int64) func(string) (table, error) {
	return func(name string) (table, error) {
		if err := grow(name, size); err != nil {
			return table{}, err
		}
		f, err := os.Open(name)
		if err != nil {
			return table{}, err
		}
		pages := distinct(coldReads, int(size/coldPage))
		at, want := pattern(fileSize), uint64(0)
		for _, pg := range pages {
			off := int64(pg) * coldPage % fileSize
			want += sum(at[off : off+coldPage])
		}
		c := &coldFile{f: f, size: size, pages: pages, want: want}
		t := table{
			title: fmt.Sprintf("Read %d pages at random of a file of %d GiB that is not in memory, by %d goroutines, and sum them", coldReads, size>>30, coldGoroutines),
			close: []func() error{c.close, f.Close},
		}
		for _, w := range []struct {
			name   string
			before func() error
		}{
			{"os.File: ReadAt (pread)", c.open},
			{"this module: ReadAt", func() error { return errors.Join(c.open(), c.openOurs(mmap.Normal)) }},
			{"this module: ReadAt, Pattern Random", func() error { return errors.Join(c.open(), c.openOurs(mmap.Random)) }},
			{"bare slice: copy", func() error { return errors.Join(c.open(), c.openRaw(unix.MADV_NORMAL)) }},
			{"bare slice with MADV_RANDOM: copy", func() error { return errors.Join(c.open(), c.openRaw(unix.MADV_RANDOM)) }},
		} {
			t.rows = append(t.rows, row{name: w.name, before: w.before, op: c.read})
		}
		return t, nil
	}
}

// distinct is n different numbers below limit, in an order that is always the same.
func distinct(n, limit int) []int {
	seen, seed := make(map[int]bool, n), uint64(1)
	var out []int
	for len(out) < n {
		seed = seed*6364136223846793005 + 1442695040888963407
		if v := int((seed >> 33) % uint64(limit)); !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

type coldFile struct {
	f     *os.File
	size  int64
	pages []int
	want  uint64

	readAt func(p []byte, off int64) (int, error)
	unmap  func() error
}

// open has nothing of the file in memory, and reads by calls.
func (c *coldFile) open() error {
	err := errors.Join(c.close(), evict(c.f))
	c.readAt = c.f.ReadAt
	return err
}

func (c *coldFile) close() error {
	if c.unmap == nil {
		return nil
	}
	err := c.unmap()
	c.unmap = nil
	return err
}

func (c *coldFile) openOurs(p mmap.Pattern) error {
	m, err := mmap.Map(c.f, mmap.Options{Pattern: p})
	if err == nil {
		c.readAt, c.unmap = m.ReadAt, m.Close
	}
	return err
}

func (c *coldFile) openRaw(advice int) error {
	raw, err := unix.Mmap(int(c.f.Fd()), 0, int(c.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	c.readAt = func(p []byte, off int64) (int, error) { return copy(p, raw[off:]), nil }
	c.unmap = func() error { return unix.Munmap(raw) }
	return unix.Madvise(raw, advice)
}

func (c *coldFile) read() error {
	totals, errs := make([]uint64, coldGoroutines), make([]error, coldGoroutines)
	var all sync.WaitGroup
	for g := range coldGoroutines {
		all.Go(func() {
			buf := make([]byte, coldPage)
			for i := g; i < len(c.pages) && errs[g] == nil; i += coldGoroutines {
				_, errs[g] = c.readAt(buf, int64(c.pages[i])*coldPage)
				totals[g] += sum(buf)
			}
		})
	}
	all.Wait()
	got := uint64(0)
	for _, v := range totals {
		got += v
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if got != c.want {
		return fmt.Errorf("the sum is %#x, not %#x", got, c.want)
	}
	return nil
}

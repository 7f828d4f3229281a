package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	edsrzf "github.com/edsrzf/mmap-go"
	"github.com/memwright/mmap"
	xmmap "golang.org/x/exp/mmap"
	"golang.org/x/sys/unix"
)

// places are n bytes at pseudo-random multiples of n in a file.
type places struct {
	n    int
	size int64
	seed uint64
}

func (p *places) next() int64 {
	p.seed = p.seed*6364136223846793005 + 1442695040888963407
	return int64((p.seed>>33)%uint64(p.size/int64(p.n))) * int64(p.n)
}

// A way tells the sum of n bytes at a place.
type way struct {
	name string
	sum  func(off int64) (uint64, error)
}

// sumRows makes a row of each way, after it has told the truth at places all
// over the file. The file repeats the pattern.
func sumRows(n int, size int64, ways []way) ([]row, error) {
	want := pattern(fileSize)
	var rows []row
	for _, w := range ways {
		check := places{n: n, size: size, seed: 7}
		for range 1000 {
			off := check.next()
			at := off % fileSize
			if got, err := w.sum(off); err != nil {
				return nil, err
			} else if got != sum(want[at:at+int64(n)]) {
				return nil, fmt.Errorf("%s: wrong bytes at %d", w.name, off)
			}
		}
		at, total := places{n: n, size: size, seed: 1}, uint64(0)
		rows = append(rows, row{name: w.name, op: func() error {
			s, err := w.sum(at.next())
			total += s
			return err
		}})
	}
	return rows, nil
}

func read16(name string) (table, error) { return reads(name, 16) }
func read4K(name string) (table, error) { return reads(name, 4096) }
func loop4K(name string) (table, error) {
	return readsBy(name, 4096, sumPlain, ", and sum them by a plain loop")
}
func read16G(name string) (table, error) { return grown(name, 16, reads) }
func read4KG(name string) (table, error) { return grown(name, 4096, reads) }
func look4K(name string) (table, error)  { return looks(name, 4096) }
func look4KG(name string) (table, error) { return grown(name, 4096, looks) }
func both16(name string) (table, error)  { return both(name, 16) }
func both4K(name string) (table, error)  { return both(name, 4096) }
func megabytes(size int64) (mebi int64)  { return size >> 20 }
func grown(name string, n int, of func(string, int) (table, error)) (table, error) {
	if err := grow(name, scanSize); err != nil {
		return table{}, err
	}
	return of(name, n)
}

// mapped is a file mapped by everybody, in memory and in every page table.
type mapped struct {
	f    *os.File
	size int64
	raw  []byte // of x/sys/unix.Mmap
	peer edsrzf.MMap
	exp  *xmmap.ReaderAt
	ours *mmap.Mapping
}

func mapAll(name string) (*mapped, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	all := &mapped{f: f, size: st.Size()}
	var errs [4]error
	all.raw, errs[0] = unix.Mmap(int(f.Fd()), 0, int(all.size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	all.peer, errs[1] = edsrzf.Map(f, edsrzf.RDONLY, 0)
	all.exp, errs[2] = xmmap.Open(name)
	all.ours, errs[3] = mmap.Map(f, mmap.Options{Populate: true})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if sum(all.raw) != sum(all.peer) {
		return nil, errors.New("two mappings of one file differ")
	}
	return all, nil
}

func (m *mapped) closers() []func() error {
	return []func() error{m.f.Close, m.ours.Close, m.exp.Close, m.peer.Unmap, func() error { return unix.Munmap(m.raw) }}
}

// reads: n bytes from anywhere in a file that is in memory and in the page
// table, into a buffer, whose bytes are summed.
func reads(name string, n int) (table, error) { return readsBy(name, n, sum, ", and sum them") }

func readsBy(name string, n int, sum func([]byte) uint64, how string) (table, error) {
	m, err := mapAll(name)
	if err != nil {
		return table{}, err
	}
	buf := make([]byte, n)
	by := func(name string, readAt func(p []byte, off int64) (int, error)) way {
		return way{name, func(off int64) (uint64, error) {
			_, err := readAt(buf, off)
			return sum(buf), err
		}}
	}
	bare, fd := m.ours.Bytes(), int(m.f.Fd())
	var dst []byte
	view := func(p []byte) error { copy(dst, p); return nil }
	rows, err := sumRows(n, m.size, []way{
		by("bare slice of x/sys/unix.Mmap: copy", func(p []byte, off int64) (int, error) { return copy(p, m.raw[off:]), nil }),
		by("edsrzf/mmap-go: copy", func(p []byte, off int64) (int, error) { return copy(p, m.peer[off:]), nil }),
		by("x/exp/mmap: ReadAt", m.exp.ReadAt),
		by("this module: Bytes, copy", func(p []byte, off int64) (int, error) { return copy(p, bare[off:]), nil }),
		by("this module: ReadAt", m.ours.ReadAt),
		by("this module: View, copy", func(p []byte, off int64) (int, error) {
			dst = p
			return len(p), m.ours.View(off, len(p), view)
		}),
		by("x/sys/unix: Pread", func(p []byte, off int64) (int, error) { return unix.Pread(fd, p, off) }),
		by("os.File: ReadAt", m.f.ReadAt),
	})
	return table{
		title: fmt.Sprintf("Read %d bytes at random places of a mapped file of %d MiB in memory%s", n, megabytes(m.size), how),
		rows:  rows, close: m.closers(),
	}, err
}

// looks: the same without a buffer.
func looks(name string, n int) (table, error) {
	m, err := mapAll(name)
	if err != nil {
		return table{}, err
	}
	var total uint64
	look := func(p []byte) error { total = sum(p); return nil }
	call := look
	rows, err := sumRows(n, m.size, []way{
		{"a plain call with a bare slice", func(off int64) (uint64, error) {
			err := call(m.raw[off : off+int64(n)])
			return total, err
		}},
		{"this module: View", func(off int64) (uint64, error) {
			err := m.ours.View(off, n, look)
			return total, err
		}},
	})
	return table{
		title: fmt.Sprintf("Sum %d bytes at random places of a mapped file of %d MiB in memory, where they lie", n, megabytes(m.size)),
		rows:  rows, close: m.closers(),
	}, err
}

// both: one goroutine and two, each doing so many reads. Rows come in pairs: the
// second has done twice as much as the one before it.
func both(name string, n int) (table, error) {
	m, err := mapAll(name)
	if err != nil {
		return table{}, err
	}
	t := table{title: fmt.Sprintf("Reads of %d bytes by one goroutine, and twice as many by two", n), close: m.closers(), notes: speedUps}
	for _, w := range []struct {
		name   string
		readAt func(p []byte, off int64) (int, error)
	}{
		{"bare slice: copy", func(p []byte, off int64) (int, error) { return copy(p, m.raw[off:]), nil }},
		{"this module: ReadAt", m.ours.ReadAt},
	} {
		for _, goroutines := range []int{1, 2} {
			t.rows = append(t.rows, row{
				name: fmt.Sprintf("%s, %d at once", w.name, goroutines),
				op:   func() error { return together(goroutines, n, m.size, w.readAt) },
			})
		}
	}
	return t, nil
}

// together runs so many goroutines of the same work, and ends when all have.
func together(goroutines, n int, size int64, readAt func(p []byte, off int64) (int, error)) error {
	reads := 1_500_000 // tens of milliseconds: the kernel takes some to give the second goroutine's thread a processor of its own
	if n > 1024 {
		reads /= 6
	}
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			buf := make([]byte, 4096)[:n] // small ones would lie in one cache line, which both write
			at, total := places{n: n, size: size, seed: uint64(g)}, uint64(0)
			for range reads {
				if _, err := readAt(buf, at.next()); err != nil {
					errs[g] = err
					return
				}
				total += sum(buf)
			}
			if total == 0 {
				errs[g] = errors.New("all zeros")
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// speedUps is what the pairs of a table of both come to: how much more is done
// by two goroutines in the same time, in the same round.
func speedUps(t *table) (lines []string) {
	for i := 0; i+1 < len(t.rows); i += 2 {
		one, two := t.rows[i].ns, t.rows[i+1].ns
		ratios := make([]float64, len(one))
		for j := range ratios {
			ratios[j] = 2 * one[j] / two[j]
		}
		lines = append(lines, fmt.Sprintf("%s: two do %s times as much as one.", strings.TrimSuffix(t.rows[i].name, ", 1 at once"), spread(ratios)))
	}
	return lines
}

// wideSlots is how many slots a row over 1 GiB runs in a round: what this module
// knows of the pages is looked at again every 100 ms, and a shorter run would pay
// for that as if it were done all the time.
const wideSlots = 30

// slowSlot is the slot of rows whose one op takes long anyhow.
const slowSlot = time.Millisecond

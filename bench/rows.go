package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	edsrzf "github.com/edsrzf/mmap-go"
	"github.com/memwright/mmap"
	xmmap "golang.org/x/exp/mmap"
	"golang.org/x/sys/unix"
)

const fileSize = 1 << 20

// pattern is bytes that differ from place to place.
func pattern(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// mapByName: a name becomes a mapping, which is closed. Nothing is touched.
func mapByName(name string) (table, error) {
	return table{title: "Map a file of 1 MiB by name, and close it", rows: []row{
		{name: "system calls: open, fstat, mmap, munmap, close", op: func() error { return rawByName(name) }},
		{name: "x/sys/unix: Open, Fstat, Mmap, Munmap, Close", op: func() error { return unixByName(name) }},
		{name: "edsrzf/mmap-go: os.Open, Map, Unmap, Close", op: func() error { return edsrzfByName(name) }},
		{name: "x/exp/mmap: Open, Close", op: func() error {
			r, err := xmmap.Open(name)
			if err != nil {
				return err
			}
			return errors.Join(length(r.Len()), r.Close())
		}},
		{name: "this module: Open, Close", op: func() error {
			m, err := mmap.Open(name)
			if err != nil {
				return err
			}
			return errors.Join(length(m.Len()), m.Close())
		}},
	}}, nil
}

func rawByName(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(rawOpen(fd), unix.Close(fd))
}

func rawOpen(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	addr, _, errno := unix.Syscall6(unix.SYS_MMAP, 0, uintptr(st.Size), unix.PROT_READ, unix.MAP_SHARED, uintptr(fd), 0)
	if errno != 0 {
		return errno
	}
	if _, _, errno := unix.Syscall(unix.SYS_MUNMAP, addr, uintptr(st.Size), 0); errno != 0 {
		return errno
	}
	return length(int(st.Size))
}

func unixByName(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unixOpen(fd), unix.Close(fd))
}

func unixOpen(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	p, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(length(len(p)), unix.Munmap(p))
}

func edsrzfByName(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(edsrzfOpen(f), f.Close())
}

func edsrzfOpen(f *os.File) error {
	p, err := edsrzf.Map(f, edsrzf.RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(length(len(p)), p.Unmap())
}

func length(n int) error {
	if n != fileSize {
		return fmt.Errorf("%d bytes mapped, not %d", n, fileSize)
	}
	return nil
}

// mapOpenFile: the same with a file that is open already, and stays so.
func mapOpenFile(name string) (table, error) {
	f, err := os.Open(name)
	if err != nil {
		return table{}, err
	}
	fd := int(f.Fd())
	return table{title: "Map an open file of 1 MiB, and close the mapping", close: []func() error{f.Close}, rows: []row{
		{name: "system calls: fstat, mmap, munmap", op: func() error { return rawOpen(fd) }},
		{name: "the same with a descriptor of its own: dup, close", op: func() error {
			own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return errors.Join(rawOpen(own), unix.Close(own))
		}},
		{name: "x/sys/unix: Fstat, Mmap, Munmap", op: func() error { return unixOpen(fd) }},
		{name: "edsrzf/mmap-go: Map, Unmap", op: func() error { return edsrzfOpen(f) }},
		{name: "this module: Map, Close", op: func() error {
			m, err := mmap.Map(f, mmap.Options{})
			if err != nil {
				return err
			}
			return errors.Join(length(m.Len()), m.Close())
		}},
	}}, nil
}

func read16(name string) (table, error) { return reads(name, 16) }
func read4K(name string) (table, error) { return reads(name, 4096) }

// reads: n bytes from anywhere in a file that is in memory and in the page
// table, into a buffer.
func reads(name string, n int) (table, error) {
	f, err := os.Open(name)
	if err != nil {
		return table{}, err
	}
	m, errOurs := mmap.Map(f, mmap.Options{Populate: true})
	x, errExp := xmmap.Open(name)
	fd := int(f.Fd())
	raw, errUnix := unix.Mmap(fd, 0, fileSize, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err := errors.Join(errOurs, errExp, errUnix); err != nil {
		return table{}, err
	}
	t := table{
		title: fmt.Sprintf("Read %d bytes at random places of a mapped file of 1 MiB in memory", n),
		close: []func() error{f.Close, m.Close, x.Close, func() error { return unix.Munmap(raw) }},
	}
	want := pattern(fileSize)
	add := func(name string, readAt func(p []byte, off int64) (int, error)) {
		buf := make([]byte, n)
		seed := uint64(1)
		places := uint64(fileSize / n)
		t.rows = append(t.rows, row{name: name, op: func() error {
			seed = seed*6364136223846793005 + 1442695040888963407
			off := int64((seed>>33)%places) * int64(n)
			if got, err := readAt(buf, off); err != nil {
				return err
			} else if got != n || buf[0] != want[off] || buf[n-1] != want[off+int64(n)-1] {
				return fmt.Errorf("wrong bytes at %d", off)
			}
			return nil
		}})
	}
	add("bare slice of x/sys/unix.Mmap: copy", func(p []byte, off int64) (int, error) { return copy(p, raw[off:]), nil })
	add("x/exp/mmap: ReadAt", x.ReadAt)
	bare := m.Bytes()
	add("this module: Bytes, copy", func(p []byte, off int64) (int, error) { return copy(p, bare[off:]), nil })
	add("this module: ReadAt", m.ReadAt)
	var dst []byte
	view := func(p []byte) error { copy(dst, p); return nil }
	add("this module: View, copy", func(p []byte, off int64) (int, error) {
		dst = p
		return len(p), m.View(off, len(p), view)
	})
	add("x/sys/unix: Pread", func(p []byte, off int64) (int, error) { return unix.Pread(fd, p, off) })
	add("os.File: ReadAt", f.ReadAt)
	return t, nil
}

const (
	scanSize  = 1 << 30
	scanBlock = 1 << 20
)

// growPattern makes the file scanSize bytes long: its pattern, repeated.
func growPattern(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	p := pattern(fileSize)
	for at := 0; at < scanSize && err == nil; at += fileSize {
		_, err = f.Write(p)
	}
	return errors.Join(err, f.Close())
}

// scanFile: every byte of 1 GiB once, in order, in blocks of 1 MiB, with the
// file in memory. Every way looks for a byte; the last two copy first.
func scanFile(name string) (table, error) {
	if err := growPattern(name); err != nil {
		return table{}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return table{}, err
	}
	m, err := mmap.Map(f, mmap.Options{Populate: true})
	if err != nil {
		return table{}, err
	}
	want := bytes.Count(pattern(fileSize), []byte{7}) * (scanSize / fileSize)
	t := table{
		title: "Count a byte in 1 GiB in memory, 1 MiB at a time",
		close: []func() error{f.Close, m.Close},
	}
	add := func(name string, count func(off int64) (int, error)) {
		t.rows = append(t.rows, row{name: name, op: func() error {
			total := 0
			for off := int64(0); off < scanSize; off += scanBlock {
				n, err := count(off)
				if err != nil {
					return err
				}
				total += n
			}
			if total != want {
				return fmt.Errorf("counted %d, not %d", total, want)
			}
			return nil
		}})
	}
	sevens := func(p []byte) int { return bytes.Count(p, []byte{7}) }
	bare, buf := m.Bytes(), make([]byte, scanBlock)
	add("this module: Bytes", func(off int64) (int, error) { return sevens(bare[off : off+scanBlock]), nil })
	add("this module: View", func(off int64) (n int, err error) {
		err = m.View(off, scanBlock, func(p []byte) error { n = sevens(p); return nil })
		return n, err
	})
	add("this module: ReadAt", func(off int64) (int, error) {
		_, err := m.ReadAt(buf, off)
		return sevens(buf), err
	})
	add("os.File: ReadAt", func(off int64) (int, error) {
		_, err := f.ReadAt(buf, off)
		return sevens(buf), err
	})
	return t, nil
}

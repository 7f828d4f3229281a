package tracee

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// An Area is a line of /proc/PID/maps.
type Area struct {
	Start, End uint64
	Perms      string // "rw-p", as there
	Offset     uint64
	Device     string // "fd:00", as there
	Inode      uint64
	Path       string
}

// Areas lists the areas of the process in the order of their addresses,
// Code, Scratch and [vsyscall] among them.
func (p *Process) Areas() ([]Area, error) {
	maps, err := p.read(&p.maps, "maps")
	if err != nil {
		return nil, err
	}
	var all []Area
	for line := range strings.Lines(string(maps)) {
		word := strings.Fields(line)
		if len(word) < 5 {
			return nil, fmt.Errorf("a line of maps is %q", line)
		}
		start, end, _ := strings.Cut(word[0], "-")
		a := Area{Perms: word[1], Device: word[3], Path: strings.Join(word[5:], " ")}
		for _, n := range []struct {
			to   *uint64
			from string
			base int
		}{{&a.Start, start, 16}, {&a.End, end, 16}, {&a.Offset, word[2], 16}, {&a.Inode, word[4], 10}} {
			if *n.to, err = strconv.ParseUint(n.from, n.base, 64); err != nil {
				return nil, err
			}
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		return nil, ErrGone // Code is always there
	}
	return all, nil
}

// Locked is VmLck of /proc/PID/status, in pages.
func (p *Process) Locked() (int, error) {
	status, err := p.read(&p.status, "status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(status, []byte("\nVmLck:"))
	if !ok {
		return 0, ErrGone // it has no memory
	}
	rest, _, _ = bytes.Cut(bytes.TrimLeft(rest, " \t"), []byte(" "))
	kB, err := strconv.Atoi(string(rest))
	return kB * 1024 / PageSize, err
}

// A PTE is what /proc/PID/pagemap tells of one page (pagemap.rst).
type PTE uint64

// Present reports whether the page has an entry in the page table.
func (e PTE) Present() bool { return e>>63&1 == 1 }

// FileOwned reports whether its frame belongs to a file or to shared memory.
func (e PTE) FileOwned() bool { return e>>61&1 == 1 }

// Private reports whether the process has its own copy of the page, in memory
// or in swap (bit 62), or the page of zeros.
func (e PTE) Private() bool { return e>>62 != 0 && !e.FileOwned() }

// Exclusive reports whether no other entry shows the frame (bit 56, since Linux
// 4.2). It is exact for a private page of the usual size.
func (e PTE) Exclusive() bool { return e>>56&1 == 1 }

// Pages appends to dst the n pages from addr on.
func (p *Process) Pages(dst []PTE, addr uint64, n int) ([]PTE, error) {
	f, err := p.file(&p.pagemap, "pagemap")
	if err != nil {
		return dst, err
	}
	p.grow(8 * n)
	if _, err := f.ReadAt(p.buf[:8*n], int64(addr/PageSize*8)); err != nil {
		return dst, p.lost(err)
	}
	for i := range n {
		dst = append(dst, PTE(binary.LittleEndian.Uint64(p.buf[8*i:])))
	}
	return dst, nil
}

// read gives the whole of a file of /proc, until the next read.
func (p *Process) read(f **os.File, name string) ([]byte, error) {
	from, err := p.file(f, name)
	if err != nil {
		return nil, err
	}
	p.grow(PageSize)
	for n := 0; ; {
		if n == len(p.buf) {
			p.grow(2 * n)
		}
		got, err := from.ReadAt(p.buf[n:], int64(n))
		n += got
		if err == io.EOF {
			return p.buf[:n], nil
		} else if err != nil {
			return nil, p.lost(err)
		}
	}
}

// file opens the file at the first use.
func (p *Process) file(f **os.File, name string) (*os.File, error) {
	if *f == nil {
		var err error
		if *f, err = p.open(name); err != nil {
			return nil, p.lost(err)
		}
	}
	return *f, nil
}

// lost makes ErrGone of what /proc answers about a process that is not there.
func (p *Process) lost(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, io.EOF) {
		return ErrGone
	}
	return fmt.Errorf("process %d: %w", p.pid, err)
}

func (p *Process) grow(n int) {
	if len(p.buf) < n {
		p.buf = append(p.buf, make([]byte, n-len(p.buf))...)
	}
}

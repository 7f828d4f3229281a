package tracee

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
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
func (p *Process) Areas() []Area {
	var all []Area
	for line := range strings.Lines(string(p.read(&p.maps, "maps"))) {
		word := strings.Fields(line)
		start, end, _ := strings.Cut(word[0], "-")
		a := Area{Perms: word[1], Device: word[3], Path: strings.Join(word[5:], " ")}
		a.Start, a.End = p.number(start, 16), p.number(end, 16)
		a.Offset, a.Inode = p.number(word[2], 16), p.number(word[4], 10)
		all = append(all, a)
	}
	return all
}

// Locked is VmLck of /proc/PID/status, in pages.
func (p *Process) Locked() int {
	_, rest, ok := bytes.Cut(p.read(&p.status, "status"), []byte("\nVmLck:"))
	if !ok {
		p.must("look at status", errors.New("it has no VmLck"))
	}
	rest, _, _ = bytes.Cut(bytes.TrimLeft(rest, " \t"), []byte(" "))
	return int(p.number(string(rest), 10)) * 1024 / PageSize
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

// Pages appends to dst the n pages from addr on.
func (p *Process) Pages(dst []PTE, addr uint64, n int) []PTE {
	p.grow(8 * n)
	_, err := p.file(&p.pagemap, "pagemap").ReadAt(p.buf[:8*n], int64(addr/PageSize*8))
	p.must("look at pagemap", err)
	for i := range n {
		dst = append(dst, PTE(binary.LittleEndian.Uint64(p.buf[8*i:])))
	}
	return dst
}

// read gives the whole of a file of /proc, until the next read.
func (p *Process) read(f **os.File, name string) []byte {
	p.grow(PageSize)
	for n := 0; ; {
		if n == len(p.buf) {
			p.grow(2 * n)
		}
		got, err := p.file(f, name).ReadAt(p.buf[n:], int64(n))
		n += got
		if err == io.EOF {
			return p.buf[:n]
		}
		p.must("look at "+name, err)
	}
}

// file opens the file at the first use.
func (p *Process) file(f **os.File, name string) *os.File {
	if *f == nil {
		var err error
		*f, err = p.open(name)
		p.must("look at "+name, err)
	}
	return *f
}

func (p *Process) grow(n int) {
	if len(p.buf) < n {
		p.buf = append(p.buf, make([]byte, n-len(p.buf))...)
	}
}

func (p *Process) number(s string, base int) uint64 {
	n, err := strconv.ParseUint(s, base, 64)
	p.must("look at it", err)
	return n
}

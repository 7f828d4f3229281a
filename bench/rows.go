package main

import (
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

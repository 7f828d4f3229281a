package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/memwright/mmap"
	"golang.org/x/sys/unix"
)

const (
	scanSize  = 1 << 30
	scanBlock = 1 << 20
)

// grow makes the file that long: its pattern, repeated, in real blocks that are
// on the disk.
func grow(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	at, err := f.Seek(0, io.SeekEnd)
	for p := pattern(fileSize); at < size && err == nil; at += fileSize {
		_, err = f.Write(p)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// evict has no page of the file in memory when it returns nil. Nobody maps the
// file meanwhile.
func evict(f *os.File) error {
	fd := int(f.Fd())
	for range 10 { // a page in a batch of the processor's is not dropped at once
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			return err
		}
		var st unix.Cachestat_t
		if err := unix.Cachestat(uint(fd), &unix.CachestatRange{}, &st, 0); err != nil {
			return err
		}
		if st.Cache == 0 {
			return nil
		}
	}
	return errors.New("pages of the file stay in memory")
}

// A summer is a writer that sums.
type summer struct{ total uint64 }

func (s *summer) Write(p []byte) (int, error) {
	s.total += sum(p)
	return len(p), nil
}

// A file1G is opened afresh for each cold row, and once for all warm ones.
type file1G struct {
	f    *os.File
	raw  []byte
	ours *mmap.Mapping
	buf  []byte
}

func (s *file1G) open(populate bool) (err error) {
	flags := unix.MAP_SHARED
	if populate {
		flags |= unix.MAP_POPULATE
	}
	if s.raw, err = unix.Mmap(int(s.f.Fd()), 0, scanSize, unix.PROT_READ, flags); err != nil {
		return err
	}
	s.ours, err = mmap.Map(s.f, mmap.Options{Populate: populate})
	return err
}

func (s *file1G) close() error {
	if s.ours == nil {
		return nil
	}
	err := errors.Join(s.ours.Close(), unix.Munmap(s.raw))
	s.ours = nil
	return err
}

func scanWarm(name string) (table, error) { return scan(name, false) }
func scanCold(name string) (table, error) { return scan(name, true) }

// scan: every byte of 1 GiB once, in order, 1 MiB at a time.
func scan(name string, cold bool) (table, error) {
	if err := grow(name, scanSize); err != nil {
		return table{}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return table{}, err
	}
	s := &file1G{f: f, buf: make([]byte, scanBlock)}
	t := table{title: "Sum 1 GiB in memory, in order", close: []func() error{s.close, f.Close}}
	var before func() error
	if cold {
		t.title = "Sum 1 GiB that is not in memory, in order"
		before = func() error { return errors.Join(s.close(), evict(f), s.open(false)) }
	} else if err := s.open(true); err != nil {
		return t, err
	}
	want := sum(pattern(fileSize)) * (scanSize / fileSize)
	for _, w := range []struct {
		name string
		sum  func() (uint64, error)
	}{
		{"bare slice", s.bare},
		{"this module: View of Windows of 1 MiB", s.views},
		{"this module: WriteTo a Sink", s.writeTo},
		{"this module: WriteTo a writer of one's own", s.writeCopies},
		{"bare slice: copy of 1 MiB", s.copies},
		{"os.File: Read of 1 MiB", s.fileReads},
		{"this module: Reader, Read of 1 MiB", s.reader},
	} {
		t.rows = append(t.rows, row{name: w.name, before: before, op: func() error {
			got, err := w.sum()
			if err == nil && got != want {
				err = fmt.Errorf("the sum is %#x, not %#x", got, want)
			}
			return err
		}})
	}
	return t, nil
}

func (s *file1G) bare() (total uint64, err error) {
	for off := 0; off < scanSize; off += scanBlock {
		total += sum(s.raw[off : off+scanBlock])
	}
	return total, nil
}

func (s *file1G) views() (total uint64, err error) {
	for off, n := range s.ours.Windows(0, scanSize, scanBlock) {
		if err := s.ours.View(off, n, func(p []byte) error { total += sum(p); return nil }); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func (s *file1G) writeTo() (total uint64, err error) {
	_, err = s.ours.WriteTo(mmap.Sink(func(p []byte) error { total += sum(p); return nil }))
	return total, err
}

func (s *file1G) writeCopies() (uint64, error) {
	var w summer
	_, err := s.ours.WriteTo(&w)
	return w.total, err
}

func (s *file1G) copies() (total uint64, err error) {
	for off := 0; off < scanSize; off += scanBlock {
		copy(s.buf, s.raw[off:])
		total += sum(s.buf)
	}
	return total, nil
}

func (s *file1G) fileReads() (uint64, error) {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return s.drain(s.f)
}

func (s *file1G) reader() (uint64, error) { return s.drain(s.ours.NewReader()) }

func (s *file1G) drain(r io.Reader) (total uint64, err error) {
	for {
		n, err := r.Read(s.buf)
		total += sum(s.buf[:n])
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/memwright/mmap"
)

// A method is one way to read a file.
type method struct {
	name string
	// open prepares to read the first size bytes in blocks of at most block
	// bytes.
	open func(path string, size, block int) (session, error)
	// wholeOnly: it can't read a part of a file.
	wholeOnly bool
}

// A session is an open file. sum adds the n bytes from off up, having brought
// them in by its method; blocks are asked for in any order.
type session interface {
	sum(off int64, n int) (uint64, error)
	work() work
	Close() error
}

// work is what a session did, as the program itself counts it.
type work struct {
	reads  int64 // read calls
	others int64 // mmap, munmap (told before it happens) and lseek
	copied int64 // bytes that read calls copied into the program's own memory
	byUser int64 // bytes that the program itself copied there
	short  int64 // reads that brought less than was asked for
	buffer int64 // memory that it asked the heap for
}

// readingMethods are the ways, in the order of the tables.
var readingMethods = []method{
	{name: "slice", open: openSlice},
	{name: "View", open: openView},
	{name: "ReadAt", open: openReadAt},
	{name: "pread", open: openPread},
	{name: "read", open: openRead},
	{name: "ReadFile", open: openReadFile, wholeOnly: true},
}

// mapped is a mapping with the calls that it costs.
type mapped struct {
	*mmap.Mapping
	done   work
	before int64 // of mmap.Stats, FileBytes when it was opened
}

// work counts what the library's guarded ways read by calls, which it alone knows:
// the bytes of pages that it did not believe to be in memory.
func (s *mapped) work() work {
	w := s.done
	w.copied = mmap.Stats().FileBytes - s.before
	w.byUser = max(0, w.byUser-w.copied)
	if w.copied > 0 {
		w.reads = unknownCount
	}
	return w
}

func openMapped(path string, size int) (*mapped, error) {
	m, err := mmap.OpenFile(path, mmap.Options{Length: size})
	if err != nil {
		return nil, err
	}
	return &mapped{m, work{others: 2}, mmap.Stats().FileBytes}, nil // mmap and munmap
}

// The bare slice: no call and no copy for a block.
type sliceSession struct {
	*mapped
	bytes []byte
}

func openSlice(path string, size, _ int) (session, error) {
	m, err := openMapped(path, size)
	if err != nil {
		return nil, err
	}
	return &sliceSession{m, m.Bytes()}, nil
}

func (s *sliceSession) sum(off int64, n int) (uint64, error) {
	return sumBytes(s.bytes[off : off+int64(n)]), nil
}

// View: the same bytes, guarded, and brought in by calls where they are not believed
// to be in memory.
type viewSession struct {
	*mapped
	add   func(p []byte) error
	total uint64
}

func openView(path string, size, _ int) (session, error) {
	m, err := openMapped(path, size)
	if err != nil {
		return nil, err
	}
	s := &viewSession{mapped: m}
	s.add = func(p []byte) error { s.total = sumBytes(p); return nil }
	return s, nil
}

func (s *viewSession) sum(off int64, n int) (uint64, error) {
	err := s.View(off, n, s.add)
	return s.total, err
}

// ReadAt of the mapping: the program copies, or the kernel where the bytes are not
// believed to be in memory.
type readAtSession struct {
	*mapped
	buf []byte
}

func openReadAt(path string, size, block int) (session, error) {
	m, err := openMapped(path, size)
	if err != nil {
		return nil, err
	}
	m.done.buffer = int64(block)
	return &readAtSession{m, make([]byte, block)}, nil
}

func (s *readAtSession) sum(off int64, n int) (uint64, error) {
	got, err := s.ReadAt(s.buf[:n], off)
	s.done.byUser += int64(got)
	return sumBytes(s.buf[:got]), err
}

// pread(2): one call for a block, and the kernel copies.
type fileSession struct {
	*os.File
	buf  []byte
	at   int64 // where the next read(2) reads
	done work
}

func (s *fileSession) work() work { return s.done }

func openFileSession(path string, block int) (*fileSession, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &fileSession{File: f, buf: make([]byte, block), done: work{buffer: int64(block)}}, nil
}

type preadSession struct{ *fileSession }

func openPread(path string, _, block int) (session, error) {
	f, err := openFileSession(path, block)
	if err != nil {
		return nil, err
	}
	return preadSession{f}, nil
}

func (s preadSession) sum(off int64, n int) (uint64, error) {
	got, err := s.ReadAt(s.buf[:n], off)
	s.done.reads++
	s.done.copied += int64(got)
	return sumBytes(s.buf[:got]), err
}

// read(2): an lseek where the block is not the next one, and as many reads as
// it takes to fill it.
type readSession struct{ *fileSession }

func openRead(path string, _, block int) (session, error) {
	f, err := openFileSession(path, block)
	if err != nil {
		return nil, err
	}
	return readSession{f}, nil
}

func (s readSession) sum(off int64, n int) (uint64, error) {
	if off != s.at {
		if _, err := s.Seek(off, io.SeekStart); err != nil {
			return 0, err
		}
		s.done.others++
		s.at = off
	}
	for filled := 0; filled < n; {
		got, err := s.Read(s.buf[filled:n])
		s.done.reads++
		s.done.copied += int64(got)
		s.at += int64(got)
		if filled += got; filled < n {
			s.done.short++
		}
		if err != nil {
			return 0, err
		}
	}
	return sumBytes(s.buf[:n]), nil
}

// os.ReadFile: everything at once, into new memory.
type readFileSession struct {
	data []byte
	done work
}

func openReadFile(path string, size, _ int) (session, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) != size {
		return nil, fmt.Errorf("ReadFile read %d bytes of %d", len(data), size)
	}
	// How many read calls it makes only the kernel can tell.
	return &readFileSession{data, work{reads: unknownCount, copied: int64(len(data)), buffer: int64(cap(data))}}, nil
}

func (s *readFileSession) sum(off int64, n int) (uint64, error) {
	return sumBytes(s.data[off : off+int64(n)]), nil
}

func (s *readFileSession) work() work   { return s.done }
func (s *readFileSession) Close() error { s.data = nil; return nil }

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"sync/atomic"

	"github.com/memwright/mmap"
)

// reserveBytes is the address space kept for the log to grow in. Beyond it
// Resize still works and moves the bytes, which hurts nobody: no pointer into
// them is kept. 1 GiB, or 256 MiB of a 32-bit address space.
const reserveBytes = 1 << (28 + ^uint(0)>>63*2)

// A log is an open file of records, to read from the first on.
type log struct {
	file   *os.File
	head   *mmap.Mapping
	header []uint64      // the header's words, in head. Only used inside a View, which turns a fault into an error
	data   *mmap.Mapping // what lies behind the header
	next   int           // offset in data of the record to be read next
	buf    []byte        // the record that was read last
}

// openLog maps the file. What is in it is not looked at.
func openLog(f *os.File, access mmap.Access) (_ *log, err error) {
	l := &log{file: f}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.head, err = mmap.Map(f, mmap.Options{Access: access, Length: headerBytes}); err != nil {
		return nil, err
	}
	if l.header, err = mmap.Slice[uint64](l.head, 0, headerWords); err != nil {
		return nil, err
	}
	l.data, err = mmap.Map(f, mmap.Options{Access: access, Offset: headerBytes, Reserve: reserveBytes})
	return l, err
}

// openReader opens a log that a writer has made.
func openReader(name string) (*log, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w; appendlog append %s makes it", err, name)
	}
	if size, err := sizeOf(f); err != nil || size < headerBytes {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, errNotLog), err, f.Close())
	}
	l, err := openLog(f, mmap.ReadOnly)
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *log) close() error {
	err := l.file.Close()
	for _, m := range []*mmap.Mapping{l.head, l.data} {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
	}
	return err
}

var errNotLog = errors.New("it is not a log that appendlog has made")

// check refuses a file that is no log.
func (l *log) check() error {
	got, err := l.word(wordMagic)
	switch {
	case err != nil:
		return err
	case got == bits.ReverseBytes64(magic):
		return fmt.Errorf("%s: the log was made on a machine of the other byte order; read it there", l.file.Name())
	case got != magic:
		return fmt.Errorf("%s: %w", l.file.Name(), errNotLog)
	}
	return nil
}

// word loads a word of the header.
func (l *log) word(i int) (v uint64, err error) {
	err = l.head.View(0, headerBytes, func([]byte) error {
		v = atomic.LoadUint64(&l.header[i])
		return nil
	})
	return v, err
}

// end is where the last committed record ends. It makes sure that all up to
// there is in the file, and mapped.
func (l *log) end() (int, error) {
	committed, err := l.word(wordEnd)
	if err != nil {
		return 0, err
	}
	size, err := sizeOf(l.file)
	switch {
	case err != nil:
		return 0, err
	case size < int64(headerBytes+l.next):
		return 0, fmt.Errorf("%s was truncated: it had %d bytes of records, and %d are left", l.file.Name(), l.next, max(0, size-headerBytes))
	case committed < uint64(l.next):
		return 0, fmt.Errorf("%s was overwritten: it had %d bytes of records, and says now that it has %d", l.file.Name(), l.next, committed)
	case committed > uint64(size-headerBytes):
		return 0, fmt.Errorf("%s was truncated: it says that it has %d bytes of records, and %d are left", l.file.Name(), committed, size-headerBytes)
	case committed > math.MaxInt:
		return 0, fmt.Errorf("%s has %d bytes of records, more than fit in this process", l.file.Name(), committed)
	}
	end := int(committed)
	if end > l.data.Len() {
		return end, l.data.Resize(end)
	}
	return end, nil
}

// read is the next record. It is valid until the next call; there must be one
// before end. It is a copy, so that what was checked is what is returned.
func (l *log) read(end int) ([]byte, error) {
	bad := func(format string, args ...any) error {
		return &damaged{headerBytes + l.next, fmt.Sprintf(format, args...)}
	}
	var prefix [prefixBytes]byte
	if end-l.next < prefixBytes {
		return nil, bad("%d bytes are no record", end-l.next)
	}
	if _, err := l.data.ReadAt(prefix[:], int64(l.next)); err != nil {
		return nil, err
	}
	n := int64(binary.NativeEndian.Uint32(prefix[:4]))
	if n > maxRecordBytes || n > int64(end-l.next-prefixBytes) {
		return nil, bad("its length says %d", n)
	}
	l.buf = append(l.buf[:0], make([]byte, n)...)
	if _, err := l.data.ReadAt(l.buf, int64(l.next)+prefixBytes); err != nil {
		return nil, err
	}
	if want, got := binary.NativeEndian.Uint32(prefix[4:]), checksum(prefix[:4], l.buf); got != want {
		return nil, bad("its checksum is %08x and should be %08x", got, want)
	}
	l.next += prefixBytes + int(n)
	return l.buf, nil
}

func sizeOf(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

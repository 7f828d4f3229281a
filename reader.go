package mmap

import (
	"errors"
	"io"
)

// NewReader is a Reader at the mapping's start.
func (m *Mapping) NewReader() *Reader { return &Reader{m: m} }

// A Reader reads a mapping as a stream: io.Reader, io.ReaderAt, io.Seeker,
// io.ByteScanner, io.WriterTo. It has a position, so one goroutine uses it at a
// time; a Mapping may have any number of Readers. It sees the mapping grow.
type Reader struct {
	m       *Mapping
	off     int64
	canBack bool // the last call was a ReadByte that succeeded
}

// Read reads from the position on.
func (r *Reader) Read(p []byte) (int, error) {
	r.canBack = false
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.m.ReadAt(p, r.off)
	r.off += int64(n)
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt reads from off and leaves the position alone.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { return r.m.ReadAt(p, off) }

// ReadByte reads one byte.
func (r *Reader) ReadByte() (byte, error) {
	var b [1]byte
	n, err := r.m.ReadAt(b[:], r.off)
	r.off += int64(n)
	r.canBack = n == 1
	if n == 1 {
		err = nil
	}
	return b[0], err
}

// UnreadByte steps back over the byte that the last call, a ReadByte, returned.
func (r *Reader) UnreadByte() error {
	if !r.canBack {
		return r.m.fail("unread byte", r.off, 1, invalid("the last call was no successful ReadByte"))
	}
	r.canBack = false
	r.off--
	return nil
}

// Seek sets the position. A position past the end is allowed, and reading there
// is io.EOF.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	base := int64(0)
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		base = r.off
	case io.SeekEnd:
		base = int64(r.m.Len())
	default:
		return 0, r.m.fail("seek", offset, 0, invalid("whence %d", whence))
	}
	if offset < 0 && base+offset < 0 || offset > 0 && base+offset < base {
		return 0, r.m.fail("seek", offset, 0, errors.Join(ErrOutOfRange, errNegativePosition))
	}
	r.canBack = false
	r.off = base + offset
	return r.off, nil
}

var errNegativePosition = errors.New("the position would be negative or too large")

// WriteTo writes from the position to the end, as Mapping.WriteTo does.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	r.canBack = false
	length := int64(r.m.Len())
	off := min(r.off, length)
	n, err := r.m.send("write to", w, off, int(length-off), r.m.sendsFile)
	r.off += n
	return n, err
}

package ring

import "errors"

// The errors that calls of this package wrap, beside the context's, io.EOF (the
// writing side has closed, and everything is read), io.ErrUnexpectedEOF (it died,
// and everything is read), io.ErrClosedPipe (the other side has closed),
// fs.ErrClosed (this side has, or its Space) and fs.ErrInvalid (an argument makes
// no sense).
var (
	// ErrFull: a Try found no room.
	ErrFull = errors.New("ring: full")
	// ErrEmpty: a Try found nothing to read.
	ErrEmpty = errors.New("ring: empty")
	// ErrTooLong: no record of the ring can have so many bytes.
	ErrTooLong = errors.New("ring: the record is too long for the ring")
	// ErrShort: the buffer is shorter than the record, which stays where it is.
	ErrShort = errors.New("ring: the record is longer than the buffer")
	// ErrTaken: the side, or every seat, has been taken.
	ErrTaken = errors.New("ring: taken")
	// ErrCorrupt: what stands in the shared memory can't have come from this
	// package. The side that finds it stays unusable.
	ErrCorrupt = errors.New("ring: the shared memory is corrupt")
	// ErrReadOnly: this process may only read the memory.
	ErrReadOnly = errors.New("ring: the memory is read-only")
)

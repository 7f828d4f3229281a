package vmem

import (
	"bytes"
	"io"
)

// A Store is what can be mapped: anything that is read by offset and has a
// size. An *os.File needs a Size method around it; [Bytes] is a Store in
// memory. A Store that is only this can be read and mapped privately, or
// shared and read-only; to be changed it must be a [WritableStore].
//
// ReadAt keeps the promises of io.ReaderAt. What it returns for a range past
// Size does not matter: those bytes are zeros to a mapping. The engine calls a
// Store from inside its own calls, one at a time, and a Store must not call the
// engine back.
type Store interface {
	io.ReaderAt
	// Size is the length in bytes. It is asked once, when the Store is brought
	// into a machine; from then on only the machine may change it.
	Size() (int64, error)
}

// A WritableStore can be written, resized and made durable.
type WritableStore interface {
	Store
	// WriteAt writes as io.WriterAt says, and beyond the end makes the Store
	// longer; what lies between is zeros.
	io.WriterAt
	// Truncate sets the size. New bytes are zeros.
	Truncate(size int64) error
	// Sync returns when everything written before would survive a power cut.
	Sync() error
}

// Bytes is a WritableStore in memory. Its zero value is empty. It is as
// durable as memory: Sync does nothing.
type Bytes struct{ p []byte }

// NewBytes returns a Store that holds p, which it owns from then on.
func NewBytes(p []byte) *Bytes { return &Bytes{p} }

// Bytes returns the content, not a copy.
func (b *Bytes) Bytes() []byte { return b.p }

// Size implements [Store].
func (b *Bytes) Size() (int64, error) { return int64(len(b.p)), nil }

// ReadAt implements io.ReaderAt.
func (b *Bytes) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, EINVAL
	}
	return bytes.NewReader(b.p).ReadAt(p, off)
}

// WriteAt implements io.WriterAt.
func (b *Bytes) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, EINVAL
	}
	if more := off + int64(len(p)-len(b.p)); more > 0 && len(p) > 0 {
		b.p = append(b.p, make([]byte, more)...)
	}
	return copy(b.p[min(off, int64(len(b.p))):], p), nil
}

// Truncate implements [WritableStore].
func (b *Bytes) Truncate(size int64) error {
	switch {
	case size < 0:
		return EINVAL
	case size <= int64(len(b.p)):
		clear(b.p[size:])
		b.p = b.p[:size]
	default:
		b.p = append(b.p, make([]byte, size-int64(len(b.p)))...)
	}
	return nil
}

// Sync implements [WritableStore].
func (b *Bytes) Sync() error { return nil }

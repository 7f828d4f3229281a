package vmem

import "encoding/binary"

// Load reads the byte at a, as a processor does. The error is a [*Fault], or
// ENOMEM where no frame could be had.
func (p *Process) Load(a Addr) (byte, error) { return p.read(a, load) }

// Fetch reads the byte at a as an instruction.
func (p *Process) Fetch(a Addr) (byte, error) { return p.read(a, fetch) }

func (p *Process) read(a Addr, how vmFlags) (byte, error) {
	var b [1]byte
	_, err := p.copyPages(a, b[:], how)
	return b[0], err
}

// Store writes the byte at a.
func (p *Process) Store(a Addr, b byte) error {
	_, err := p.copyPages(a, []byte{b}, store)
	return err
}

// A Word is a number that [LoadAt] and [StoreAt] can move, in the byte order
// of amd64 and arm64: the lowest byte first.
type Word interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64
}

// LoadAt reads a word. Where it crosses a page border both pages must be there.
func LoadAt[T Word](p *Process, a Addr) (T, error) {
	var w [8]byte
	if _, err := p.copyPages(a, w[:binary.Size(T(0))], load); err != nil {
		return 0, err
	}
	return T(binary.LittleEndian.Uint64(w[:])), nil
}

// StoreAt writes a word: all of it, or after a fault none.
func StoreAt[T Word](p *Process, a Addr, v T) error {
	var w [8]byte
	binary.LittleEndian.PutUint64(w[:], uint64(v))
	n := binary.Size(v)
	if last := a + Addr(n) - 1; last.floor() != a.floor() {
		// The processor looks at both pages before it writes to either.
		first, err := p.touch(a, store)
		if err != nil {
			return err
		}
		first.held++
		defer func() { first.held-- }()
		if _, err := p.touch(last.floor(), store); err != nil {
			return err
		}
	}
	_, err := p.copyPages(a, w[:n], store)
	return err
}

// ReadAt reads len(b) bytes of the process's memory from the address off on, as
// a loop of loads does: after a fault the bytes before it are there.
func (p *Process) ReadAt(b []byte, off int64) (int, error) { return p.copyPages(Addr(off), b, load) }

// WriteAt writes b to the process's memory from the address off on.
func (p *Process) WriteAt(b []byte, off int64) (int, error) { return p.copyPages(Addr(off), b, store) }

func (p *Process) copyPages(a Addr, b []byte, how vmFlags) (n int, err error) {
	for n < len(b) {
		f, err := p.touch(a+Addr(n), how)
		if err != nil {
			return n, err
		}
		page := f.data[(a+Addr(n))&(PageSize-1):]
		if how == store {
			n += copy(page, b[n:])
			f.object.after(f)
		} else {
			n += copy(b[n:], page)
		}
	}
	return n, nil
}

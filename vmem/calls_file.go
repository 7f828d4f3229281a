package vmem

import (
	"bytes"
	"io"
)

// Read is pread: it copies up to n bytes of f from off on to the process's
// memory at buf. It returns how many; 0 at the end of the file. A fault in the
// memory is no signal here: it ends the copy, and is EFAULT if nothing was copied.
func (p *Process) Read(f *File, buf Addr, n uint64, off int64) (int, error) {
	p.m.call("pread64")
	if err := p.rangeOK(f, ReadOnly, buf, n, off); err != nil {
		return 0, err
	}
	return unlessSome(f.object.read(n, off, p.user(buf, store)))
}

// Write is pwrite: it copies n bytes of the process's memory at buf to f from
// off on, and makes the file longer if it must. A fault in the memory ends it
// like Read's.
func (p *Process) Write(f *File, buf Addr, n uint64, off int64) (int, error) {
	p.m.call("pwrite64")
	if err := p.rangeOK(f, WriteOnly, buf, n, off); err != nil {
		return 0, err
	}
	return unlessSome(f.object.write(n, off, p.user(buf, load)))
}

func (p *Process) rangeOK(f *File, need Mode, buf Addr, n uint64, off int64) error {
	err, high := f.usable(need, off), p.m.cfg.High
	switch {
	case err != nil:
		return err
	case n > 1<<63-1 || off > 1<<63-1-int64(n):
		return EINVAL
	case buf > high || n > uint64(high-buf):
		return EFAULT
	}
	return nil
}

// unlessSome drops an error after some bytes were moved: a short count tells it.
func unlessSome(done int, err error) (int, error) {
	if done > 0 {
		return done, nil
	}
	return 0, err
}

// A mover moves bytes between a chunk of a page of an object and wherever it
// stands, and goes on behind them.
type mover func(chunk []byte) (int, error)

// user moves from and to the process's memory at buf.
func (p *Process) user(buf Addr, how vmFlags) mover {
	return func(chunk []byte) (int, error) {
		n, err := p.copyPages(buf, chunk, how)
		buf += Addr(n)
		return n, inCall(err)
	}
}

// read hands the bytes of [off, off+n) that are before the end to put, a page
// at a time.
func (o *Object) read(n uint64, off int64, put mover) (done int, err error) {
	for uint64(done) < n && off < o.size && err == nil {
		index, in := uint64(off)>>pageShift, int(off&(PageSize-1))
		count := int(min(n-uint64(done), uint64(PageSize-in), uint64(o.size-off)))
		f := o.m.zero // a hole of memory that nobody touched stays one
		if o.store != nil || o.pages[index] != nil {
			if f, _, err = o.page(index, vmSequential); err != nil {
				break
			}
		}
		f.referenced = true
		f.held++
		count, err = put(f.data[in : in+count])
		f.held--
		o.m.tell(Event{Kind: BytesRead, Object: o, Off: off, N: count, Frame: f.number})
		done, off = done+count, off+int64(count)
	}
	return done, err
}

// write fills [off, off+n) from get, a page at a time. Pages that are written
// in part are read first.
func (o *Object) write(n uint64, off int64, get mover) (done int, err error) {
	if n > 0 && off >= o.maxSize {
		return 0, EFBIG
	}
	n = min(n, uint64(o.maxSize-off))
	if n > 0 && off > o.size {
		o.zeroBeforeGrowth()
	}
	for uint64(done) < n && err == nil {
		var buf [PageSize]byte
		chunk := buf[:min(n-uint64(done), uint64(PageSize-off&(PageSize-1)))]
		var count int
		if count, err = get(chunk); count > 0 {
			if err := o.writeChunk(chunk[:count], off); err != nil {
				return done, err
			}
		}
		done, off = done+count, off+int64(count)
	}
	return done, err
}

func (o *Object) writeChunk(chunk []byte, off int64) (err error) {
	index, whole := uint64(off)>>pageShift, len(chunk) == PageSize
	f := o.cached(index)
	switch {
	case f != nil:
	case index < o.end() && !(whole && o.pages[index] == nil):
		f, _, err = o.page(index, vmRandom)
	default:
		f, err = o.fresh(index)
	}
	if err != nil {
		return err
	}
	copy(f.data[off&(PageSize-1):], chunk)
	f.referenced = true
	if end := off + int64(len(chunk)); end > o.size {
		o.size = end
		o.crash.resized(end)
	}
	o.dirty(f)
	o.after(f)
	o.m.tell(Event{Kind: BytesWritten, Object: o, Off: off, N: len(chunk), Frame: f.number})
	return nil
}

// ReadAt reads the file through the page cache into memory outside the
// machine. It is not a process's call and counts as none.
func (f *File) ReadAt(b []byte, off int64) (int, error) {
	if err := f.usable(ReadOnly, off); err != nil {
		return 0, err
	}
	rest := b
	n, err := f.object.read(uint64(len(b)), off, func(chunk []byte) (int, error) {
		n := copy(rest, chunk)
		rest = rest[n:]
		return n, nil
	})
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

// WriteAt writes the file through the page cache from memory outside the
// machine, and makes it longer if it must.
func (f *File) WriteAt(b []byte, off int64) (int, error) {
	if err := f.usable(WriteOnly, off); err != nil {
		return 0, err
	}
	n, err := f.object.write(uint64(len(b)), off, bytes.NewReader(b).Read)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Truncate sets the file's size, as ftruncate does. Pages beyond a smaller one
// are taken from everybody who maps them, copies too: an access is a SIGBUS.
func (f *File) Truncate(size int64) error {
	if err := f.usable(0, size); err != nil {
		return err
	}
	f.object.m.call("ftruncate")
	switch {
	case f.mode&WriteOnly == 0:
		return EINVAL
	case size > f.object.maxSize:
		return EFBIG
	}
	return f.object.resize(size)
}

// Sync writes the file's dirty pages to the Store and makes it durable, as
// fsync does. After a failed write-back it answers EIO, once for each File,
// and what was not written is never written.
func (f *File) Sync() error {
	if err := f.usable(0, 0); err != nil {
		return err
	}
	f.object.m.call("fsync")
	return f.object.sync(f, 0, ^uint64(0))
}

package mmap_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"

	"github.com/memwright/mmap"
)

// A model is what a mapping must show: bytes in a slice.
type model struct {
	m       *mmap.Mapping
	bytes   []byte
	file    string // "" for none
	before  []byte // the file's bytes before the mapping
	stores  bool   // may be stored to
	toFile  bool   // stores reach the file
	private bool
}

func newModel(t *testing.T, kind uint8, delta, length int) *model {
	t.Helper()
	content := pattern(delta + length)
	w := &model{bytes: content[delta:], before: content[:delta:delta]}
	o := mmap.Options{Offset: int64(delta)}
	switch kind % 4 {
	case 0:
		o.Access = mmap.ReadOnly
	case 1:
		o.Access, w.stores, w.toFile = mmap.ReadWrite, true, true
	case 2:
		o.Access, w.stores, w.private = mmap.CopyOnWrite, true, true
	case 3:
		w.stores, w.private = true, true
		w.m = hold(t)(mmap.Anonymous(length, mmap.Options{}))
		if _, err := w.m.WriteAt(w.bytes, 0); err != nil {
			t.Fatal(err)
		}
		return w
	}
	w.file = newFile(t, content)
	w.m = hold(t)(mmap.OpenFile(w.file, o))
	return w
}

// check compares the mapping, and the file, with the model.
func (w *model) check(t *testing.T) {
	t.Helper()
	wantBytes(t, "the mapping", contents(t, w.m), w.bytes)
	if w.toFile {
		got, err := os.ReadFile(w.file)
		if err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Clone(w.before), w.bytes...)
		if len(got) < len(want) {
			t.Fatalf("the file has %d bytes, the mapping ends at %d", len(got), len(want))
		}
		wantBytes(t, "the file", got[:len(want)], want)
	}
}

func (w *model) holds(off int64, n int) bool {
	return off >= 0 && n >= 0 && off <= int64(len(w.bytes)) && int64(n) <= int64(len(w.bytes))-off
}

// The calls that take a range. Each answers whether the call should succeed,
// given that the range lies within, and its error.
var rangeCalls = []struct {
	name string
	call func(t *testing.T, w *model, off int64, n int) (allowed bool, err error)
}{
	{"View", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		return true, w.m.View(off, n, func(p []byte) error {
			wantBytes(t, "the view", p, w.bytes[off:off+int64(n)])
			if w.stores {
				for i := range p {
					p[i] ^= 0x55
					w.bytes[off+int64(i)] ^= 0x55
				}
			}
			return nil
		})
	}},
	{"WriteView", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		return w.toFile, w.m.WriteView(off, n, func(p []byte) error {
			clear(p)
			clear(w.bytes[off : off+int64(n)])
			return nil
		})
	}},
	{"Protect", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		err := w.m.Protect(off, n, mmap.ProtNone)
		restored := mmap.ProtRead
		if w.stores {
			restored |= mmap.ProtWrite
		}
		return true, errors.Join(err, w.m.Protect(0, len(w.bytes), restored))
	}},
	{"Lock", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		return true, w.m.Lock(off, n, mmap.LockOnFault)
	}},
	{"Unlock", func(t *testing.T, w *model, off int64, n int) (bool, error) { return true, w.m.Unlock(off, n) }},
	{"Advise", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		return true, w.m.Advise(off, n, mmap.AdviseWillNeed)
	}},
	{"Populate", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		return true, w.m.Populate(context.Background(), off, n)
	}},
	{"Sync", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		return !w.private, w.m.SyncRange(off, n, mmap.SyncWait)
	}},
	{"Residency", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		r, err := w.m.Residency(off, n)
		if err == nil && (r.Pages > mmap.PageCount(n/pageSize+2) || r.Resident > r.Pages || r.Private > r.Pages || n > 0 && r.Pages == 0) {
			t.Errorf("%d bytes: %+v", n, r)
		}
		return true, err
	}},
	{"ResidentRanges", func(t *testing.T, w *model, off int64, n int) (allowed bool, err error) {
		at := off
		for r, e := range w.m.ResidentRanges(off, n) {
			if e != nil {
				err = e
			} else if r.Off < at || r.Len <= 0 || r.Off+r.Len > off+int64(n) {
				t.Errorf("[%d, +%d) has the range %v after %d", off, n, r, at)
			}
			at = r.Off + r.Len
		}
		return true, err
	}},
	{"SendTo", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		var b bytes.Buffer
		k, err := w.m.SendTo(&b, off, n)
		if err == nil {
			wantBytes(t, "what was sent", b.Bytes(), w.bytes[off:off+int64(n)])
		}
		if k != int64(b.Len()) {
			t.Errorf("%d bytes told, %d sent", k, b.Len())
		}
		return true, err
	}},
	{"PunchHole", func(t *testing.T, w *model, off int64, n int) (bool, error) {
		err := w.m.Discard(off, n, mmap.PunchHole)
		if err == nil && w.toFile {
			clear(w.bytes[off : off+int64(n)])
		}
		return w.toFile || n == 0, err
	}},
}

// FuzzRanges makes one call with any range. Inside the mapping it does what the
// model does; outside it is an error, and nothing has changed.
func FuzzRanges(f *testing.F) {
	for i := range rangeCalls {
		for kind := range 4 {
			f.Add(uint8(i), uint8(kind), uint16(100), uint16(9000), int64(4000), int64(200))
			f.Add(uint8(i), uint8(kind), uint16(4096), uint16(8192), int64(0), int64(8192))
			f.Add(uint8(i), uint8(kind), uint16(1), uint16(0), int64(0), int64(0))
			f.Add(uint8(i), uint8(kind), uint16(7), uint16(5000), int64(5000), int64(0))
			f.Add(uint8(i), uint8(kind), uint16(7), uint16(5000), int64(5000), int64(1))
			f.Add(uint8(i), uint8(kind), uint16(0), uint16(5000), int64(-1), int64(2))
			f.Add(uint8(i), uint8(kind), uint16(0), uint16(5000), int64(math.MaxInt64), int64(math.MaxInt64))
			f.Add(uint8(i), uint8(kind), uint16(0), uint16(5000), int64(10), int64(math.MinInt64))
		}
	}
	f.Fuzz(func(t *testing.T, call, kind uint8, delta, length uint16, off, n64 int64) {
		w := newModel(t, kind, int(delta%10000), int(length%20000))
		n := int(n64)
		c := rangeCalls[int(call)%len(rangeCalls)]
		inside := w.holds(off, n)
		allowed, err := c.call(t, w, off, n)
		switch {
		case !inside:
			var e *mmap.Error
			if !errors.As(err, &e) {
				t.Errorf("%s outside of the mapping: %v", c.name, err)
			} else if allowed && !errors.Is(err, mmap.ErrOutOfRange) {
				t.Errorf("%s outside of the mapping: %v, want ErrOutOfRange", c.name, err)
			}
		case allowed && err != nil:
			t.Errorf("%s of [%d, +%d) of %d bytes: %v", c.name, off, n, len(w.bytes), err)
		case !allowed && err == nil:
			t.Errorf("%s of [%d, +%d): no error", c.name, off, n)
		}
		w.check(t)
	})
}

// FuzzReadWriteAt compares ReadAt and WriteAt with a slice.
func FuzzReadWriteAt(f *testing.F) {
	for kind := range uint8(4) {
		f.Add(kind, uint16(100), uint16(9000), int64(4000), []byte("hello"))
		f.Add(kind, uint16(4095), uint16(2), int64(1), []byte("over the end"))
		f.Add(kind, uint16(0), uint16(0), int64(0), []byte{})
		f.Add(kind, uint16(0), uint16(10), int64(-1), []byte("x"))
		f.Add(kind, uint16(0), uint16(10), int64(math.MaxInt64), []byte("x"))
	}
	f.Fuzz(func(t *testing.T, kind uint8, delta, length uint16, off int64, p []byte) {
		w := newModel(t, kind, int(delta%10000), int(length%20000))
		n, err := w.m.WriteAt(p, off)
		if w.stores && w.holds(off, len(p)) {
			if n != len(p) || err != nil {
				t.Errorf("WriteAt: %d, %v", n, err)
			}
			copy(w.bytes[off:], p)
		} else if n != 0 || err == nil {
			t.Errorf("WriteAt that does not fit: %d, %v", n, err)
		}
		w.check(t)

		got := make([]byte, len(p))
		n, err = w.m.ReadAt(got, off)
		wantN, wantErr := bytes.NewReader(w.bytes).ReadAt(make([]byte, len(p)), max(0, off))
		switch {
		case off < 0:
			if n != 0 || !errors.Is(err, mmap.ErrOutOfRange) {
				t.Errorf("ReadAt before the start: %d, %v", n, err)
			}
		case len(p) == 0:
			if n != 0 || err != nil {
				t.Errorf("ReadAt of nothing: %d, %v", n, err)
			}
		case n != wantN || err != wantErr:
			t.Errorf("ReadAt: %d, %v; want %d, %v", n, err, wantN, wantErr)
		case n > 0:
			wantBytes(t, "what was read", got[:n], w.bytes[off:off+int64(n)])
		}
	})
}

// FuzzSliceAndResize takes typed views of any range, and any length.
func FuzzSliceAndResize(f *testing.F) {
	for kind := range uint8(4) {
		f.Add(kind, uint16(4), uint16(9000), int64(4), int64(10), int64(20000))
		f.Add(kind, uint16(3), uint16(9000), int64(5), int64(math.MaxInt64), int64(0))
		f.Add(kind, uint16(1), uint16(0), int64(0), int64(0), int64(1))
		f.Add(kind, uint16(0), uint16(100), int64(96), int64(1), int64(-1))
		f.Add(kind, uint16(0), uint16(100), int64(97), int64(-1), int64(math.MaxInt64))
	}
	f.Fuzz(func(t *testing.T, kind uint8, delta, length uint16, off, n64, resize int64) {
		w := newModel(t, kind, int(delta%10000), int(length%20000))
		n := int(n64)
		s, err := mmap.Slice[uint32](w.m, off, n)
		fits := n >= 0 && n <= math.MaxInt/4 && w.holds(off, 4*n)
		aligned := fits && (uintptr(off)+w.m.Addr())%4 == 0
		if n == 0 {
			aligned = fits // nothing, wherever it is
		}
		if ok := err == nil; ok != aligned || ok && len(s) != n {
			t.Errorf("%d values at %d of %d bytes at %#x: %d, %v", n, off, len(w.bytes), w.m.Addr(), len(s), err)
		}
		if n := int(resize); n > 1<<20 && n < math.MaxInt>>8 {
			return // it would take that much of the disk
		}
		err = w.m.Resize(int(resize))
		behind := int64(math.MaxInt64) // bytes that there are to grow into
		if w.file != "" && !w.toFile {
			behind = int64(len(w.bytes))
		}
		switch {
		case err != nil:
			if resize >= 0 && resize <= behind && resize <= 1<<20 {
				t.Errorf("Resize to %d: %v", resize, err)
			}
		case resize < 0 || resize > behind || resize > 1<<20:
			t.Errorf("Resize to %d of %d bytes: no error", resize, len(w.bytes))
		default:
			old := len(w.bytes)
			w.bytes = append(bytes.Clone(w.bytes), make([]byte, 1<<20)...)[:resize]
			if got := contents(t, w.m); len(got) > old && len(bytes.Trim(got[old:], "\x00")) > 0 {
				t.Error("what is new is not zero")
			}
		}
		w.check(t)
	})
}

// FuzzOpenOptions maps what a model says, or answers an error that leaves the
// file alone. It never crashes.
func FuzzOpenOptions(f *testing.F) {
	f.Add(uint8(0), uint8(0), int64(0), int64(0), int64(0), int64(0))
	f.Add(uint8(1), uint8(0), int64(100), int64(5000), int64(100000), int64(0))
	f.Add(uint8(2), uint8(0), int64(12000), int64(90000), int64(0), int64(0))
	f.Add(uint8(2), uint8(2), int64(4097), int64(10), int64(9000), int64(4097))
	f.Add(uint8(3), uint8(3), int64(1), int64(0), int64(0), int64(8193))
	f.Add(uint8(2), uint8(2), int64(0), int64(20000), int64(0), int64(1))
	f.Add(uint8(3), uint8(1), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(1))
	f.Add(uint8(4), uint8(0), int64(-1), int64(-1), int64(-1), int64(-1))
	content := pattern(3*pageSize + 77)
	f.Fuzz(func(t *testing.T, access, placement uint8, off, length64, reserve64, addr int64) {
		length, reserve := int(length64), int(reserve64)
		o := mmap.Options{
			Access: mmap.Access(access % 6), Placement: mmap.Placement(placement % 5),
			Offset: off, Length: length, Reserve: reserve,
		}
		if length > 1<<20 && length < math.MaxInt>>8 || off > 1<<40 && off < 1<<60 {
			return // it would take that much of the disk
		}
		// Addresses are taken inside a reservation, so that FixedReplace destroys nothing.
		room := hold(t)(mmap.Anonymous(64*pageSize, mmap.Options{Access: mmap.NoAccess}))
		if o.Placement != mmap.Anywhere {
			o.Addr = room.Addr() + uintptr(32*pageSize) + uintptr(addr%int64(16*pageSize))
			if max(length, reserve) > 8*pageSize || length == 0 && reserve > 8*pageSize {
				return // it would reach out of the reservation
			}
		}
		name := newFile(t, content)
		m, err := mmap.OpenFile(name, o)
		after, readErr := os.Stat(name)
		if readErr != nil {
			t.Fatal(readErr)
		}
		size := int64(len(content))
		grows := o.Access == mmap.ReadWrite && length > 0 && off >= 0 && int64(length) > size-off
		if err != nil {
			var e *mmap.Error
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			if (errors.Is(err, fs.ErrInvalid) || errors.Is(err, mmap.ErrPastEnd)) && after.Size() != size {
				t.Errorf("%v, and the file has %d bytes instead of %d", err, after.Size(), size)
			}
			wellFormed := off >= 0 && length >= 0 && reserve >= 0 && reserve < 1<<30 && o.Access <= mmap.NoAccess && o.Placement <= mmap.FixedReplace
			inFile := off <= size && int64(length) <= size-off
			if o.Placement == mmap.Anywhere && wellFormed && (inFile || grows && off < 1<<30) {
				t.Errorf("%+v: %v", o, err)
			}
			return
		}
		hold(t)(m, nil)
		want := make([]byte, max(0, size-off))
		copy(want, content[min(off, size):])
		if length > 0 {
			want = append(want, make([]byte, length)...)[:length]
		}
		if m.Len() != len(want) {
			t.Fatalf("%+v: %d bytes, want %d", o, m.Len(), len(want))
		}
		if m.Len() > 0 && m.Addr()%uintptr(pageSize) != uintptr(off)%uintptr(pageSize) {
			t.Errorf("offset %d lies at %#x", off, m.Addr())
		}
		if m.Len() > 0 && o.Placement >= mmap.FixedNoReplace && m.Addr() != o.Addr {
			t.Errorf("%v: %#x, want %#x", o.Placement, m.Addr(), o.Addr)
		}
		if o.Access != mmap.NoAccess {
			wantBytes(t, "the mapping", contents(t, m), want)
		}
		if wantSize := max(size, off+int64(len(want))); after.Size() != wantSize && (grows || after.Size() != size) {
			t.Errorf("the file has %d bytes, want %d", after.Size(), wantSize)
		}
	})
}

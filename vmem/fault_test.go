package vmem_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/memwright/mmap/vmem"
)

// TestFaults walks the decision tree: what each first access is, and that the
// second one is no fault.
func TestFaults(t *testing.T) {
	const (
		zeroed = vmem.BytesZeroed
		in     = vmem.BytesIn
		copied = vmem.BytesCopied
	)
	load := func(r *rig) error { _, err := r.Load(at); return err }
	store := func(r *rig) error { return r.Store(at, 1) }
	tests := []struct {
		name  string
		flags vmem.MapFlags
		first func(r *rig) // before the access that is looked at
		do    func(r *rig) error
		want  []vmem.EventKind
	}{
		{"a load of untouched private memory sees the page of zeros", vmem.MapPrivate | vmem.MapAnonymous, nil, load,
			[]vmem.EventKind{vmem.FaultZero}},
		{"a store to untouched private memory gets a fresh page", vmem.MapPrivate | vmem.MapAnonymous, nil, store,
			[]vmem.EventKind{zeroed, vmem.FaultFresh}},
		{"a store where zeros were seen copies them", vmem.MapPrivate | vmem.MapAnonymous, func(r *rig) { load(r) }, store,
			[]vmem.EventKind{vmem.FaultCopy, copied}},
		{"a load of a cold file is a major fault", vmem.MapShared, nil, load,
			[]vmem.EventKind{in, vmem.FaultMajor}},
		{"a load of a warm file is a minor one", vmem.MapShared, func(r *rig) { r.warm() }, load,
			[]vmem.EventKind{vmem.FaultMinor}},
		{"a store to a shared page that was loaded is noticed", vmem.MapShared, func(r *rig) { load(r) }, store,
			[]vmem.EventKind{vmem.FaultNotify}},
		{"a store to a cold shared page is not noticed twice", vmem.MapShared, nil, store,
			[]vmem.EventKind{in, vmem.FaultMajor}},
		{"a store to a private page of a file copies it", vmem.MapPrivate, func(r *rig) { load(r) }, store,
			[]vmem.EventKind{vmem.FaultCopy, copied}},
		{"a store to a cold private page reads and copies", vmem.MapPrivate, nil, store,
			[]vmem.EventKind{in, vmem.FaultMajor, vmem.FaultCopy, copied}},
		{"a store to a page that a child shows too copies it", vmem.MapPrivate | vmem.MapAnonymous,
			func(r *rig) { store(r); r.Fork() }, store, []vmem.EventKind{vmem.FaultCopy, copied}},
		{"a store to a page that no child shows any more takes it back", vmem.MapPrivate | vmem.MapAnonymous,
			func(r *rig) { store(r); r.Fork().Exit() }, store, []vmem.EventKind{vmem.FaultReuse}},
		{"the first touch of shared memory makes a page", vmem.MapShared | vmem.MapAnonymous, nil, load,
			[]vmem.EventKind{zeroed, vmem.FaultMinor}},
		{"what a load brought in, a store may write, if it is memory alone", vmem.MapShared | vmem.MapAnonymous,
			func(r *rig) { load(r) }, store, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, vmem.Config{ReadAhead: 1})
			r.mapped(r.file(vmem.NewBytes(make([]byte, 4*ps))), 4, rw, tt.flags)
			if tt.first != nil {
				tt.first(r)
			}
			r.kinds()
			r.do("access", tt.do(r))
			if got := r.kinds(); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
			r.do("second access", tt.do(r))
			if got := r.kinds(); got != nil {
				t.Errorf("the second time: %v", got)
			}
		})
	}
}

// warm brings the first page of what is mapped at the usual place into memory
// without an entry.
func (r *rig) warm() {
	r.Helper()
	for a := range r.Areas() {
		f := r.open(a.Object, vmem.ReadOnly)
		_, err := f.ReadAt(make([]byte, 1), 0)
		r.do("read", err)
	}
}

// TestSignals has an access that can't be resolved in each way.
func TestSignals(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(make([]byte, ps+1)))
	r.mapped(f, 4, rw, vmem.MapShared)
	none := at + 0x1000000
	_, err := r.Load(none + 5)
	r.fault(err, vmem.SIGSEGV, vmem.MAPERR, none+5)
	r.fault(r.Store(at+2*ps, 1), vmem.SIGBUS, vmem.ADRERR, at+2*ps)
	r.do("the last byte of the last page", r.Store(at+2*ps-1, 1))
	r.fault(vmem.StoreAt(r.Process, at+2*ps-4, uint64(1)), vmem.SIGBUS, vmem.ADRERR, at+2*ps)
	if r.peek(r.Process, at+2*ps-4) != 0 {
		t.Error("a store that faulted in its second page wrote to the first")
	}
	n, err := r.WriteAt(make([]byte, 3*ps), int64(at)+10)
	if r.fault(err, vmem.SIGBUS, vmem.ADRERR, at+2*ps); n != 2*ps-10 {
		t.Errorf("a long write stopped after %d bytes", n)
	}
	r.do("mprotect", r.Mprotect(at, ps, vmem.ProtRead))
	r.fault(r.Store(at, 1), vmem.SIGSEGV, vmem.ACCERR, at)
	_, err = r.Fetch(at)
	r.fault(err, vmem.SIGSEGV, vmem.ACCERR, at)
	r.do("mprotect", r.Mprotect(at, ps, vmem.ProtNone))
	_, err = r.Load(at)
	r.fault(err, vmem.SIGSEGV, vmem.ACCERR, at)
	r.do("mprotect", r.Mprotect(at, ps, vmem.ProtExec))
	if _, err := r.Fetch(at); err != nil {
		t.Errorf("fetch: %v", err)
	}
	if _, err := r.Load(at); err != nil {
		t.Errorf("what may be executed may be read: %v", err)
	}
	_, err = r.Load(1 << 63)
	r.fault(err, vmem.SIGSEGV, vmem.KERNEL, 0)
}

// TestTruncationTakesCopies: a private copy of a page that the file has no more
// is gone, one of the page that is cut in two stays as it is.
func TestTruncationTakesCopies(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(make([]byte, 2*ps)))
	r.mapped(f, 2, rw, vmem.MapPrivate)
	r.poke(r.Process, at+8, 'x')
	r.poke(r.Process, at+ps, 'x')
	r.do("truncate", f.Truncate(1))
	_, err := r.Load(at + ps)
	r.fault(err, vmem.SIGBUS, vmem.ADRERR, at+ps)
	r.do("truncate", f.Truncate(2*ps))
	if a, b := r.peek(r.Process, at+8), r.peek(r.Process, at+ps); a != 'x' || b != 0 {
		t.Errorf("the copies have %q and %q", a, b)
	}
}

// A flaky Store fails where it is told to.
type flaky struct {
	*vmem.Bytes
	read, write, sync, truncate error
}

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	if f.read != nil {
		return 0, f.read
	}
	return f.Bytes.ReadAt(p, off)
}

func (f *flaky) WriteAt(p []byte, off int64) (int, error) {
	if f.write != nil {
		return 0, f.write
	}
	return f.Bytes.WriteAt(p, off)
}

func (f *flaky) Sync() error { return f.sync }

func (f *flaky) Truncate(n int64) error {
	if f.truncate != nil {
		return f.truncate
	}
	return f.Bytes.Truncate(n)
}

// TestReadError: a page that the Store can't read is a SIGBUS with the Store's
// error, EFAULT in a call, EIO in read, and is tried again each time.
func TestReadError(t *testing.T) {
	r := newRig(t, vmem.Config{})
	broken := errors.New("the disk is broken")
	s := &flaky{Bytes: vmem.NewBytes([]byte("abc")), read: broken}
	f := r.file(s)
	r.mapped(f, 1, rw, vmem.MapShared)
	_, err := r.Load(at + 1)
	r.fault(err, vmem.SIGBUS, vmem.ADRERR, at+1)
	r.refuses("load", err, broken)
	for fr := range f.Object().Frames() {
		if fr.State != vmem.StatePoisoned {
			t.Errorf("the page is %v", fr.State)
		}
	}
	var b [3]byte
	_, err = f.ReadAt(b[:], 0)
	r.refuses("read", err, vmem.EIO)
	r.refuses("read", err, broken)
	r.refuses("populate", r.Madvise(at, ps, vmem.AdvicePopulateRead), vmem.EFAULT)
	r.refuses("mlock", r.Mlock(at, 1), vmem.ENOMEM)
	s.read = io.EOF // a Store that is shorter than it said has zeros
	if b := r.peek(r.Process, at); b != 0 {
		t.Errorf("byte %#x", b)
	}
	r.do("munlock", r.Munlock(at, 1))
	r.do("evict", r.Evict(f.Object(), 0))
	if s.read = nil; r.peek(r.Process, at) != 'a' {
		t.Error("the page does not come back when the disk works again")
	}
}

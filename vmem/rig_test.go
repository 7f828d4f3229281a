package vmem_test

import (
	"errors"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/vmem"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	ps    = vmem.PageSize
	at    = vmem.Addr(0x10000000) // where tests map
	rw    = vmem.ProtRead | vmem.ProtWrite
	fixed = vmem.MapFixed
)

// A rig is a machine with one process, and what it says happened.
type rig struct {
	*testing.T
	*vmem.Machine
	*vmem.Process
	events []vmem.Event
}

func newRig(t *testing.T, c vmem.Config) *rig {
	r := &rig{T: t, Machine: vmem.New(c)}
	r.Process = r.Spawn()
	r.Trace = func(e vmem.Event) { r.events = append(r.events, e) }
	return r
}

// file opens a Store for reading and writing, or a Store that can't be written
// for reading.
func (r *rig) file(s vmem.Store) *vmem.File {
	r.Helper()
	o, err := r.Machine.Open("store", s)
	if err != nil {
		r.Fatal(err)
	}
	mode := vmem.ReadWrite
	if _, ok := s.(vmem.WritableStore); !ok {
		mode = vmem.ReadOnly
	}
	return r.open(o, mode)
}

func (r *rig) open(o *vmem.Object, mode vmem.Mode) *vmem.File {
	r.Helper()
	f, err := o.Open(mode)
	if err != nil {
		r.Fatal(err)
	}
	return f
}

// mapped maps n pages of a file at the usual place.
func (r *rig) mapped(f *vmem.File, n uint64, prot vmem.Prot, flags vmem.MapFlags) {
	r.Helper()
	r.do("mmap", func() error { _, err := r.Mmap(at, n*ps, prot, flags|fixed, f, 0); return err }())
}

// do fails the test on an error.
func (r *rig) do(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// refuses fails the test unless the error is the one that is wanted.
func (r *rig) refuses(what string, err error, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("%s: %v, want %v", what, err, want)
	}
}

// kinds are the events since it was last asked.
func (r *rig) kinds() []vmem.EventKind {
	var k []vmem.EventKind
	for _, e := range r.events {
		k = append(k, e.Kind)
	}
	r.events = nil
	return k
}

// poke stores a byte, peek loads one.
func (r *rig) poke(p *vmem.Process, a vmem.Addr, b byte) {
	r.Helper()
	r.do("store", p.Store(a, b))
}

func (r *rig) peek(p *vmem.Process, a vmem.Addr) byte {
	r.Helper()
	b, err := p.Load(a)
	r.do("load", err)
	return b
}

// fault is the fault that an access must have made.
func (r *rig) fault(err error, s vmem.Signal, c vmem.Code, a vmem.Addr) {
	r.Helper()
	var f *vmem.Fault
	if !errors.As(err, &f) || f.Signal != s || f.Code != c || f.Addr != a {
		r.Errorf("%v, want signal %d with code %d at %#x", err, s, c, a)
	}
}

package vmem_test

import (
	"errors"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/vmem"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestSmoke(t *testing.T) {
	m := vmem.New(vmem.Config{})
	b := vmem.NewBytes([]byte("hello, world"))
	o, err := m.Open("f", b)
	if err != nil {
		t.Fatal(err)
	}
	f, err := o.Open(vmem.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Spawn()
	a, err := p.Mmap(0, 5000, vmem.ProtRead|vmem.ProtWrite, vmem.MapShared, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := p.Load(a); c != 'h' || err != nil {
		t.Fatal(c, err)
	}
	if err := p.Store(a, 'j'); err != nil {
		t.Fatal(err)
	}
	var fault *vmem.Fault
	if _, err := p.Load(a + 4096); !errors.As(err, &fault) || fault.Signal != vmem.SIGBUS {
		t.Fatal(err)
	}
	q := p.Fork()
	if v, err := vmem.LoadAt[uint32](q, a); v != 0x6c6c656a || err != nil {
		t.Fatal(v, err)
	}
	if string(b.Bytes()) != "hello, world" {
		t.Fatal(string(b.Bytes()))
	}
	if err := p.Msync(a, 1, vmem.SyncNow); err != nil {
		t.Fatal(err)
	}
	if string(b.Bytes()) != "jello, world" {
		t.Fatal(string(b.Bytes()))
	}
	for a := range p.Areas() {
		t.Log(a)
	}
	t.Logf("%+v", m.Counters())
}

package vmem

import "testing"

func BenchmarkLoad(b *testing.B) {
	m := New(Config{})
	p := m.Spawn()
	a, _ := p.Mmap(0, 1<<20, ProtRead|ProtWrite, MapPrivate|MapAnonymous, nil, 0)
	p.populate(p.at(a))
	for i := 0; b.Loop(); i++ {
		p.Load(a + Addr(i*64)&(1<<20-1))
	}
}

func BenchmarkFaultCycle(b *testing.B) {
	m := New(Config{})
	o := m.Memory("f")
	o.size = 1 << 20
	f, _ := o.Open(ReadWrite)
	p := m.Spawn()
	for b.Loop() {
		a, _ := p.Mmap(0x10000000, 16*PageSize, ProtRead|ProtWrite, MapPrivate|MapFixed, f, 0)
		p.Store(a, 1)
		p.Load(a + PageSize)
		p.Mprotect(a, 4*PageSize, ProtRead)
		c := p.Fork()
		c.Exit()
		p.Munmap(a, 16*PageSize)
	}
}

package vmem_test

import (
	"testing"

	"github.com/memwright/mmap/vmem"
)

// TestChosenPlace: an address may be fed in; one that no kernel could have
// chosen is refused, and changes nothing.
func TestChosenPlace(t *testing.T) {
	r := newRig(t, vmem.Config{})
	var chosen vmem.Addr
	r.Choose.Place = func(p *vmem.Process, n uint64) (vmem.Addr, bool) { return chosen, chosen != 0 }
	anon := func() (vmem.Addr, error) {
		return r.Mmap(0, 2*ps, rw, vmem.MapPrivate|vmem.MapAnonymous, nil, 0)
	}
	for _, tt := range []struct {
		name  string
		place vmem.Addr
		legal bool
	}{
		{"free", at, true},
		{"taken", at, false},
		{"half taken", at + ps, false},
		{"next to it", at + 2*ps, true},
		{"no page border", at + 8*ps + 1, false},
		{"below all addresses", ps, false},
		{"above all addresses", 0x7ffffffff000 - ps, false},
		{"the last two pages", 0x7ffffffff000 - 2*ps, true},
		{"left to the engine", 0, true},
	} {
		chosen = tt.place
		before := r.Mapped()
		got, err := anon()
		switch {
		case tt.legal && (err != nil || chosen != 0 && got != chosen):
			t.Errorf("%s: %#x, %v", tt.name, got, err)
		case !tt.legal:
			r.refuses(tt.name, err, vmem.ErrChoice)
			if r.Mapped() != before {
				t.Errorf("%s: something is mapped", tt.name)
			}
		}
	}
	chosen = at + 32*ps
	got, err := r.Mremap(at, 2*ps, 8*ps, vmem.RemapMayMove, 0)
	if got != chosen || err != nil {
		t.Errorf("mremap moved to %#x, %v", got, err)
	}
}

// TestDefaultPlace: the highest free range below Base, whatever is above; then
// the lowest above.
func TestDefaultPlace(t *testing.T) {
	const base = 0x20000
	r := newRig(t, vmem.Config{Low: 0x10000, Base: base, High: base + 4*ps})
	anon := func(hint vmem.Addr, n uint64) vmem.Addr {
		a, err := r.Mmap(hint, n*ps, rw, vmem.MapPrivate|vmem.MapAnonymous, nil, 0)
		if err != nil {
			return 0
		}
		return a
	}
	for i, tt := range []struct {
		hint vmem.Addr
		n    uint64
		want vmem.Addr
	}{
		{0, 4, base - 4*ps},
		{0x14000, 2, 0x14000},      // where it was hinted
		{0x14800, 1, base - 5*ps},  // taken: as if there were no hint
		{0x18000 - 7, 1, 0x17000},  // hints are rounded down
		{0, 2, base - 7*ps},        // below what is there
		{0, 3, 0x11000},            // the first gap that is large enough
		{0, 4, base},               // above Base when nothing is left below
		{0, 2, 0},                  // nowhere
		{base + 16*ps, 1, 0x18000}, // a hint that is no address
	} {
		if got := anon(tt.hint, tt.n); got != tt.want {
			t.Errorf("%d: %#x, want %#x", i, got, tt.want)
			for a := range r.Areas() {
				t.Log(a)
			}
		}
	}
}

// TestChosenEviction: the page that leaves memory may be fed in.
func TestChosenEviction(t *testing.T) {
	r := newRig(t, vmem.Config{Frames: 4, ReadAhead: 1})
	f := r.file(vmem.NewBytes(make([]byte, 16*ps)))
	r.mapped(f, 16, rw, vmem.MapShared)
	present := func() (pages string) {
		for fr := range f.Object().Frames() {
			pages += string('a' + rune(fr.Index))
		}
		return pages
	}
	for i := range vmem.Addr(4) {
		r.poke(r.Process, at+i*ps, 1)
	}
	victim := uint64(2)
	r.Choose.Evict = func() (*vmem.Object, uint64, bool) { return f.Object(), victim, victim < 99 }
	r.peek(r.Process, at+9*ps)
	if got := present(); got != "abdj" {
		t.Errorf("in memory: %s", got)
	}
	_, err := r.Load(at + 10*ps)
	r.refuses("an absent victim", err, vmem.ErrChoice)
	r.do("mlock", r.Mlock(at, 1))
	victim = 0
	_, err = r.Load(at + 10*ps)
	r.refuses("a locked victim", err, vmem.ErrChoice)
	if got := present(); got != "abdj" {
		t.Errorf("in memory after refused choices: %s", got)
	}
	victim = 99
	r.peek(r.Process, at+10*ps)
	if got := present(); len(got) != 4 || got[0] != 'a' {
		t.Errorf("in memory when the engine chooses: %s", got)
	}
	r.refuses("eviction of memory alone", r.Evict(r.Memory("m"), 0), vmem.ErrChoice)
}

// TestChosenWindows: how far is read ahead and mapped around may be fed in.
func TestChosenWindows(t *testing.T) {
	const n = 64
	count := func(r *rig, f *vmem.File) (frames, entries int) {
		for range f.Object().Frames() {
			frames++
		}
		for range r.Entries(at, at+n*ps) {
			entries++
		}
		return frames, entries
	}
	tests := []struct {
		name            string
		config          vmem.Config
		choose          func(c *vmem.Choices)
		advice          vmem.Advice
		touch           vmem.Addr
		frames, entries int
	}{
		{"by default 32 pages are read around it, and one is mapped", vmem.Config{}, nil, vmem.AdviceNormal, 30, 32, 1},
		{"behind it, in sequence", vmem.Config{}, nil, vmem.AdviceSequential, 60, 4, 1},
		{"it alone, at random", vmem.Config{}, nil, vmem.AdviceRandom, 30, 1, 1},
		{"as configured", vmem.Config{ReadAhead: 4}, nil, vmem.AdviceNormal, 30, 4, 1},
		{"never so much that it drives itself out", vmem.Config{Frames: 16}, nil, vmem.AdviceNormal, 30, 2, 1},
		{"as chosen", vmem.Config{}, func(c *vmem.Choices) {
			c.ReadAhead = func(o *vmem.Object, index uint64) (uint64, int, bool) { return index - 1, 3, true }
		}, vmem.AdviceNormal, 30, 3, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.config)
			f := r.file(vmem.NewBytes(make([]byte, n*ps)))
			r.mapped(f, n, rw, vmem.MapShared)
			r.do("madvise", r.Madvise(at, n*ps, tt.advice))
			if tt.choose != nil {
				tt.choose(&r.Choose)
			}
			r.peek(r.Process, at+tt.touch*ps)
			if frames, entries := count(r, f); frames != tt.frames || entries != tt.entries {
				t.Errorf("%d pages in memory and %d mapped, want %d and %d", frames, entries, tt.frames, tt.entries)
			}
		})
	}

	r := newRig(t, vmem.Config{ReadAhead: n})
	f := r.file(vmem.NewBytes(make([]byte, n*ps)))
	r.mapped(f, n, rw, vmem.MapShared)
	r.do("prefetch", r.Madvise(at, n*ps, vmem.AdviceWillNeed))
	r.peek(r.Process, at+17*ps)
	if frames, entries := count(r, f); frames != n || entries != 16 {
		t.Errorf("%d pages in memory and %d mapped around a minor fault", frames, entries)
	}
	around := 4
	r.Choose.FaultAround = func(*vmem.Process, vmem.Addr) (int, bool) { return around, true }
	r.peek(r.Process, at+2*ps)
	if _, entries := count(r, f); entries != 20 {
		t.Errorf("%d pages mapped around a chosen block of 4", entries)
	}
	for _, around = range []int{0, 3, 1024} {
		_, err := r.Load(at + 40*ps)
		r.refuses("a block that is none", err, vmem.ErrChoice)
	}
	r.do("evict", r.Evict(f.Object(), 63))
	r.Choose.ReadAhead = func(o *vmem.Object, index uint64) (uint64, int, bool) { return index + 1, 3, true }
	_, err := r.Load(at + 63*ps)
	r.refuses("a window without the page", err, vmem.ErrChoice)
}

// TestDropFree: what MADV_FREE gave may be taken until it is written to.
func TestDropFree(t *testing.T) {
	r := newRig(t, vmem.Config{})
	r.do("mmap", func() error {
		_, err := r.Mmap(at, 4*ps, rw, vmem.MapPrivate|vmem.MapAnonymous|fixed, nil, 0)
		return err
	}())
	for i := range vmem.Addr(3) {
		r.poke(r.Process, at+i*ps, 'x')
	}
	r.refuses("a page that was not given", r.DropFree(at), vmem.ErrChoice)
	r.do("madvise", r.Madvise(at, 4*ps, vmem.AdviceFree))
	r.poke(r.Process, at+ps, 'y')
	child := r.Fork()
	r.do("drop", r.DropFree(at+5))
	r.refuses("a page that was written to", r.DropFree(at+ps), vmem.ErrChoice)
	r.refuses("a page that is not there", r.DropFree(at+3*ps), vmem.ErrChoice)
	for i, want := range []byte{0, 'y', 'x'} {
		a := at + vmem.Addr(i)*ps
		if r.peek(r.Process, a) != want || r.peek(child, a) != want {
			t.Errorf("page %d has %q and %q in the child, want %q", i, r.peek(r.Process, a), r.peek(child, a), want)
		}
	}
}

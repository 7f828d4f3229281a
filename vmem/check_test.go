package vmem

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// check holds a machine to what is true between two calls.
func check(m *Machine) error {
	seen := map[*frame][]mapper{}
	for pid, p := range m.processes {
		sums := space{}
		for i, a := range p.areas {
			sums.count(a, 1)
			if a.start >= a.end || a.start != a.start.floor() || a.end != a.end.floor() {
				return fmt.Errorf("process %d: area [%x, %x)", pid, a.start, a.end)
			}
			if i > 0 && p.areas[i-1].end > a.start {
				return fmt.Errorf("process %d: areas overlap at %x", pid, a.start)
			}
		}
		if sums.total != p.total || sums.data != p.data || sums.locked > p.locked {
			return fmt.Errorf("process %d: sums %d %d %d, counted %d %d %d", pid,
				p.total, p.data, p.locked, sums.total, sums.data, sums.locked)
		}
		for at, e := range p.table.all(0, m.cfg.High) {
			a, f := p.at(at), e.frame
			if a == nil {
				return fmt.Errorf("process %d: an entry at %x, outside all areas", pid, at)
			}
			if p.table.lookup(at) != e {
				return fmt.Errorf("process %d: the entry at %x is not where it is looked for", pid, at)
			}
			seen[f] = append(seen[f], mapper{p, at})
			own := e.bits&Private != 0
			switch {
			case own != (f.object == nil):
				return fmt.Errorf("process %d: the entry at %x is private: %v, its page: %v", pid, at, own, f.object == nil)
			case own && !a.private():
				return fmt.Errorf("process %d: a private page in a shared area at %x", pid, at)
			case own && f != m.zero && a.lineage == nil:
				return fmt.Errorf("process %d: a private page without lineage at %x", pid, at)
			case e.bits&Writable != 0 && own && len(f.mappers) != 1:
				return fmt.Errorf("process %d: a page of %d is writable at %x", pid, len(f.mappers), at)
			case e.bits&Writable != 0 && f.object != nil && f.object.store != nil && f.state != StateDirty:
				return fmt.Errorf("process %d: a %v page of a store is writable at %x", pid, f.state, at)
			case e.bits&Writable != 0 && a.flags&vmWrite == 0:
				return fmt.Errorf("process %d: a writable entry in a read-only area at %x", pid, at)
			case f.object != nil && (f.object != a.file.object || f.index != a.page(at)):
				return fmt.Errorf("process %d: page %d of the object at %x, want %d", pid, f.index, at, a.page(at))
			case f.object != nil && (f.object.pages[f.index] != f || f.state == StatePoisoned || f.index >= f.object.end()):
				return fmt.Errorf("process %d: a page that is no page at %x", pid, at)
			}
		}
	}
	for f, where := range seen {
		if f == m.zero {
			continue
		}
		if len(where) != len(f.mappers) {
			return fmt.Errorf("frame %d: %d entries show it, it knows %d", f.number, len(where), len(f.mappers))
		}
		for _, w := range f.mappers {
			if e := w.p.table.lookup(w.addr); e == nil || e.frame != f {
				return fmt.Errorf("frame %d: not at %x", f.number, w.addr)
			}
		}
		if f.held != 0 {
			return fmt.Errorf("frame %d: held", f.number)
		}
	}
	for i, f := range m.clock {
		if f.hour != i || f.object == nil || f.object.pages[f.index] != f || f.object.store == nil {
			return fmt.Errorf("frame %d does not belong on the clock", f.number)
		}
	}
	for _, b := range m.zero.data {
		if b != 0 {
			return fmt.Errorf("the page of zeros is not")
		}
	}
	if m.cfg.Frames > 0 && m.made > m.cfg.Frames {
		return fmt.Errorf("%d frames, at most %d", m.made, m.cfg.Frames)
	}
	return nil
}

// TestRandomPrograms runs calls and accesses with small random arguments, and
// holds the machine to its invariants after each.
func TestRandomPrograms(t *testing.T) {
	programs := 80
	if testing.Short() {
		programs = 20
	}
	for seed := range programs {
		r := rand.New(rand.NewPCG(uint64(seed), 4))
		m := New(Config{Frames: []int{0, 40}[seed%2], MaxAreas: 24})
		run(t, m, r, seed)
	}
}

func run(t *testing.T, m *Machine, r *rand.Rand, seed int) {
	t.Helper()
	var files []*File
	for i := range 3 {
		var o *Object
		if i == 0 {
			o = m.Memory("memory")
			o.size = 5 * PageSize
		} else {
			o, _ = m.Open("store", NewBytes(make([]byte, 5*PageSize+i)))
		}
		for _, mode := range []Mode{ReadWrite, ReadOnly} {
			f, err := o.Open(mode)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	ps := []*Process{m.Spawn()}
	const arena = 0x10000000
	for step := range 400 {
		p := ps[r.IntN(len(ps))]
		at := Addr(arena + PageSize*r.IntN(24))
		n := uint64(PageSize * (1 + r.IntN(8)))
		prot := Prot(r.IntN(8))
		f := files[r.IntN(len(files))]
		var what string
		switch r.IntN(20) {
		case 0, 1, 2:
			flags := []MapFlags{MapPrivate, MapShared}[r.IntN(2)] | []MapFlags{MapFixed, MapFixedNoReplace, 0}[r.IntN(3)] |
				[]MapFlags{0, MapAnonymous}[r.IntN(2)] | []MapFlags{0, 0, MapLocked, MapPopulate}[r.IntN(4)]
			_, err := p.Mmap(at, n, prot, flags, f, int64(PageSize*r.IntN(4)))
			what = fmt.Sprint("mmap ", at, n, prot, flags, err)
		case 3:
			what = fmt.Sprint("munmap ", at, n, p.Munmap(at, n))
		case 4, 5:
			what = fmt.Sprint("mprotect ", at, n, prot, p.Mprotect(at, n, prot))
		case 6:
			what = fmt.Sprint("mlock ", at, n, p.Mlock2(at, n, LockFlags(r.IntN(2))))
		case 7:
			what = fmt.Sprint("munlock ", at, n, p.Munlock(at, n))
		case 8:
			what = fmt.Sprint("mlockall ", p.Mlockall(LockAllFlags(r.IntN(8))), p.Munlockall())
		case 9:
			advice := Advice(r.IntN(25))
			what = fmt.Sprint("madvise ", at, n, advice, p.Madvise(at, n, advice))
		case 10, 11:
			to := Addr(arena + PageSize*r.IntN(24))
			flags := RemapFlags(r.IntN(8))
			_, err := p.Mremap(at, n, uint64(PageSize*(1+r.IntN(8))), flags, to)
			what = fmt.Sprint("mremap ", at, n, flags, to, err)
		case 12:
			what = fmt.Sprint("msync ", p.Msync(at, n, SyncFlags(r.IntN(8))))
		case 13:
			switch r.IntN(6) {
			case 0:
				if len(ps) < 4 {
					ps = append(ps, p.Fork())
				}
			case 1:
				if len(ps) > 1 {
					p.Exit()
					for i := range ps {
						if ps[i] == p {
							ps = append(ps[:i], ps[i+1:]...)
							break
						}
					}
				}
			case 2:
				what = fmt.Sprint("truncate ", f.Truncate(int64(r.IntN(8*PageSize))))
			case 3:
				what = fmt.Sprint("fsync ", f.Sync())
			}
		case 14:
			_, err := p.Read(f, at, n, int64(r.IntN(6*PageSize)))
			what = fmt.Sprint("read ", at, n, err)
		case 15:
			_, err := p.Write(f, at, n, int64(r.IntN(6*PageSize)))
			what = fmt.Sprint("write ", at, n, err)
		case 16:
			what = fmt.Sprint("mincore ", p.Mincore(at, n, make([]byte, n)))
		case 17:
			m.WriteBack(f.object, 0, 8)
			_ = m.Evict(f.object, uint64(r.IntN(6)))
			_ = p.DropFree(at)
		default:
			if r.IntN(2) == 0 {
				what = fmt.Sprint("load ", at, func() error { _, err := p.Load(at + Addr(r.IntN(PageSize))); return err }())
			} else {
				what = fmt.Sprint("store ", at, StoreAt(p, at+Addr(r.IntN(PageSize)), uint64(step)))
			}
		}
		if err := check(m); err != nil {
			t.Fatalf("seed %d, step %d, %s: %v", seed, step, what, err)
		}
	}
	for _, p := range ps {
		p.Exit()
	}
	if err := check(m); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
}

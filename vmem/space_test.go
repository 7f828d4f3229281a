package vmem_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap/vmem"
)

// layout draws the areas from the usual place on: each as its first page, its
// number of pages and its permissions.
func (r *rig) layout(p *vmem.Process) string {
	var rows []string
	for a := range p.Areas() {
		rows = append(rows, fmt.Sprintf("%d+%d%s", (a.Start-at)/ps, (a.End-a.Start)/ps, strings.Fields(a.String())[1]))
	}
	return strings.Join(rows, " ")
}

// TestMerging says when areas become one, and when they stay apart.
func TestMerging(t *testing.T) {
	const (
		anon = vmem.MapPrivate | vmem.MapAnonymous
		r    = vmem.ProtRead
	)
	// m maps n pages at page i.
	m := func(g *rig, i, n vmem.Addr, prot vmem.Prot, flags vmem.MapFlags, f *vmem.File, page int64) {
		g.Helper()
		_, err := g.Mmap(at+i*ps, uint64(n)*ps, prot, flags|fixed, f, page*ps)
		g.do("mmap", err)
	}
	tests := []struct {
		name string
		do   func(g *rig)
		want string
	}{
		{"memory beside memory is one area", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			m(g, 2, 1, rw, anon, nil, 0)
			m(g, 1, 1, rw, anon, nil, 0)
		}, "0+3rw-p"},
		{"not with other permissions", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			m(g, 1, 1, r, anon, nil, 0)
		}, "0+1rw-p 1+1r--p"},
		{"untouched memory that could be written is like memory that never could", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			m(g, 1, 1, r, anon, nil, 0)
			g.do("mprotect", g.Mprotect(at, ps, r))
		}, "0+2r--p"},
		{"touched memory stays counted as what may be needed, and apart", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			g.poke(g.Process, at, 1)
			m(g, 1, 1, r, anon, nil, 0)
			g.do("mprotect", g.Mprotect(at, ps, r))
		}, "0+1r--p 1+1r--p"},
		{"a file continues itself", func(g *rig) {
			f := g.file(vmem.NewBytes(make([]byte, 8*ps)))
			m(g, 0, 2, rw, vmem.MapShared, f, 3)
			m(g, 2, 1, rw, vmem.MapShared, f, 5)
		}, "0+3rw-s"},
		{"not with another page", func(g *rig) {
			f := g.file(vmem.NewBytes(make([]byte, 8*ps)))
			m(g, 0, 2, rw, vmem.MapShared, f, 3)
			m(g, 2, 1, rw, vmem.MapShared, f, 4)
		}, "0+2rw-s 2+1rw-s"},
		{"not opened twice", func(g *rig) {
			f := g.file(vmem.NewBytes(make([]byte, 8*ps)))
			m(g, 0, 1, rw, vmem.MapShared, f, 0)
			m(g, 1, 1, rw, vmem.MapShared, g.open(f.Object(), vmem.ReadWrite), 1)
		}, "0+1rw-s 1+1rw-s"},
		{"not private with shared", func(g *rig) {
			f := g.file(vmem.NewBytes(make([]byte, 8*ps)))
			m(g, 0, 1, rw, vmem.MapShared, f, 0)
			m(g, 1, 1, rw, vmem.MapPrivate, f, 1)
		}, "0+1rw-s 1+1rw-p"},
		{"shared memory is an object for each call", func(g *rig) {
			m(g, 0, 1, rw, vmem.MapShared|vmem.MapAnonymous, nil, 0)
			m(g, 1, 1, rw, vmem.MapShared|vmem.MapAnonymous, nil, 0)
		}, "0+1rw-s 1+1rw-s"},
		{"a touched area takes an untouched one in", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			g.poke(g.Process, at, 1)
			m(g, 1, 1, rw, anon, nil, 0)
		}, "0+2rw-p"},
		{"two that were touched apart stay apart", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			m(g, 2, 1, rw, anon, nil, 0)
			g.poke(g.Process, at, 1)
			g.poke(g.Process, at+2*ps, 1)
			m(g, 1, 1, rw, anon, nil, 0)
		}, "0+2rw-p 2+1rw-p"},
		{"even when nothing else tells them apart any more", func(g *rig) {
			m(g, 0, 2, rw, anon, nil, 0)
			g.do("madvise", g.Madvise(at, ps, vmem.AdviceDontDump))
			g.poke(g.Process, at, 1)
			g.poke(g.Process, at+ps, 1)
			g.do("madvise", g.Madvise(at, ps, vmem.AdviceDoDump))
		}, "0+1rw-p 1+1rw-p"},
		{"neighbours that differ in permissions are of one family", func(g *rig) {
			m(g, 0, 2, rw, anon, nil, 0)
			g.do("mprotect", g.Mprotect(at, ps, r))
			g.do("mprotect", g.Mprotect(at, ps, rw|vmem.ProtExec))
			g.poke(g.Process, at, 1)
			g.poke(g.Process, at+ps, 1)
			g.do("mprotect", g.Mprotect(at, ps, rw))
		}, "0+2rw-p"},
		{"a child's areas do not take others in", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			g.poke(g.Process, at, 1)
			g.Process = g.Fork()
			m(g, 1, 1, rw, anon, nil, 0)
		}, "0+1rw-p 1+1rw-p"},
		{"protection splits, and protecting back merges", func(g *rig) {
			m(g, 0, 5, rw, anon, nil, 0)
			g.do("mprotect", g.Mprotect(at+ps, ps, r))
			g.do("mprotect", g.Mprotect(at+3*ps, ps, r))
			if got := g.layout(g.Process); got != "0+1rw-p 1+1r--p 2+1rw-p 3+1r--p 4+1rw-p" {
				g.Error(got)
			}
			g.do("mprotect", g.Mprotect(at, 5*ps, rw))
		}, "0+5rw-p"},
		{"a part goes over to the neighbour that is like it", func(g *rig) {
			m(g, 0, 4, rw, anon, nil, 0)
			g.do("mprotect", g.Mprotect(at, 2*ps, r))
			g.do("mprotect", g.Mprotect(at+ps, ps, rw))
		}, "0+1r--p 1+3rw-p"},
		{"a lock splits", func(g *rig) {
			m(g, 0, 3, rw, anon, nil, 0)
			g.do("mlock", g.Mlock(at+ps, ps))
		}, "0+1rw-p 1+1rw-p 2+1rw-p"},
		{"unlocked they are one again", func(g *rig) {
			m(g, 0, 3, rw, anon, nil, 0)
			g.do("mlock", g.Mlock(at+ps, ps))
			g.do("munlock", g.Munlock(at, 3*ps))
		}, "0+3rw-p"},
		{"advice splits", func(g *rig) {
			m(g, 0, 3, rw, anon, nil, 0)
			g.do("madvise", g.Madvise(at, ps, vmem.AdviceDontFork))
		}, "0+1rw-p 1+2rw-p"},
		{"untouched memory merges where it is moved to", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			m(g, 8, 1, rw, anon, nil, 0)
			_, err := g.Mremap(at+8*ps, ps, ps, vmem.RemapMayMove|vmem.RemapFixed, at+ps)
			g.do("mremap", err)
		}, "0+2rw-p"},
		{"touched memory remembers where it was born", func(g *rig) {
			m(g, 0, 1, rw, anon, nil, 0)
			m(g, 8, 1, rw, anon, nil, 0)
			g.poke(g.Process, at+8*ps, 1)
			_, err := g.Mremap(at+8*ps, ps, ps, vmem.RemapMayMove|vmem.RemapFixed, at+ps)
			g.do("mremap", err)
		}, "0+1rw-p 1+1rw-p"},
		{"and merges when it comes back", func(g *rig) {
			m(g, 0, 3, rw, anon, nil, 0)
			g.poke(g.Process, at+ps, 1)
			for _, way := range [][2]vmem.Addr{{at + ps, at + 8*ps}, {at + 8*ps, at + ps}} {
				_, err := g.Mremap(way[0], ps, ps, vmem.RemapMayMove|vmem.RemapFixed, way[1])
				g.do("mremap", err)
			}
		}, "0+3rw-p"},
		{"an area that grows meets the next", func(g *rig) {
			m(g, 0, 3, rw, anon, nil, 0)
			g.do("munmap", g.Munmap(at+ps, ps))
			_, err := g.Mremap(at, ps, 2*ps, 0, 0)
			g.do("mremap", err)
		}, "0+3rw-p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, vmem.Config{})
			tt.do(g)
			if got := g.layout(g.Process); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestUnmapping takes a part of an area in each way.
func TestUnmapping(t *testing.T) {
	for _, tt := range []struct {
		first, pages vmem.Addr
		want         string
	}{
		{0, 4, ""}, {0, 1, "1+3rw-p"}, {3, 1, "0+3rw-p"}, {1, 2, "0+1rw-p 3+1rw-p"}, {0, 9, ""}, {8, 1, "0+4rw-p"},
	} {
		r := newRig(t, vmem.Config{})
		r.mapped(nil, 4, rw, vmem.MapPrivate|vmem.MapAnonymous)
		for i := range vmem.Addr(4) {
			r.poke(r.Process, at+i*ps, 1+byte(i))
		}
		r.do("munmap", r.Munmap(at+tt.first*ps, uint64(tt.pages)*ps-1))
		if got := r.layout(r.Process); got != tt.want {
			t.Errorf("%d pages from %d: %s, want %s", tt.pages, tt.first, got, tt.want)
		}
		left := 0
		for i := range vmem.Addr(4) {
			if b, err := r.Load(at + i*ps); err == nil {
				if left++; b != 1+byte(i) {
					t.Errorf("page %d has %d", i, b)
				}
			}
		}
		if r.InUse() != left {
			t.Errorf("%d frames in use for %d pages", r.InUse(), left)
		}
	}
}

// TestAreaLimit: one area too many is refused before anything is done, except
// that a part of a longer call stays done.
func TestAreaLimit(t *testing.T) {
	r := newRig(t, vmem.Config{MaxAreas: 3})
	r.mapped(nil, 8, rw, vmem.MapPrivate|vmem.MapAnonymous)
	r.do("mprotect", r.Mprotect(at+2*ps, ps, vmem.ProtRead))
	r.refuses("a hole", r.Munmap(at+5*ps, ps), vmem.ENOMEM)
	r.refuses("another permission", r.Mprotect(at+5*ps, ps, vmem.ProtRead), vmem.ENOMEM)
	r.refuses("advice", r.Madvise(at+5*ps, ps, vmem.AdviceDontFork), vmem.EAGAIN)
	r.refuses("a lock", r.Mlock(at+5*ps, ps), vmem.ENOMEM)
	_, err := r.Mremap(at, ps, ps, vmem.RemapMayMove|vmem.RemapFixed, at+64*ps)
	r.refuses("a move", err, vmem.ENOMEM)
	if got := r.layout(r.Process); got != "0+2rw-p 2+1r--p 3+5rw-p" {
		t.Error(got)
	}
	r.do("a hole at the edge", r.Munmap(at+7*ps, ps))
	r.do("one area more is one too many only for the next", func() error {
		_, err := r.Mmap(at+32*ps, ps, rw, vmem.MapPrivate|vmem.MapAnonymous|fixed, nil, 0)
		return err
	}())
	_, err = r.Mmap(at+64*ps, ps, rw, vmem.MapPrivate|vmem.MapAnonymous|fixed, nil, 0)
	r.refuses("mmap", err, vmem.ENOMEM)
}

// TestInspection: what can be seen is all there is, and looking changes nothing.
func TestInspection(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(make([]byte, 4*ps)))
	_, err := r.Mmap(at, 2*ps, vmem.ProtRead, vmem.MapShared|fixed, r.open(f.Object(), vmem.ReadOnly), 2*ps)
	r.do("mmap", err)
	_, err = r.Mmap(at+8*ps, 2*ps, rw|vmem.ProtExec, vmem.MapPrivate|fixed|vmem.MapLocked, f, 0)
	r.do("mmap", err)
	_, err = r.Mmap(at+16*ps, ps, vmem.ProtNone, vmem.MapPrivate|vmem.MapAnonymous|fixed, nil, 0)
	r.do("mmap", err)
	r.peek(r.Process, at)
	var rows []string
	for a := range r.Areas() {
		rows = append(rows, a.String())
	}
	want := []string{
		"10000000-10002000 r--s 00002000 store",
		"10008000-1000a000 rwxp 00000000 store",
		"10010000-10011000 ---p 00000000",
	}
	if !slices.Equal(rows, want) {
		t.Errorf("%q", rows)
	}
	if r.Locked() != 2*ps || r.Mapped() != 5*ps {
		t.Errorf("%d bytes locked, %d mapped", r.Locked(), r.Mapped())
	}
	var entries []string
	for a, e := range r.Entries(0, 1<<47) {
		entries = append(entries, fmt.Sprintf("%d:%05b", (a-at)/ps, e.Bits))
	}
	// The area read-only shows what read-ahead brought, the accessed one first.
	if got := strings.Join(entries, " "); got != "0:00101 1:00001 8:10011 9:10011" && got != "0:00101 8:10011 9:10011" {
		t.Error(got)
	}
	if _, ok := r.Peek(at + 3*ps); ok {
		t.Error("Peek sees what is not mapped")
	}
	if b, ok := r.Peek(at + 8*ps); !ok || b != 0 {
		t.Error("Peek does not see what is")
	}
	states := map[vmem.State]int{}
	for fr := range f.Object().Frames() {
		states[fr.State]++
	}
	if states[vmem.StateClean] != 4 || len(states) != 1 {
		t.Errorf("frames: %v", states)
	}
	before := r.Counters()
	before.Calls["mmap"]++
	if r.Counters().Calls["mmap"] != 3 {
		t.Error("Counters hands out what it counts in")
	}
}

package script

import (
	"cmp"
	"maps"
	"slices"

	"github.com/memwright/mmap/vmem"
)

// look describes everything there is, and changes nothing of it.
func (w *world) look() State {
	s := State{Names: slices.Clone(w.addresses), Totals: Totals{maps.Clone(w.totals.Events), maps.Clone(w.totals.Bytes)}}
	frames := map[int]*Frame{}
	objects := map[*vmem.Object]string{}
	for _, f := range w.files {
		objects[f.object] = f.name
	}
	for _, p := range w.processes {
		s.Processes = append(s.Processes, w.lookAt(p, frames, objects))
	}
	for _, o := range slices.SortedFunc(maps.Keys(objects), func(a, b *vmem.Object) int {
		return cmp.Compare(objects[a], objects[b])
	}) {
		w.lookCached(o, objects[o], frames)
	}
	for _, n := range slices.Sorted(maps.Keys(frames)) {
		s.Frames = append(s.Frames, *frames[n])
	}
	for _, f := range w.files {
		s.Files = append(s.Files, f.look(frames))
	}
	return s
}

// lookAt describes a process, and gathers the frames that it shows. Objects
// that no line has made, shared anonymous memory, are named here.
func (w *world) lookAt(p *process, frames map[int]*Frame, objects map[*vmem.Object]string) Process {
	d := Process{Name: p.name, Locked: p.Locked()}
	for a := range p.Areas() {
		area := Area{Area: a}
		if a.Object != nil {
			if objects[a.Object] == "" {
				objects[a.Object] = a.Object.Name()
			}
			area.File = objects[a.Object]
		}
		for at, e := range p.Entries(a.Start, a.End) {
			page := Page{Addr: at, Entry: e, Content: ContentOf(nil)}
			if e.Frame > 0 {
				page.Content = ContentOf(peek(func(i int64) (byte, bool) { return p.Peek(at + vmem.Addr(i)) }))
			}
			area.Pages = append(area.Pages, page)
			if e.Frame == 0 {
				continue
			}
			if frames[e.Frame] == nil {
				frames[e.Frame] = &Frame{Number: e.Frame, Content: page.Content}
			}
			f := frames[e.Frame]
			f.Mappers = append(f.Mappers, Mapper{p.name, at})
		}
		d.Areas = append(d.Areas, area)
	}
	return d
}

// lookCached describes the pages of an object that are in memory.
func (w *world) lookCached(o *vmem.Object, name string, frames map[int]*Frame) {
	for c := range o.Frames() {
		f := frames[c.Number]
		if f == nil {
			f = &Frame{Number: c.Number}
			frames[c.Number] = f
		}
		f.File, f.Page, f.State, f.Pinned = name, c.Index, c.State, c.Pinned
		f.Content = ContentOf(peek(func(i int64) (byte, bool) { return o.Peek(int64(c.Index)*vmem.PageSize + i) }))
	}
}

// peek reads a page, a byte at a time; what can't be seen is zero.
func peek(at func(int64) (byte, bool)) []byte {
	b := make([]byte, vmem.PageSize)
	for i := range b {
		b[i], _ = at(int64(i))
	}
	return b
}

// look describes a file on the disk.
func (f *file) look(frames map[int]*Frame) File {
	now := f.disk.Bytes.Bytes()
	d := File{Name: f.name, Size: f.object.Size(), Safe: int64(len(f.disk.durable))}
	cached := map[uint64]*Frame{}
	for _, c := range frames {
		if c.File == f.name {
			cached[c.Page] = c
		}
	}
	for i := uint64(0); i*vmem.PageSize < uint64(max(d.Size, int64(len(now)))); i++ {
		p := FilePage{Content: ContentOf(pageOf(now, i))}
		p.Read = p.Content
		p.Unsafe = p.Content != ContentOf(pageOf(f.disk.durable, i))
		if c := cached[i]; c != nil {
			p.Frame, p.Newer = c.Number, c.State == vmem.StateDirty
			in := f.object.Size() - int64(i)*vmem.PageSize
			p.Read = ContentOf(peek(func(at int64) (byte, bool) {
				if at >= in {
					return 0, false // behind the end
				}
				return f.object.Peek(int64(i)*vmem.PageSize + at)
			}))
		}
		d.Pages = append(d.Pages, p)
	}
	return d
}

package vmem

import (
	"cmp"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
)

// What a power cut leaves. Between two syncs a kernel may write a page back at
// any moment, any number of times, and a disk may keep what it likes of it. So
// the Store may hold, of each page on its own, any version that the page had
// since the last sync that covered it; torn, any mixture of their sectors.
//
// What cuts bytes off, a truncation or a hole, happens in order: either the
// power cut came before it or after. So there are eras between those. A page
// that was cut off does not come back when the file grows again.

// SectorSize is what a disk writes as a whole.
const SectorSize = 512

// A recorder keeps what a power cut may leave of an object.
type recorder struct {
	most  int             // versions of a page
	eras  []era           // the oldest is the durable one; all know the same pages
	doubt map[uint64]bool // pages whose writing failed, and that were not stored to since
}

// An era is what may be found between two cuts: one of the sizes, and of each
// page that changed one of its versions, whichever.
type era struct {
	sizes []int64
	pages map[uint64]*history // the same ones as the era before where nothing was cut off
}

// A history is a page's versions, the durable one first.
type history [][]byte

// Record starts to keep the versions of the object's pages, for [Object.Crashes].
// What the Store holds now counts as durable. Of each page the durable version
// and the last most-1 are kept (at least 2). Each store to a shared page costs a
// copy of it from then on. An object without a Store answers EINVAL.
func (o *Object) Record(most int) error {
	if o.store == nil {
		return EINVAL
	}
	now := era{[]int64{o.size}, map[uint64]*history{}}
	o.crash = &recorder{max(most, 2), []era{now}, map[uint64]bool{}}
	for _, f := range o.resident(0, o.end()) {
		if f.state == StateDirty {
			o.after(f)
		}
	}
	return nil
}

func (r *recorder) now() *era { return &r.eras[len(r.eras)-1] }

// history is a page's. It begins, if the page was durable until now, with what
// the Store holds.
func (o *Object) history(index uint64) *history {
	h := o.crash.now().pages[index]
	if h == nil {
		h = &history{o.stored(index)}
		for _, e := range o.crash.eras {
			e.pages[index] = h
		}
	}
	return h
}

// after is told of each store to a page, and keeps what it has become.
func (o *Object) after(f *frame) {
	if o == nil || o.crash == nil {
		return
	}
	h := o.history(f.index)
	if *h = append(*h, o.snapshot(f)); len(*h) > o.crash.most {
		*h = slices.Delete(*h, 1, 2)
	}
	delete(o.crash.doubt, f.index)
}

// snapshot is a page as the Store would get it.
func (o *Object) snapshot(f *frame) []byte {
	data := slices.Clone(f.data[:])
	clear(data[max(0, min(o.size-f.off(), PageSize)):])
	return data
}

// stored is what the Store holds of a page; zeros where it can't be read.
func (o *Object) stored(index uint64) []byte {
	data := make([]byte, PageSize)
	n, _ := o.store.ReadAt(data, int64(index)<<pageShift)
	clear(data[n:])
	return data
}

func (r *recorder) resized(size int64) {
	if r != nil && r.now().sizes[len(r.now().sizes)-1] != size {
		r.now().sizes = append(r.now().sizes, size)
	}
}

// cut begins an era, before the bytes [from, to) become zeros and the size is set.
func (o *Object) cut(from, to, size int64) {
	r := o.crash
	if r == nil || from >= to {
		return
	}
	left := maps.Clone(r.now().pages)
	for at := from &^ (PageSize - 1); at < to; at += PageSize {
		index := uint64(at) >> pageShift
		var zeroed history
		for _, v := range *o.history(index) {
			v = slices.Clone(v)
			clear(v[max(from-at, 0):min(to-at, PageSize)])
			if zeroed = append(zeroed, v); at >= from {
				break // nothing is left of any version
			}
		}
		left[index] = &zeroed
	}
	r.eras = append(r.eras, era{[]int64{size}, left})
}

// doubts keeps in mind that [first, last) could not be written or made durable.
// The pages count as clean, so a later sync writes nothing of them, and makes
// nothing certain.
func (r *recorder) doubts(first, last uint64) {
	if r == nil {
		return
	}
	for index := range r.now().pages {
		if first <= index && index < last {
			r.doubt[index] = true
		}
	}
}

// synced forgets what can't be found any more after a sync of [first, last):
// the eras before, the sizes but the newest, and the versions of its pages.
func (r *recorder) synced(first, last uint64) {
	if r == nil {
		return
	}
	now := r.now()
	now.sizes = now.sizes[len(now.sizes)-1:]
	maps.DeleteFunc(now.pages, func(index uint64, _ *history) bool {
		return first <= index && index < last && !r.doubt[index]
	})
	r.eras = []era{*now}
}

// CrashOptions say which states are shown.
type CrashOptions struct {
	// Limit is the most images that are yielded; 0 means 1000.
	Limit int
	// Seed picks which, where there are more.
	Seed uint64
	// Torn lets every sector of a page be of another version.
	Torn bool
}

// An Image is what a power cut may leave: a Store for reading. It is valid
// until the machine is used again.
type Image struct {
	store Store
	size  int64
	pages map[uint64][]byte
}

// Size implements [Store].
func (im *Image) Size() (int64, error) { return im.size, nil }

// ReadAt implements io.ReaderAt.
func (im *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, EINVAL
	}
	done := 0
	for done < len(p) && off < im.size {
		in := off & (PageSize - 1)
		chunk := p[done:min(int64(len(p)), int64(done)+min(PageSize-in, im.size-off))]
		if data, ok := im.pages[uint64(off)>>pageShift]; ok {
			copy(chunk, data[in:])
		} else if n, err := im.store.ReadAt(chunk, off); err == nil || err == io.EOF {
			clear(chunk[n:])
		} else {
			return done, err
		}
		done, off = done+len(chunk), off+int64(len(chunk))
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// Crashes yields what a power cut at this moment may leave of the object, the
// oldest and the newest state first. Every state is yielded once if there are
// no more than the limit and pages are not torn; otherwise some are, picked by
// the seed, and one may come twice. Without [Object.Record] it yields nothing.
//
// The object's Store is not asked to write anything; its durable state must be
// the one that it had at the last sync.
func (o *Object) Crashes(opt CrashOptions) iter.Seq[*Image] {
	return func(yield func(*Image) bool) {
		r := o.crash
		if r == nil {
			return
		}
		limit := cmp.Or(opt.Limit, 1000)
		indexes := slices.Sorted(maps.Keys(r.now().pages))
		states := r.states(limit)
		all := len(states) > 0 && !opt.Torn
		if all {
			limit = len(states)
		}
		rnd := rand.New(rand.NewPCG(opt.Seed, 0))
		for i := range limit {
			s := state{r.eras[rnd.IntN(len(r.eras))], rnd.IntN}
			switch {
			case all:
				s = states[i]
			case i == 0:
				s = state{r.eras[0], digits(0)}
			case i == 1:
				s = state{*r.now(), func(n int) int { return n - 1 }}
			}
			if !yield(o.image(indexes, s, opt.Torn)) {
				return
			}
		}
	}
}

// A state is one that may be found: an era, and how to pick of n choices.
type state struct {
	era
	pick func(n int) int
}

// digits picks what state number i of an era has: the choices are i's digits.
func digits(i int) func(n int) int {
	return func(n int) int {
		digit := i % n
		i /= n
		return digit
	}
}

// states are all states, the newest second, or none if there are more than limit.
func (r *recorder) states(limit int) (all []state) {
	for _, e := range r.eras {
		n := len(e.sizes)
		for _, h := range e.pages {
			if n *= len(*h); n > limit {
				return nil
			}
		}
		for i := range n {
			all = append(all, state{e, digits(i)})
		}
	}
	last := len(all) - 1
	if last >= limit {
		return nil
	}
	return slices.Insert(all[:last], min(1, last), all[last])
}

// image makes a state; torn, each sector begins another version of the page.
func (o *Object) image(indexes []uint64, s state, torn bool) *Image {
	im := &Image{store: o.store, size: s.sizes[s.pick(len(s.sizes))], pages: map[uint64][]byte{}}
	for _, index := range indexes {
		h := *s.pages[index]
		page := h[s.pick(len(h))]
		for at := SectorSize; torn && at < PageSize; at += SectorSize {
			page = slices.Concat(page[:at], h[s.pick(len(h))][at:])
		}
		im.pages[index] = page
	}
	return im
}

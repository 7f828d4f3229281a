package vmem

import (
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
// The size and the holes are one thing more, which happens in order: either
// the cut came before a truncation or after it. A page that was cut off does
// not come back when the file grows again.

// SectorSize is what a disk writes as a whole.
const SectorSize = 512

// A recorder keeps what a power cut may leave of an object.
type recorder struct {
	most  int                  // versions of a page
	sizes []int64              // the size that is durable, and each one since
	pages map[uint64][]version // those that changed since they were durable
	doubt map[uint64]bool      // those whose writing failed, and that were not stored to since
}

// A version is what a page held at some moment. The first is the durable one.
type version struct {
	data  []byte
	since int // it is a truncation's: no version before it is left from sizes[since] on; 0: it is not
}

// Record starts to keep the versions of the object's pages, for [Object.Crashes].
// What the Store holds now counts as durable. Of each page the durable version
// and the last most-1 are kept (at least 2). Each store to a shared page costs a
// copy of it from then on. An object without a Store answers EINVAL.
func (o *Object) Record(most int) error {
	if o.store == nil {
		return EINVAL
	}
	r := &recorder{most: max(most, 2), sizes: []int64{o.size}, pages: map[uint64][]version{}, doubt: map[uint64]bool{}}
	o.crash = r
	for _, f := range o.resident(0, o.end()) {
		if f.state == StateDirty {
			r.pages[f.index] = []version{{data: o.stored(f.index)}, {data: o.snapshot(f)}}
		}
	}
	return nil
}

// before keeps a page as it is, if it was durable until now.
func (o *Object) before(f *frame) {
	if o != nil && o.crash != nil && o.crash.pages[f.index] == nil {
		o.crash.pages[f.index] = []version{{data: o.snapshot(f)}}
	}
}

// after keeps a page as it has become.
func (o *Object) after(f *frame) {
	if o == nil || o.crash == nil {
		return
	}
	r := o.crash
	delete(r.doubt, f.index)
	kept := append(r.pages[f.index], version{data: o.snapshot(f)})
	if len(kept) > r.most {
		for i := 1; i < len(kept); i++ { // the oldest that means nothing else
			if kept[i].since == 0 {
				kept = slices.Delete(kept, i, i+1)
				break
			}
		}
	}
	r.pages[f.index] = kept
}

// snapshot is a page as the Store would get it.
func (o *Object) snapshot(f *frame) []byte {
	data := slices.Clone(f.data[:])
	clear(data[max(0, min(o.size-f.off(), PageSize)):])
	return data
}

// resized keeps a new size. What lies beyond it was kept by cut before.
func (r *recorder) resized(size int64) {
	if r != nil && r.sizes[len(r.sizes)-1] != size {
		r.sizes = append(r.sizes, size)
	}
}

// punched is a moment that a hole divides into before and after.
func (r *recorder) punched() {
	if r != nil {
		r.sizes = append(r.sizes, r.sizes[len(r.sizes)-1])
	}
}

// cut keeps the pages in the bytes [from, to), which are about to become zeros.
func (o *Object) cut(from, to int64) {
	r := o.crash
	if r == nil || from >= to {
		return
	}
	since := len(r.sizes)
	for at := from &^ (PageSize - 1); at < to; at += PageSize {
		index := uint64(at) >> pageShift
		kept := r.pages[index]
		if kept == nil {
			kept = []version{{data: o.stored(index)}}
		}
		var zeroed []version
		for _, v := range kept[lastCut(kept, since):] {
			data := slices.Clone(v.data)
			clear(data[max(from-at, 0):min(to-at, PageSize)])
			zeroed = append(zeroed, version{data: data})
			if at >= from {
				break // nothing is left of any version
			}
		}
		zeroed[0].since = since
		r.pages[index] = append(kept, zeroed...)
	}
}

// stored is what the Store holds of a page.
func (o *Object) stored(index uint64) []byte {
	data := make([]byte, PageSize)
	if n, err := o.store.ReadAt(data, int64(index)<<pageShift); err != nil && err != io.EOF {
		clear(data[n:])
	}
	return data
}

// lastCut is the first version of those that sizes[upTo] leaves.
func lastCut(kept []version, upTo int) int {
	first := 0
	for i, v := range kept {
		if v.since > 0 && v.since <= upTo {
			first = i
		}
	}
	return first
}

// left are the versions that may be found with sizes[k].
func left(kept []version, k int) []version {
	first := lastCut(kept, k)
	for i, v := range kept[first:] {
		if v.since > k {
			return kept[first : first+i]
		}
	}
	return kept[first:]
}

// failed keeps in mind that [first, last) could not be written or made durable.
// The pages count as clean, so a later sync writes nothing of them, and makes
// nothing certain.
func (r *recorder) failed(first, last uint64) {
	if r == nil {
		return
	}
	for index := range r.pages {
		if first <= index && index < last {
			r.doubt[index] = true
		}
	}
}

// synced forgets what can't be found any more after a sync of [first, last):
// all but the newest version of its pages, and all but the newest size.
func (r *recorder) synced(first, last uint64) {
	if r == nil {
		return
	}
	now := len(r.sizes) - 1
	for index, kept := range r.pages {
		if first <= index && index < last && !r.doubt[index] {
			delete(r.pages, index)
			continue
		}
		kept = kept[lastCut(kept, now):]
		for i := range kept {
			kept[i].since = 0
		}
		r.pages[index] = kept
	}
	r.sizes = r.sizes[now:]
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
		if o.crash == nil {
			return
		}
		limit := opt.Limit
		if limit == 0 {
			limit = 1000
		}
		indexes := slices.Sorted(maps.Keys(o.crash.pages))
		if n, few := o.crash.states(limit); few && !opt.Torn {
			for i := range n {
				if !yield(o.state(indexes, i, n)) {
					return
				}
			}
			return
		}
		rnd := rand.New(rand.NewPCG(opt.Seed, 0))
		last := len(o.crash.sizes) - 1
		oldest := func(int) int { return 0 }
		newest := func(n int) int { return n - 1 }
		for i := range limit {
			pick, k := rnd.IntN, rnd.IntN(last+1)
			switch i {
			case 0:
				pick, k = oldest, 0
			case 1:
				pick, k = newest, last
			}
			if !yield(o.image(indexes, k, pick, opt.Torn)) {
				return
			}
		}
	}
}

// states counts the states, and tells whether they are at most limit.
func (r *recorder) states(limit int) (n int, few bool) {
	for k := range r.sizes {
		one := 1
		for _, kept := range r.pages {
			if one *= len(left(kept, k)); one > limit {
				return 0, false
			}
		}
		if n += one; n > limit {
			return 0, false
		}
	}
	return n, true
}

// state is number i of n: its choices are the digits of i. The newest state,
// which is the last, comes second.
func (o *Object) state(indexes []uint64, i, n int) *Image {
	switch {
	case i == 1:
		i = n - 1
	case i > 1:
		i--
	}
	for k := 0; ; k++ {
		one := 1
		for _, index := range indexes {
			one *= len(left(o.crash.pages[index], k))
		}
		if i >= one {
			i -= one
			continue
		}
		return o.image(indexes, k, func(base int) int {
			digit := i % base
			i /= base
			return digit
		}, false)
	}
}

// image makes the state with sizes[k] and, for each page, the version that is
// picked; torn, for each sector.
func (o *Object) image(indexes []uint64, k int, pick func(n int) int, torn bool) *Image {
	im := &Image{store: o.store, size: o.crash.sizes[k], pages: map[uint64][]byte{}}
	for _, index := range indexes {
		may := left(o.crash.pages[index], k)
		if !torn {
			im.pages[index] = may[pick(len(may))].data
			continue
		}
		page := make([]byte, 0, PageSize)
		for at := 0; at < PageSize; at += SectorSize {
			page = append(page, may[pick(len(may))].data[at:at+SectorSize]...)
		}
		im.pages[index] = page
	}
	return im
}

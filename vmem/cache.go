package vmem

import (
	"cmp"
	"io"
	"maps"
	"slices"
)

// The pages of an object that are in memory are its page cache: read and write
// copy from and to them, shared mappings show them, private mappings copy
// them. There is one frame for a page of an object, whoever looks at it.

// end is the first page that lies wholly beyond the object's size.
func (o *Object) end() uint64 { return uint64(o.size+PageSize-1) >> pageShift }

// cached returns the frame of a page if it is in memory and can be used.
func (o *Object) cached(index uint64) *frame {
	if f := o.pages[index]; f != nil && f.state != StatePoisoned {
		return f
	}
	return nil
}

// page returns the frame of a page below end, from memory or from the Store,
// and tells whether it had to be brought in. Pages around it are brought in
// with it, as the area's advice wants. The error is the Store's, or ENOMEM.
func (o *Object) page(index uint64, advice vmFlags) (f *frame, missed bool, err error) {
	if f := o.cached(index); f != nil {
		return f, false, nil
	}
	if o.store == nil {
		f, err = o.fresh(index)
		return f, true, err
	}
	first, n, err := o.window(index, advice)
	if err != nil {
		return nil, true, err
	}
	switch f, err = o.load(index); {
	case err != nil:
		return nil, true, err
	case f.state == StatePoisoned:
		return nil, true, &storeError{f.err}
	}
	f.held++
	defer func() { f.held-- }()
	return f, true, o.loadAll(first, first+uint64(n))
}

func (o *Object) fresh(index uint64) (*frame, error) {
	f, err := o.m.zeroFrame(Event{Object: o, Off: int64(index) << pageShift})
	if err == nil {
		o.add(f, index)
	}
	return f, err
}

// window says what is read when the page at index is missed: the block around
// it, what follows it where the area is read in sequence, or it alone.
func (o *Object) window(index uint64, advice vmFlags) (first uint64, n int, err error) {
	if o.m.Choose.ReadAhead != nil {
		if first, n, ok := o.m.Choose.ReadAhead(o, index); ok {
			if first > index || n < 1 || index-first >= uint64(n) {
				return 0, 0, ErrChoice
			}
			return first, n, nil
		}
	}
	n = o.m.cfg.ReadAhead
	if bound := o.m.cfg.Frames; bound > 0 {
		n = max(1, min(n, bound/8)) // not so much that it drives itself out
	}
	switch {
	case advice&vmRandom != 0:
		return index, 1, nil
	case advice&vmSequential != 0:
		return index, n, nil
	}
	return index - min(index, uint64(n)/2), n, nil
}

// load reads a page from the Store into a frame of its own; into its old one if
// it is Poisoned. A failed read poisons it and is no error here.
func (o *Object) load(index uint64) (*frame, error) {
	f := o.pages[index]
	if f == nil {
		var err error
		if f, err = o.m.newFrame(); err != nil {
			return nil, err
		}
		o.add(f, index)
	}
	n := int(min(o.size-f.off(), PageSize))
	got, err := o.store.ReadAt(f.data[:n], f.off())
	f.state, f.err = StateClean, nil
	if got < n && err != io.EOF {
		f.state, f.err, got = StatePoisoned, cmp.Or(err, io.ErrNoProgress), 0
	}
	clear(f.data[got:])
	o.m.tell(Event{Kind: BytesIn, Object: o, Off: f.off(), N: got, Frame: f.number})
	return f, nil
}

// loadAll reads those pages of [first, last) that are not in memory, as far as
// there is room: nobody needs them yet.
func (o *Object) loadAll(first, last uint64) error {
	for i := first; i < min(last, o.end()); i++ {
		if o.pages[i] != nil {
			continue
		}
		if _, err := o.load(i); err == ENOMEM {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (o *Object) add(f *frame, index uint64) {
	f.object, f.index = o, index
	o.pages[index] = f
	if o.store != nil {
		f.hour = len(o.m.clock)
		o.m.clock = append(o.m.clock, f)
	}
}

// forget takes the page out of memory: nobody maps it and the object has it no
// more. What was not written is lost.
func (o *Object) forget(f *frame) {
	o.m.hideEverywhere(f)
	if o.store != nil {
		o.m.dequeue(f)
	}
	delete(o.pages, f.index)
	o.m.release(f)
}

func (o *Object) dirty(f *frame) {
	if o.store != nil {
		f.state = StateDirty
	}
}

// resident returns the frames of the pages in [first, last) that are in memory, in
// order: the cache is a map, and what the engine does must not depend on its order.
func (o *Object) resident(first, last uint64) []*frame {
	var found []*frame
	if last-first < uint64(len(o.pages)) {
		for i := first; i < last; i++ {
			if f := o.pages[i]; f != nil {
				found = append(found, f)
			}
		}
		return found
	}
	for _, i := range slices.Sorted(maps.Keys(o.pages)) {
		if first <= i && i < last {
			found = append(found, o.pages[i])
		}
	}
	return found
}

// writePage writes a dirty page to the Store. The entries that show it lose
// their right to write first, so that the next store is noticed and makes the
// page dirty again; that is how no store is ever missed.
//
// A page that could not be written is clean all the same, as on Linux: the
// failure is remembered, memory shows the new bytes until the page is evicted,
// and the Store never gets them.
func (o *Object) writePage(f *frame) {
	f.state = StateWriting
	for _, w := range f.mappers {
		w.p.table.lookup(w.addr).bits &^= Writable | Dirty
	}
	n := int(min(o.size-f.off(), PageSize))
	clear(f.data[n:]) // what was stored beyond the end never reaches the Store
	_, err := o.store.(WritableStore).WriteAt(f.data[:n], f.off())
	f.state = StateClean
	o.m.tell(Event{Kind: BytesOut, Object: o, Off: f.off(), N: n, Frame: f.number})
	if err != nil {
		o.failed(f.index, f.index+1, err)
	}
}

// WriteBack writes the dirty pages among n from first on to the Store, as a
// kernel does when it likes. It makes nothing durable: that is Sync's. A
// failure is told by the next sync of each open file.
func (m *Machine) WriteBack(o *Object, first, n uint64) {
	for _, f := range o.resident(first, first+min(n, ^first)) {
		if f.state == StateDirty {
			o.writePage(f)
		}
	}
}

// sync writes the dirty pages of [first, last) and makes the Store durable. f
// is who asked: it is told about write-back that failed, now or earlier.
func (o *Object) sync(f *File, first, last uint64) error {
	w, ok := o.store.(WritableStore)
	if !ok {
		return nil
	}
	o.m.WriteBack(o, first, last-first)
	err := w.Sync()
	o.m.tell(Event{Kind: Synced, Object: o, Off: int64(first) << pageShift})
	if err != nil {
		o.failed(first, last, err)
	} else {
		o.crash.synced(first, last)
	}
	return f.failure()
}

// resize is truncate: what lies beyond the new end is gone, from memory, from
// every process, private copies too, and from the Store. The last page keeps
// what is left of it, and zeros.
func (o *Object) resize(size int64) error {
	grows := size > o.size // to the same size is cutting off nothing
	if grows {
		o.zeroBeforeGrowth()
	} else {
		o.cut(size, o.size, size)
	}
	if w, ok := o.store.(WritableStore); ok {
		if err := w.Truncate(size); err != nil {
			o.crash.resized(o.size) // it may have been done
			return &storeError{err}
		}
	}
	o.size = size
	o.crash.resized(size)
	if grows {
		return nil
	}
	o.zeroTail()
	for _, f := range o.resident(o.end(), ^uint64(0)) {
		o.forget(f)
	}
	o.unmapBeyondEnd()
	return nil
}

// zeroBeforeGrowth clears what was stored beyond the end, which is about to be
// before it. Linux does so for file systems; what was stored beyond the end of
// memory alone shows up when that grows.
func (o *Object) zeroBeforeGrowth() {
	if o.store != nil {
		o.zeroTail()
	}
}

// zeroTail clears what lies beyond the end in the last page.
func (o *Object) zeroTail() {
	n := o.size & (PageSize - 1)
	if f := o.cached(uint64(o.size) >> pageShift); f != nil && n > 0 {
		clear(f.data[n:])
	}
}

// unmapBeyondEnd takes private copies of pages that are no more from those who
// map them.
func (o *Object) unmapBeyondEnd() {
	for _, p := range o.m.processes {
		for _, a := range p.areas {
			if a.file != nil && a.file.object == o && a.pgoff+a.pages() > o.end() {
				from := a.start + Addr(max(o.end(), a.pgoff)-a.pgoff)<<pageShift
				p.drop(from, a.end)
			}
		}
	}
}

// punch makes zeros of the pages in [first, last), in memory, in every shared
// mapping, and in the Store. Private copies stay.
func (o *Object) punch(first, last uint64) error {
	o.cut(int64(first)<<pageShift, min(int64(last)<<pageShift, o.size), o.size)
	for _, f := range o.resident(first, last) {
		o.forget(f)
	}
	w, ok := o.store.(WritableStore)
	if !ok {
		return nil
	}
	var zeros [PageSize]byte
	for i := first; i < min(last, o.end()); i++ {
		off := int64(i) << pageShift
		if _, err := w.WriteAt(zeros[:min(o.size-off, PageSize)], off); err != nil {
			return &storeError{err}
		}
	}
	return nil
}

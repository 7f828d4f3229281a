package mmap

import (
	"sync/atomic"
	"time"
)

// A page fault keeps the goroutine's P until the disk has answered, and with it
// every goroutine that waits for that P, and the garbage collector. So an access
// touches only pages that the mapping believes to be in memory, and has the rest
// brought in by a system call, which the scheduler can work around.
//
// presence is that belief: a bit for each page, in words of 64, in chunks that are
// made when first needed. A belief is as old as its word's last look. Nobody
// watches over it: every accessPeriod-th access by a seat reads the clock, and
// when the epoch's period has passed it starts a new one; so does whoever has had to
// wait for a disk. Whoever comes to a word of
// an older epoch looks at it again first: at the cost of one mincore where the
// kernel tells the truth, or else by forgetting it. A look spans the words that the
// access touches and no more, since it takes up to 75 ns for a page that is not in the
// page table.
//
// A page that is evicted behind our back is still believed in for StalePeriod,
// and for accessPeriod accesses of each seat if those last longer. That is the
// bound for how long such faults can hold up others; after it, they are calls.
// Where a look has found pages gone, and the disk is slow enough for that to
// matter, epochs are of stalePeriodMin, and grow again while none is missed.
type presence struct {
	chunks atomic.Pointer[[]atomic.Pointer[chunk]]
	truth  atomic.Int32 // 2 if mincore tells this mapping the truth, 1 if not, 0 unasked
}

// A chunk is the belief about chunkPages pages.
type chunk struct {
	epochs   [chunkPages / wordPages]atomic.Uint32
	resident pageBits // in memory
	dirty    pageBits // and written through the file in this epoch: a store needs no block and no read
}

type pageBits [chunkPages / wordPages]atomic.Uint64

const (
	chunkShift   = 10
	chunkPages   = 1 << chunkShift
	wordShift    = 6
	wordPages    = 1 << wordShift
	accessPeriod = 16

	stalePeriodMin = 10 * time.Millisecond
	slowWait       = time.Millisecond // shorter stalls are worth no more looks
)

// StalePeriod bounds for how long the guarded accesses touch a page as if it were
// in memory after the kernel has evicted it. Such a touch is a page fault, and
// holds up other goroutines.
//
// None begins later than StalePeriod after the eviction, except that the clock is
// read only at every 16th access of a seat (there are 32 to 256: see the package's hazards),
// and whenever an access has waited for a disk by a call; fewer accesses than that can
// come later. Each lasts for as long as the kernel takes to bring a page in. A goroutine that becomes ready waits for those on
// its processor: with G goroutines that access such pages, GOMAXPROCS P, and F for
// bringing one page in, F*ceil(G/P) longer than if they had called os.File.ReadAt.
const StalePeriod = 100 * time.Millisecond

var clockStart = time.Now()

// clock is the time since the program started, in nanoseconds.
func clock() int64 { return int64(time.Since(clockStart)) }

// epoch is one for all mappings: so whoever reads the clock does it for all.
var epoch struct {
	n       atomic.Uint32
	renewed atomic.Int64 // when it began, by clock
	period  atomic.Int64 // how long it lasts
	waited  atomic.Int64 // how long the last call lasted that had to wait for a disk
}

// tick is called by every accessPeriod-th access.
func tick() {
	now, renewed, period := clock(), epoch.renewed.Load(), epoch.period.Load()
	if now-renewed > period && epoch.renewed.CompareAndSwap(renewed, now) {
		epoch.period.Store(min(max(2*period, int64(stalePeriodMin)), int64(StalePeriod)))
		epoch.n.Add(1)
	}
}

// forget drops every belief: because the pages were just evicted, or because
// there are others now, and then the gate keeps everyone out.
func (p *presence) forget() { p.chunks.Store(nil) }

// chunk is the chunk of page pg of a mapping of so many pages, made if it does
// not exist yet.
func (p *presence) chunk(pg, pages int) *chunk {
	all := p.chunks.Load()
	if all == nil {
		made := make([]atomic.Pointer[chunk], (pages+chunkPages-1)/chunkPages)
		p.chunks.CompareAndSwap(nil, &made)
		if all = p.chunks.Load(); all == nil {
			all = &made // forgotten again already: what is noted here is lost, and no harm done
		}
	}
	slot := &(*all)[pg/chunkPages]
	c := slot.Load()
	if c == nil {
		c = new(chunk)
		for w := range c.epochs {
			c.epochs[w].Store(epoch.n.Load())
		}
		if !slot.CompareAndSwap(nil, c) {
			c = slot.Load()
		}
	}
	return c
}

// has reports whether every page of [first, last] has its bit.
func (b *pageBits) has(first, last int) bool {
	for w := first / 64; w <= last/64; w++ {
		if mask := wordMask(w, first, last); b[w].Load()&mask != mask {
			return false
		}
	}
	return true
}

func (b *pageBits) set(first, last int) {
	for w := first / 64; w <= last/64; w++ {
		if mask := wordMask(w, first, last); b[w].Load()&mask != mask {
			b[w].Or(mask)
		}
	}
}

// wordMask is the bits of [first, last] that lie in word w.
func wordMask(w, first, last int) uint64 {
	mask := ^uint64(0)
	if lo := first - w*64; lo > 0 {
		mask &= ^uint64(0) << lo
	}
	if hi := last - w*64; hi < 63 {
		mask &= 1<<(hi+1) - 1
	}
	return mask
}

// isCold reports whether a page of this mapping can be missing from memory so
// that a disk or a network has to be waited for.
func (m *Mapping) isCold() bool { return m.fd >= 0 && !m.sharedAnonymous() }

// pageRange is the first and last page of the area that n bytes from off touch.
func (m *Mapping) pageRange(off int64, n int) (first, last int) {
	start := off + int64(m.delta)
	return int(start >> m.pageShift), int((start + int64(n) - 1) >> m.pageShift)
}

// believed reports whether the n bytes from off are believed to be in memory.
// The caller is inside the gate by s, n is not 0, and the mapping is cold.
func (m *Mapping) believed(s *seat, off int64, n int) bool {
	if m.gate.entries(s)%accessPeriod == 0 {
		tick()
	}
	first, last := m.pageRange(off, n)
	if m.presence.holds(first, last) {
		return true
	}
	all := m.presence.chunks.Load()
	if all == nil {
		return false
	}
	now := epoch.n.Load()
	for at := first; at <= last; {
		end := min(last, at|(chunkPages-1))
		c := (*all)[at/chunkPages].Load()
		if c == nil || !c.resident.has(at%chunkPages, end%chunkPages) {
			return false // which needs no look: looks only take beliefs away
		}
		m.look(c, now, at/wordPages, end/wordPages)
		at = end + 1
	}
	return m.presence.holds(first, last)
}

// holds reports whether the pages of [first, last] are believed in without another
// look. It looks at no memory and may be asked from outside the gate, where the
// chunks may be those of an area of another length.
func (p *presence) holds(first, last int) bool {
	all := p.chunks.Load()
	if all == nil {
		return false
	}
	now := epoch.n.Load()
	for w := first >> wordShift; w <= last>>wordShift; w++ {
		i := w >> (chunkShift - wordShift)
		if i >= len(*all) {
			return false
		}
		c := (*all)[i].Load()
		if c == nil {
			return false
		}
		i = w % len(c.resident)
		if mask := wordMask(w, first, last); c.resident[i].Load()&mask != mask || c.epochs[i].Load() != now {
			return false
		}
	}
	return true
}

// look compares the belief about words [w, to] of the mapping, which lie in one
// chunk, with what the kernel says.
func (m *Mapping) look(c *chunk, now uint32, w, to int) {
	var mine [len(c.resident)]bool // the others somebody else looks at
	from, end := to+1, w
	for at := w; at <= to; at++ {
		i := at % len(c.resident)
		if old := c.epochs[i].Load(); old != now && c.epochs[i].CompareAndSwap(old, now) {
			mine[i] = true
			from, end = min(from, at), at+1
		}
	}
	if from >= end {
		return
	}
	var vec [chunkPages]byte // what is not asked about counts as not in memory
	first := from * wordPages
	n := min((end-from)*wordPages, m.area.span>>m.pageShift-first)
	told := m.presence.mincoreIsTrue(m) && m.mincore(m.area.base+uintptr(first)<<m.pageShift, n<<m.pageShift, vec[:]) == nil
	if !told {
		clear(vec[:])
	}
	for at := from; at < end; at++ {
		i := at % len(c.resident)
		if !mine[i] {
			continue
		}
		resident := residentBits((*[wordPages]byte)(vec[(at-from)*wordPages:]))
		if told && c.resident[i].Load()&^resident != 0 && epoch.waited.Load() > int64(slowWait) {
			epoch.period.Store(int64(stalePeriodMin))
		}
		c.resident[i].And(resident)
		c.dirty[i].Store(0)
	}
}

// residentBits is a word of what mincore(2) says, a byte for each page.
func residentBits(vec *[wordPages]byte) (bits uint64) {
	for i, v := range vec {
		bits |= uint64(v&1) << i
	}
	return bits
}

// mincoreIsTrue is the mapping's answer to that, asked once: it costs a call, and
// a belief may be wrong.
func (p *presence) mincoreIsTrue(m *Mapping) bool {
	if p.truth.Load() == 0 {
		answer := int32(1)
		if m.mincoreIsTrue() {
			answer = 2
		}
		p.truth.Store(answer)
	}
	return p.truth.Load() == 2
}

// believe notes that the n bytes from off are in memory, and with dirty that they
// were just written through the file.
func (m *Mapping) believe(off int64, n int, dirty bool) {
	if n <= 0 {
		return
	}
	first, last := m.pageRange(off, n)
	for at := first; at <= last; {
		end := min(last, at|(chunkPages-1))
		c := m.presence.chunk(at, m.area.span>>m.pageShift)
		c.resident.set(at%chunkPages, end%chunkPages)
		if dirty {
			c.dirty.set(at%chunkPages, end%chunkPages)
		}
		at = end + 1
	}
}

// believedDirty reports whether the n bytes from off were written through the
// file in this epoch.
func (m *Mapping) believedDirty(off int64, n int) bool {
	first, last := m.pageRange(off, n)
	for at := first; at <= last; {
		end := min(last, at|(chunkPages-1))
		if !m.presence.chunk(at, m.area.span>>m.pageShift).dirty.has(at%chunkPages, end%chunkPages) {
			return false
		}
		at = end + 1
	}
	return true
}

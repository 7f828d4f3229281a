package agree

// An undetermined thing is one that a kernel may do either way, or does by
// accident. Steps that depend on it are passed over, or compared but for it.
type undetermined string

const (
	// readAhead: mincore tells of pages that nobody asked for. What the engine
	// has in memory the kernel has too; it may have more.
	readAhead undetermined = "which pages were read ahead"

	// reclaim: MADV_PAGEOUT takes what it can get from memory. mincore is not
	// compared after it.
	reclaim undetermined = "which pages MADV_PAGEOUT takes from memory"

	// lazyFree: what was given back by MADV_FREE is taken at any time, or never;
	// MADV_PAGEOUT takes it, unless it is on its way between two lists. The
	// engine is told which pages went.
	lazyFree undetermined = "when pages given back by MADV_FREE go"

	// faultAround: a fault on an object maps neighbours too, and the kernel may
	// drop an entry that a fault finds again. Only which pages are a process's
	// own is determined.
	faultAround undetermined = "which pages of objects have entries"

	// failedGrowth: a file system may make the file as long as the offset of a
	// write before it copies the bytes, even if it then can't (ext4 and tmpfs,
	// 6.18). Writes from memory leave no gap here.
	failedGrowth undetermined = "the size that a failed write past the end leaves"

	// overlap: bytes that are copied over themselves come out as the
	// processor's string instructions like.
	overlap undetermined = "bytes that are copied over themselves"

	// tail: what is stored beyond the end of a file, in its last page, is gone
	// once the page is written to a disk, which may be at any time. On tmpfs it
	// stays, and becomes contents when the file grows (6.18); before that it is
	// compared.
	tail undetermined = "bytes stored beyond the end of a file"

	// errorAddress: with MAP_FIXED in the last page of all addresses the kernel
	// takes the address for an error number. Programs don't ask for it.
	errorAddress undetermined = "mappings at the last of all addresses"

	// dax: MAP_SYNC is for file systems on memory. Programs don't ask for it.
	dax undetermined = "MAP_SYNC"
)

// neverCompared is what programs do not depend on at all; steps that depend on
// the others are passed over and counted.
var neverCompared = []undetermined{readAhead, lazyFree, faultAround, failedGrowth, dax}

// mincoreAgrees compares answers of mincore but for readAhead.
func mincoreAgrees(kernel, engine string) bool {
	for i := range kernel {
		if engine[i]&1 == 1 && kernel[i]&1 == 0 {
			return false
		}
	}
	return len(kernel) == len(engine)
}

// pageAgrees compares entries of page tables but for faultAround.
func pageAgrees(kernel, engine pageState) bool { return (kernel == owned) == (engine == owned) }

// open tells what about a step is undetermined, or makes it determined.
func (p *pair) open(s *step, proc int) undetermined {
	switch {
	case s.call == "madvise" && s.flags == pageOut:
		p.reclaimed = true
	case s.call == "mincore" && p.reclaimed:
		return reclaim
	}
	if s.call == "mmap" && s.flags&mapFixed != 0 && p.follow.resolve(s.addr) > ^uint64(page-1) {
		return errorAddress
	}
	if s.file < 0 || s.file >= files {
		return p.tailOpen(*s, proc)
	}
	object, _ := objectOf(s.file)
	size := uint64(p.follow.objects[object].Size())
	if s.call == "pwrite" && int64(s.off) > 0 && s.off > size {
		s.off = size // failedGrowth
	}
	if s.call == "pwrite" || s.call == "pread" {
		if r, ok := p.behind(proc, *s)[object]; ok && r.start < s.off+s.size && s.off < r.end {
			return overlap
		}
	}
	return p.tailOpen(*s, proc)
}

// tailOpen tells whether the step depends on tail, and remembers which objects
// have something there.
func (p *pair) tailOpen(s step, proc int) undetermined {
	end := func(object int) uint64 { return uint64(p.follow.objects[object].Size()) }
	switch s.call {
	case "store", "poke", "pread":
		for object, r := range p.behind(proc, s) {
			if r.end > end(object) && r.start < pagesOf(end(object))*page {
				if object == disk {
					return tail
				}
				p.tails[object] = true
			}
		}
	case "truncate", "write", "pwrite":
		if s.file < 0 || s.file >= files {
			break
		}
		object, _ := objectOf(s.file)
		to := s.off + s.size // size is 0 for truncate
		if p.tails[object] && to > end(object) && int64(to) > 0 {
			return tail
		}
		if s.call == "truncate" {
			p.tails[object] = false // shrinking clears it
		}
	}
	return ""
}

// A span is a range of a file's bytes.
type span struct{ start, end uint64 }

// behind gives the parts of objects that the memory of the step belongs to.
func (p *pair) behind(proc int, s step) map[int]span {
	found := map[int]span{}
	start := p.follow.resolve(s.addr)
	end := start + s.size
	for _, a := range p.follow.areas(proc) {
		if a.object < 0 || a.start >= end || a.end <= start {
			continue
		}
		r := span{max(a.start, start) - a.start + a.offset, min(a.end, end) - a.start + a.offset}
		if had, ok := found[a.object]; ok {
			r = span{min(r.start, had.start), max(r.end, had.end)}
		}
		found[a.object] = r
	}
	return found
}

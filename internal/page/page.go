package page

import "math"

// Down rounds off down to a multiple of size, a power of two.
func Down(off int64, size int) int64 { return off &^ int64(size-1) }

// Up rounds off up to a multiple of size, a power of two. It reports false
// when the result does not fit in an int64.
func Up(off int64, size int) (int64, bool) {
	if off > math.MaxInt64-int64(size-1) {
		return 0, false
	}
	return Down(off+int64(size-1), size), true
}

// Delta is the distance from the start of off's page to off.
func Delta(off int64, size int) int { return int(off & int64(size-1)) }

// Range is the half-open byte range [Off, Off+Len).
type Range struct {
	Off int64
	Len int64
}

// End is the first byte after the range.
func (r Range) End() int64 { return r.Off + r.Len }

// Within reports whether [off, off+n) is a range inside [0, limit), without
// overflowing on hostile arguments. An empty range at limit is inside.
func Within(off int64, n int, limit int) bool {
	return off >= 0 && n >= 0 && off <= int64(limit) && int64(n) <= int64(limit)-off
}

// Outward grows r to whole pages of the given size. It reports false when the
// rounded end does not fit in an int64.
func Outward(r Range, size int) (Range, bool) {
	if r.Off > math.MaxInt64-r.Len {
		return Range{}, false
	}
	start := Down(r.Off, size)
	end, ok := Up(r.End(), size)
	return Range{start, end - start}, ok
}

// Inward shrinks r to the whole pages that it covers; the result may be empty.
func Inward(r Range, size int) Range {
	start, ok := Up(r.Off, size)
	end := Down(r.End(), size)
	if !ok || end <= start {
		return Range{Off: r.Off}
	}
	return Range{start, end - start}
}

// Count is the number of pages of the given size that n bytes starting at off
// touch. The range must have been checked.
func Count(off int64, n int, size int) int {
	if n == 0 {
		return 0
	}
	return int((Down(off+int64(n)-1, size)-Down(off, size))/int64(size)) + 1
}

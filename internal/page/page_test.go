package page_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestRounding(t *testing.T) {
	const last = math.MaxInt64 // the last page ends one byte after it
	tests := []struct {
		off      int64
		size     int
		down, up int64
		fits     bool
		delta    int
	}{
		{0, 4096, 0, 0, true, 0},
		{1, 4096, 0, 4096, true, 1},
		{4095, 4096, 0, 4096, true, 4095},
		{4096, 4096, 4096, 4096, true, 0},
		{4097, 4096, 4096, 8192, true, 1},
		{7, 1, 7, 7, true, 0},
		{1<<32 + 1, 2 << 20, 1 << 32, 1<<32 + 2<<20, true, 1},
		{last - 4095, 4096, last - 4095, last - 4095, true, 0},
		{last - 4094, 4096, last - 4095, 0, false, 1},
		{last, 4096, last - 4095, 0, false, 4095},
	}
	for _, tt := range tests {
		if got := page.Down(tt.off, tt.size); got != tt.down {
			t.Errorf("Down(%d, %d) = %d, want %d", tt.off, tt.size, got, tt.down)
		}
		if got, fits := page.Up(tt.off, tt.size); got != tt.up || fits != tt.fits {
			t.Errorf("Up(%d, %d) = %d, %v, want %d, %v", tt.off, tt.size, got, fits, tt.up, tt.fits)
		}
		if got := page.Delta(tt.off, tt.size); got != tt.delta {
			t.Errorf("Delta(%d, %d) = %d, want %d", tt.off, tt.size, got, tt.delta)
		}
	}
}

func TestWithin(t *testing.T) {
	tests := []struct {
		name  string
		off   int64
		n     int
		limit int
		want  bool
	}{
		{"all of it", 0, 10, 10, true},
		{"nothing at the start", 0, 0, 10, true},
		{"nothing at the end", 10, 0, 10, true},
		{"nothing after the end", 11, 0, 10, false},
		{"nothing of nothing", 0, 0, 0, true},
		{"one byte of nothing", 0, 1, 0, false},
		{"the last byte", 9, 1, 10, true},
		{"one byte too many", 9, 2, 10, false},
		{"a negative offset", -1, 1, 10, false},
		{"a negative length", 5, -1, 10, false},
		{"a sum that overflows", 1, math.MaxInt, math.MaxInt, false},
		{"an offset beyond int", math.MaxInt64, 0, 10, false},
		{"the largest range", 0, math.MaxInt, math.MaxInt, true},
	}
	for _, tt := range tests {
		if got := page.Within(tt.off, tt.n, tt.limit); got != tt.want {
			t.Errorf("%s: Within(%d, %d, %d) = %v", tt.name, tt.off, tt.n, tt.limit, got)
		}
	}
}

func TestOutwardAndInward(t *testing.T) {
	tests := []struct {
		name        string
		r, out, in  page.Range
		outOverflow bool
	}{
		{name: "a page", r: page.Range{Off: 4096, Len: 4096}, out: page.Range{Off: 4096, Len: 4096}, in: page.Range{Off: 4096, Len: 4096}},
		{name: "a byte", r: page.Range{Off: 5000, Len: 1}, out: page.Range{Off: 4096, Len: 4096}, in: page.Range{Off: 5000}},
		{name: "two bytes over a border", r: page.Range{Off: 4095, Len: 2}, out: page.Range{Off: 0, Len: 8192}, in: page.Range{Off: 4095}},
		{name: "a page and its neighbours' edges", r: page.Range{Off: 4095, Len: 4098}, out: page.Range{Off: 0, Len: 12288}, in: page.Range{Off: 4096, Len: 4096}},
		{name: "nothing on a border", r: page.Range{Off: 4096}, out: page.Range{Off: 4096}, in: page.Range{Off: 4096}},
		{name: "the last byte", r: page.Range{Off: math.MaxInt64 - 1, Len: 1}, outOverflow: true, in: page.Range{Off: math.MaxInt64 - 1}},
	}
	for _, tt := range tests {
		got, ok := page.Outward(tt.r, 4096)
		if ok == tt.outOverflow || ok && got != tt.out {
			t.Errorf("%s: Outward = %v, %v, want %v, %v", tt.name, got, ok, tt.out, !tt.outOverflow)
		}
		if got := page.Inward(tt.r, 4096); got != tt.in {
			t.Errorf("%s: Inward = %v, want %v", tt.name, got, tt.in)
		}
	}
}

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		off  int64
		n    int
		want int
	}{
		{0, 0, 0}, {5000, 0, 0}, {0, 1, 1}, {0, 4096, 1}, {0, 4097, 2},
		{4095, 1, 1}, {4095, 2, 2}, {4095, 4098, 3}, {math.MaxInt64 - 4096, 4096, 2},
	} {
		if got := page.Count(tt.off, tt.n, 4096); got != tt.want {
			t.Errorf("Count(%d, %d) = %d, want %d", tt.off, tt.n, got, tt.want)
		}
	}
}

// FuzzWithin compares with arithmetic that can't overflow.
func FuzzWithin(f *testing.F) {
	f.Add(int64(0), 1, 1)
	f.Add(int64(math.MaxInt64), math.MaxInt, math.MaxInt)
	f.Add(int64(math.MinInt64), math.MinInt, math.MinInt)
	f.Fuzz(func(t *testing.T, off int64, n, limit int) {
		end := new(big.Int).Add(big.NewInt(off), big.NewInt(int64(n)))
		want := off >= 0 && n >= 0 && end.Cmp(big.NewInt(int64(limit))) <= 0
		if got := page.Within(off, n, limit); got != want {
			t.Errorf("Within(%d, %d, %d) = %v", off, n, limit, got)
		}
	})
}

// FuzzRange holds what rounding promises for every range of a file: whole
// pages, the smallest around it and the largest inside it.
func FuzzRange(f *testing.F) {
	f.Add(int64(4095), int64(2), uint8(12))
	f.Add(int64(math.MaxInt64-1), int64(1), uint8(21))
	f.Fuzz(func(t *testing.T, off, n int64, shift uint8) {
		size := 1 << (shift % 31)
		if off < 0 || n < 0 || off > math.MaxInt64-n {
			return // no range of a file
		}
		r := page.Range{Off: off, Len: n}
		whole := func(r page.Range) bool { return page.Delta(r.Off, size) == 0 && page.Delta(r.Len, size) == 0 }

		if out, ok := page.Outward(r, size); ok {
			if !whole(out) || out.Off > r.Off || out.End() < r.End() || r.Off-out.Off >= int64(size) || out.End()-r.End() >= int64(size) {
				t.Errorf("Outward(%v, %d) = %v", r, size, out)
			}
			if n > 0 && n <= math.MaxInt32 && int64(page.Count(off, int(n), size)) != out.Len/int64(size) {
				t.Errorf("Count(%d, %d, %d) = %d, and Outward has %d pages", off, n, size, page.Count(off, int(n), size), out.Len/int64(size))
			}
		} else if r.End() <= math.MaxInt64-int64(size-1) {
			t.Errorf("Outward(%v, %d) says that it does not fit", r, size)
		}

		in := page.Inward(r, size)
		if in.Len == 0 {
			if first, ok := page.Up(off, size); ok && first <= math.MaxInt64-int64(size) && first+int64(size) <= r.End() {
				t.Errorf("Inward(%v, %d) misses the page at %d", r, size, first)
			}
		} else if !whole(in) || in.Off < r.Off || in.End() > r.End() || in.Off-r.Off >= int64(size) || r.End()-in.End() >= int64(size) {
			t.Errorf("Inward(%v, %d) = %v", r, size, in)
		}
	})
}

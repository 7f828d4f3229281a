package raw_test

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

func TestMmapFixedReplacesWhatIsThere(t *testing.T) {
	needLinux(t)
	const n = 5
	for _, row := range []struct {
		name     string
		from     int // first page of the new mapping
		length   int // its length in bytes
		replaced int // pages that are gone
	}{
		{"one page in the middle", 2, page, 1},
		{"a single byte replaces its whole page", 2, 1, 1},
		{"three pages", 1, 3 * page, 3},
		{"everything", 0, n * page, n},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := zeros(t, n)
			copy(at(addr, pages(n)), patterned(pages(n)))
			place(t, plus(addr, row.from), row.length, rw, anon, nil, 0)
			want := patterned(pages(n))
			clear(want[pages(row.from):pages(row.from+row.replaced)])
			if !bytes.Equal(at(addr, pages(n)), want) {
				t.Error("want zeros in the replaced pages and the old bytes around them")
			}
		})
	}
}

func TestMmapFixedNoReplace(t *testing.T) {
	needLinux(t)
	testenv.Need(t, testenv.FixedNoReplace)
	// Pages 3 to 5 of an arena of 9 are mapped; the others are free.
	for _, row := range []struct {
		name    string
		from, n int
		flags   raw.Flag
		want    error
	}{
		{"exactly the existing mapping", 3, 3, 0, syscall.EEXIST},
		{"the first page of it", 3, 1, 0, syscall.EEXIST},
		{"a page within it", 4, 1, 0, syscall.EEXIST},
		{"the last page of it", 5, 1, 0, syscall.EEXIST},
		{"a range that runs into it", 2, 2, 0, syscall.EEXIST},
		{"a range that runs out of it", 5, 2, 0, syscall.EEXIST},
		{"a range around it", 1, 7, 0, syscall.EEXIST},
		{"with MAP_FIXED too, a page within it", 4, 1, raw.MAP_FIXED, syscall.EEXIST},
		{"free pages apart from it", 0, 2, 0, nil},
		{"free pages that end where it starts", 1, 2, 0, nil},
		{"free pages that start where it ends", 6, 2, 0, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			base := arena(t, 9)
			place(t, plus(base, 3), pages(3), rw, anon, nil, 0)
			at(plus(base, 3), pages(3))[page] = 9
			must(t, raw.Munmap(base, pages(3)))
			must(t, raw.Munmap(plus(base, 6), pages(3)))
			addr := plus(base, row.from)
			got, err := raw.Mmap(addr, pages(row.n), rw, anon|raw.MAP_FIXED_NOREPLACE|row.flags, -1, 0)
			wantErr(t, err, row.want)
			if err == nil && got != addr {
				t.Errorf("placed at %#x instead of %#x", got, addr)
			}
			if at(plus(base, 3), pages(3))[page] != 9 {
				t.Error("the existing mapping was replaced")
			}
		})
	}
	t.Run("an unaligned address", func(t *testing.T) {
		_, err := raw.Mmap(arena(t, 1)+1, page, rw, anon|raw.MAP_FIXED_NOREPLACE, -1, 0)
		wantErr(t, err, syscall.EINVAL)
	})
}

func TestMmapHint(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name  string
		free  bool // the hinted page is
		delta uintptr
		taken bool // the hint is
	}{
		{"a free address is taken", true, 0, true},
		{"an unaligned address is rounded down to its page", true, 1, true},
		{"an occupied address is passed over", false, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := arena(t, 1)
			if row.free {
				must(t, raw.Munmap(addr, page))
			}
			got, err := raw.Mmap(addr+row.delta, page, rw, anon, -1, 0)
			must(t, err)
			defer raw.Munmap(got, page)
			if taken := got == addr; taken != row.taken {
				t.Errorf("hint %#x, placed at %#x", addr+row.delta, got)
			}
		})
	}
}

func TestTwoFilesThatSwapAddressesShowTheirOwnContents(t *testing.T) {
	needLinux(t)
	first, second := file(t, page), file(t, page)
	for i, f := range []*os.File{first, second} {
		_, err := f.WriteAt([]byte{byte(1 + i)}, 0)
		must(t, err)
	}
	base := arena(t, 2)
	for range 2 {
		place(t, base, page, rw, raw.MAP_SHARED, first, 0)
		place(t, plus(base, 1), page, rw, raw.MAP_SHARED, second, 0)
		if p := at(base, pages(2)); p[0] != 1 || p[page] != 2 {
			t.Fatalf("the pages show %d and %d", p[0], p[page])
		}
		place(t, base, page, rw, raw.MAP_SHARED, second, 0)
		place(t, plus(base, 1), page, rw, raw.MAP_SHARED, first, 0)
		if p := at(base, pages(2)); p[0] != 2 || p[page] != 1 {
			t.Fatalf("swapped, the pages show %d and %d", p[0], p[page])
		}
	}
}

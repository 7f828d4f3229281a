package raw_test

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

const (
	mayMove   = raw.MREMAP_MAYMOVE
	fixed     = raw.MREMAP_MAYMOVE | raw.MREMAP_FIXED
	dontUnmap = raw.MREMAP_MAYMOVE | raw.MREMAP_DONTUNMAP
)

func TestMremapRefusals(t *testing.T) {
	needLinux(t)
	shared := mapped(t, page, rw, raw.MAP_SHARED, memfd(t, page), 0)
	hole := plus(holed(t, 3, 1), 1)
	for _, row := range []struct {
		name     string
		addr     uintptr
		old, new int
		flags    raw.RemapFlag
		newAddr  uintptr
		want     error
	}{
		{name: "an unaligned address", addr: zeros(t, 1) + 1, old: page, new: page, want: syscall.EINVAL},
		{name: "new length 0", addr: zeros(t, 1), old: page, want: syscall.EINVAL},
		{name: "an unknown flag", addr: zeros(t, 1), old: page, new: page, flags: 1 << 10, want: syscall.EINVAL},
		{name: "MREMAP_FIXED without MREMAP_MAYMOVE", addr: zeros(t, 1), old: page, new: page, flags: raw.MREMAP_FIXED, newAddr: arena(t, 1), want: syscall.EINVAL},
		{name: "MREMAP_DONTUNMAP without MREMAP_MAYMOVE", addr: zeros(t, 1), old: page, new: page, flags: raw.MREMAP_DONTUNMAP, want: syscall.EINVAL},
		{name: "MREMAP_DONTUNMAP with another length", addr: zeros(t, 1), old: page, new: 2 * page, flags: dontUnmap, want: syscall.EINVAL},
		{name: "an unaligned target", addr: zeros(t, 1), old: page, new: page, flags: fixed, newAddr: arena(t, 1) + 1, want: syscall.EINVAL},
		{name: "a target that no process has", addr: zeros(t, 1), old: page, new: page, flags: fixed, newAddr: beyond, want: syscall.EINVAL},
		{name: "a page that is not mapped", addr: hole, old: page, new: page, flags: mayMove, want: syscall.EFAULT},
		{name: "a page that is not mapped, growing", addr: hole, old: page, new: 2 * page, flags: mayMove, want: syscall.EFAULT},
		{name: "growing across an area's end", addr: zeros(t, 1), old: 3 * page, new: 4 * page, flags: mayMove, want: syscall.EFAULT},
		{name: "growing where a neighbour stands, without MREMAP_MAYMOVE", addr: zeros(t, 1), old: page, new: 2 * page, want: syscall.ENOMEM},
		{name: "old length 0 of private memory", addr: zeros(t, 1), new: page, flags: mayMove, want: syscall.EINVAL},
		{name: "old length 0 of shared memory that may not move", addr: shared, new: page, want: syscall.ENOMEM},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := raw.Mremap(row.addr, row.old, row.new, row.flags, row.newAddr)
			wantErr(t, err, row.want)
			if err == nil {
				raw.Munmap(got, row.new)
			}
		})
	}
}

// TestMremapRefusesALengthOfNearlyTheWholeAddressSpace: before 6.17 it was
// looked for and not found; now the argument itself is refused.
func TestMremapRefusesALengthOfNearlyTheWholeAddressSpace(t *testing.T) {
	needLinux(t)
	_, err := raw.Mremap(zeros(t, 1), page, -2*page, mayMove, 0)
	if !isErr(err, syscall.ENOMEM) && !isErr(err, syscall.EINVAL) {
		t.Errorf("answered %v, want ENOMEM or EINVAL", err)
	}
}

func TestMremapTargetMayNotOverlapTheSource(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name string
		to   int // page; the source is pages 2 and 3 of six
		want error
	}{
		{"exactly on the source", 2, syscall.EINVAL},
		{"on its first page", 1, syscall.EINVAL},
		{"on its last page", 3, syscall.EINVAL},
		{"right before it", 0, nil},
		{"right after it", 4, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			base := arena(t, 6)
			place(t, plus(base, 2), pages(2), rw, anon, nil, 0)
			store(plus(base, 3))
			got, err := raw.Mremap(plus(base, 2), pages(2), pages(2), fixed, plus(base, row.to))
			wantErr(t, err, row.want)
			if err != nil {
				got = plus(base, 2)
			}
			if p := at(got, pages(2)); p[0] != 0 || p[page] != 0xA5 {
				t.Error("the bytes changed")
			}
		})
	}
}

func TestMremapInPlace(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name     string
		old, new int // pages of three, of which the next two are free
		flags    raw.RemapFlag
		gone     []int
	}{
		{"the same length changes nothing", 3, 3, 0, nil},
		{"a shorter one unmaps the tail", 3, 1, 0, []int{1, 2}},
		{"part of it grows into free pages", 3, 5, 0, nil},
		{"it grows in place even where it may move", 3, 4, mayMove, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			base := arena(t, 5)
			place(t, base, pages(3), rw, anon, nil, 0)
			copy(at(base, pages(3)), patterned(pages(3)))
			must(t, raw.Munmap(plus(base, 3), pages(2)))
			got, err := raw.Mremap(base, pages(row.old), pages(row.new), row.flags, 0)
			must(t, err)
			if got != base {
				t.Fatalf("moved from %#x to %#x", base, got)
			}
			kept := pages(min(row.old, row.new))
			if !bytes.Equal(at(base, kept), patterned(kept)) {
				t.Error("the bytes changed")
			}
			for i := range row.new {
				if !mayStore(plus(base, i)) {
					t.Errorf("page %d can't be written", i)
				}
			}
			for _, i := range row.gone {
				if mayLoad(plus(base, i)) {
					t.Errorf("page %d is still mapped", i)
				}
			}
		})
	}
}

func TestMremapMoves(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name     string
		from     int // page of three
		old, new int // pages
		flags    raw.RemapFlag
	}{
		{"growing where a neighbour stands", 0, 3, 6, mayMove},
		{"to a given address", 0, 3, 3, fixed},
		{"to a given address, growing", 0, 3, 4, fixed},
		{"to a given address, shrinking", 0, 3, 2, fixed},
		{"the middle page alone", 1, 1, 1, fixed},
		{"the last page, growing", 2, 1, 3, fixed},
	} {
		t.Run(row.name, func(t *testing.T) {
			source, target := zeros(t, 3), arena(t, 8)
			copy(at(source, pages(3)), patterned(pages(3)))
			place(t, target, pages(8), rw, anon, nil, 0)
			at(target, 1)[0] = 99 // what the move replaces
			from := plus(source, row.from)
			got, err := raw.Mremap(from, pages(row.old), pages(row.new), row.flags, target)
			must(t, err)
			if row.flags == fixed && got != target {
				t.Errorf("moved to %#x instead of %#x", got, target)
			}
			if row.flags != fixed {
				defer raw.Munmap(got, pages(row.new))
			}
			kept := pages(min(row.old, row.new))
			if !bytes.Equal(at(got, kept), patterned(pages(3))[pages(row.from):][:kept]) {
				t.Error("the bytes changed")
			}
			if more := pages(row.new) - kept; !bytes.Equal(at(got, pages(row.new))[kept:], make([]byte, more)) {
				t.Error("the new bytes are not zero")
			}
			for i := range 3 {
				moved := i >= row.from && i < row.from+row.old
				if mayLoad(plus(source, i)) == moved {
					t.Errorf("page %d of the source is mapped: %v", i, !moved)
				}
			}
		})
	}
}

// TestMremapKeepsContentsAtEveryAlignment moves mappings between addresses of
// all alignments to a large step of the page table.
func TestMremapKeepsContentsAtEveryAlignment(t *testing.T) {
	needLinux(t)
	const step = 2 << 20 // a page middle directory's reach on x86-64
	room := mapped(t, 8*step, raw.PROT_NONE, noAccess, nil, 0)
	base := (room + step - 1) &^ (step - 1)
	aligned := map[string]uintptr{"one page past the step": uintptr(page), "at the step": 0, "in its middle": step / 2}
	for fromName, from := range aligned {
		for toName, to := range aligned {
			t.Run("from "+fromName+" to "+toName, func(t *testing.T) {
				const n = step + step/4
				source, target := base+from, base+3*step+to
				place(t, source, n, rw, anon, nil, 0)
				for i := 0; i < n; i += 16 * page {
					at(source, n)[i] = pattern(i)
				}
				got, err := raw.Mremap(source, n, n, fixed, target)
				must(t, err)
				for i := 0; i < n; i += 16 * page {
					if at(got, n)[i] != pattern(i) {
						t.Fatalf("byte %d changed", i)
					}
				}
			})
		}
	}
}

func TestMremapGrownFileMappingReachesTheFile(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	source := arena(t, 1)
	place(t, source, page, rw, raw.MAP_SHARED, f, 0)
	must(t, f.Truncate(int64(pages(4))))
	got, err := raw.Mremap(source, page, pages(4), fixed, arena(t, 4))
	must(t, err)
	store(plus(got, 3))
	must(t, raw.Msync(got, pages(4), raw.MS_SYNC))
	if contents(t, f, int64(pages(3)), 1)[0] != 0xA5 {
		t.Error("a store to the new page did not reach the file")
	}
	if contents(t, f, 0, 1)[0] != pattern(0) {
		t.Error("the first page changed")
	}
}

func TestMremapKeepsPrivateCopiesAndExposesTheFileBehind(t *testing.T) {
	needLinux(t)
	f := file(t, pages(3))
	source := arena(t, 2)
	place(t, source, pages(2), rw, raw.MAP_PRIVATE, f, 0)
	store(plus(source, 1))
	got, err := raw.Mremap(source, pages(2), pages(3), fixed, arena(t, 3))
	must(t, err)
	p := at(got, pages(3))
	for i, want := range []byte{pattern(0), 0xA5, pattern(pages(2))} {
		if p[pages(i)] != want {
			t.Errorf("page %d shows %d, want %d", i, p[pages(i)], want)
		}
	}
}

func TestMremapOfOldLengthZeroMapsSharedMemoryAgain(t *testing.T) {
	needLinux(t)
	source := mapped(t, page, rw, raw.MAP_SHARED, memfd(t, page), 0)
	target := arena(t, 1)
	got, err := raw.Mremap(source, 0, page, fixed, target)
	must(t, err)
	store(got)
	if at(source, 1)[0] != 0xA5 {
		t.Error("the two mappings do not share the page")
	}
}

func TestMremapMovesThePositionInTheFileAlong(t *testing.T) {
	needLinux(t)
	f := file(t, pages(4))
	base := arena(t, 4)
	// Pages 0, 1 and 2, 3 of the file stand apart; moved together, they are
	// one area again.
	place(t, base, pages(2), raw.PROT_READ, raw.MAP_SHARED, f, 0)
	source := arena(t, 2)
	place(t, source, pages(2), raw.PROT_READ, raw.MAP_SHARED, f, int64(pages(2)))
	_, err := raw.Mremap(source, pages(2), pages(2), fixed, plus(base, 2))
	must(t, err)
	if !bytes.Equal(at(base, pages(4)), patterned(pages(4))) {
		t.Error("the merged area shows other bytes than the file")
	}
	if got := areasIn(t, base, pages(4)); len(got) != 1 || got[0].offset != 0 {
		t.Errorf("there are %d areas", len(got))
	}
}

func TestMremapDontUnmapLeavesAnEmptyRange(t *testing.T) {
	needLinux(t)
	source, target := zeros(t, 2), arena(t, 2)
	copy(at(source, pages(2)), patterned(pages(2)))
	got, err := raw.Mremap(source, pages(2), pages(2), dontUnmap|fixed, target)
	testenv.Need(t, testenv.Feature{Name: "MREMAP_DONTUNMAP", Since: "5.7", Probe: func() error { return err }})
	if !bytes.Equal(at(got, pages(2)), patterned(pages(2))) {
		t.Error("the bytes did not move")
	}
	if !bytes.Equal(at(source, pages(2)), make([]byte, pages(2))) {
		t.Error("the source is not empty")
	}
}

func TestMremapKeepsLocksAndCountsThem(t *testing.T) {
	needLinux(t)
	testenv.Need(t, lockable)
	before := lockedPages(t)
	source := zeros(t, 2)
	must(t, raw.Mlock(source, pages(2)))
	got, err := raw.Mremap(source, pages(2), pages(4), fixed, arena(t, 4))
	must(t, err)
	if n := lockedPages(t) - before; n != 4 || present(t, got, 4) != 4 {
		t.Errorf("%d pages are locked, %d present; want the new ones too", n, present(t, got, 4))
	}
	_, err = raw.Mremap(got, pages(4), page, 0, 0)
	must(t, err)
	if n := lockedPages(t) - before; n != 1 {
		t.Errorf("shrunk to a page, %d pages are locked", n)
	}
}

package agree

import (
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// weighted is the calls of random programs, each as often as it is likely. They
// are spread over the list: rapid prefers its beginning.
var weighted = func() (list []string) {
	weights := []struct {
		call string
		n    int
	}{
		{"mmap", 20}, {"store", 14}, {"load", 8}, {"mprotect", 7}, {"munmap", 5}, {"mremap", 8}, {"madvise", 8}, {"fork", 4},
		{"truncate", 4}, {"poke", 4}, {"peek", 4}, {"mlock", 4}, {"mlock2", 3}, {"munlock", 3}, {"msync", 4}, {"mincore", 3},
		{"pread", 4}, {"pwrite", 4}, {"write", 4}, {"exit", 2}, {"fsync", 1}, {"mlockall", 2}, {"munlockall", 1},
		{"memlock", 1}, {"as", 1}, {"data", 1},
	}
	for round := range 20 {
		for _, w := range weights {
			if (round+1)*w.n/20 > round*w.n/20 {
				list = append(list, w.call)
			}
		}
	}
	return list
}()

// draws are the generators that steps are put together from.
var (
	anyProcess = rapid.IntRange(0, mostProcesses-1)
	anyWindow  = rapid.SampledFrom([]int{low, low, low, high})
	anyPage    = rapid.Uint64Range(0, windowPages-1)
	anyCount   = rapid.SampledFrom([]uint64{1, 2, 3, 1, 2, 4, 5, 6, 8, 12, 24, 1, 0})
	anyByte    = rapid.Uint64Range(0, page-1)
	anyValue   = rapid.Uint64Range(1, 255)
	anyWidth   = rapid.SampledFrom([]uint64{1, 8, 4, 2})
	anyNumber  = rapid.Uint64()
	anyBad     = rapid.SampledFrom([]uint64{0, 1 << 63, ^uint64(page - 1), ^uint64(2*page - 1), 1 << 47, 1<<47 - page, 1<<47 - 2*page, 1 << 48})
	anyProt    = rapid.SampledFrom([]uint64{3, 1, 3, 0, 2, 5, 7, 4, 6})
	anyFile    = rapid.SampledFrom([]int{
		fileOf(tmp, readWrite), fileOf(mem, readWrite), fileOf(tmp, readWrite), fileOf(mem, readWrite), fileOf(disk, readWrite),
		fileOf(tmp, readOnly), fileOf(mem, readOnly), fileOf(disk, readOnly), fileOf(tmp, writeOnly), fileOf(disk, writeOnly),
	})
	anyAdvice = rapid.SampledFrom(append(slices.Sorted(maps.Keys(adviceNames)), 4, 4, 9, 22, 23, 99))
)

// draw makes one step.
func draw(t *rapid.T, p *pair) step {
	s := step{call: evenly(t, "call", weighted)}
	s.proc = anyProcess.Draw(t, "process")
	mapped := p.mapped(p.alive[s.proc%len(p.alive)])
	for _, f := range calls[s.call] {
		drawField(t, &s, f.name, mapped)
	}
	return s
}

// mapped lists the pages in the windows that the process has mapped, and the
// first one behind each area.
func (p *pair) mapped(proc int) (list []place) {
	for _, a := range p.follow.areas(proc) {
		for at := a.start; at <= a.end; at += page {
			if q := placeOf(at, p.follow); q.base != absolute {
				list = append(list, q)
			}
		}
	}
	return list
}

// evenly draws an element of the list, the first one when it is shrunk. rapid
// itself prefers the first ones.
func evenly[T any](t *rapid.T, name string, list []T) T {
	return list[mix(anyNumber.Draw(t, name))%uint64(len(list))]
}

// chance is true in so many of a hundred cases, and false when it is shrunk.
func chance(t *rapid.T, name string, percent uint64) bool {
	return mix(anyNumber.Draw(t, name))%100 >= 100-percent
}

// mix spreads small numbers over all, and leaves 0 alone (splitmix64).
func mix(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

func rare(t *rapid.T) bool { return chance(t, "rare", 2) }

func drawField(t *rapid.T, s *step, name string, mapped []place) {
	switch name {
	case "address":
		s.addr = drawPlace(t, s.call, mapped)
	case "target":
		s.to = drawPlace(t, s.call, mapped)
	case "length":
		s.size = drawLength(t, s.call)
	case "new length":
		s.more = drawLength(t, s.call)
	case "protection":
		s.prot = anyProt.Draw(t, "protection")
	case "advice":
		s.flags = anyAdvice.Draw(t, "advice")
	case "mmap flags":
		s.flags = drawMapFlags(t)
	case "mremap flags":
		s.flags = evenly(t, "flags", []uint64{1, 3, 3, 1, 3, 0, 5, 7, 1, 3, 0, 5, 7, 2, 4, 8})
		if s.flags&remapDontUnmap != 0 && chance(t, "the same length", 80) {
			s.more = s.size
		}
	case "msync flags":
		s.flags = evenly(t, "flags", []uint64{syncSync, syncSync, syncAsync, syncInvalidate, syncSync | syncInvalidate, 0, syncSync | syncAsync, 8})
	case "mlock2 flags":
		s.flags = evenly(t, "flags", []uint64{lockOnFault, 0, 2})
	case "mlockall flags":
		s.flags = evenly(t, "flags", []uint64{1, 2, 3, 5, 6, 7, 0, 4, 8})
	case "file":
		s.file = anyFile.Draw(t, "file")
		if s.call == "mmap" && s.flags&mapAnonymous != 0 {
			s.file = noFile
		} else if rare(t) {
			s.file = badFile
		}
	case "offset":
		s.off = drawOffset(t, s)
	case "value":
		s.more = drawValue(t, s.call)
	}
}

// drawPlace is mostly a page that is mapped, or another in a window; accesses
// are to any byte.
func drawPlace(t *rapid.T, call string, mapped []place) place {
	if rare(t) {
		return place{absolute, anyBad.Draw(t, "bad address")}
	}
	var p place
	often := uint64(80)
	if call == "mmap" {
		often = 40
	}
	if len(mapped) > 0 && chance(t, "mapped", often) {
		p = evenly(t, "page", mapped)
	} else {
		p = place{anyWindow.Draw(t, "window"), anyPage.Draw(t, "page") * page}
	}
	switch call {
	case "load", "store", "peek", "poke", "pread", "pwrite", "mlock", "mlock2", "munlock":
		if chance(t, "in the page", 50) {
			p.off += anyByte.Draw(t, "byte")
		}
	default:
		if rare(t) {
			p.off += anyByte.Draw(t, "byte")
		}
	}
	return p
}

func drawLength(t *rapid.T, call string) uint64 {
	switch call {
	case "load", "store":
		return anyWidth.Draw(t, "width")
	case "peek", "poke", "write":
		return 1 + anyByte.Draw(t, "bytes")
	case "pread", "pwrite":
		return anyByte.Draw(t, "bytes") * 3
	case "mincore":
		return anyCount.Draw(t, "pages") * page
	}
	if rare(t) {
		return evenly(t, "bad length", []uint64{0, 1 << 63, ^uint64(0), ^uint64(page - 1), ^uint64(2*page - 1), 1 << 47, 1 << 48})
	}
	n := anyCount.Draw(t, "pages") * page
	if chance(t, "uneven", 10) {
		n -= min(n, anyByte.Draw(t, "bytes"))
	}
	return n
}

func drawMapFlags(t *rapid.T) uint64 {
	flags := evenly(t, "type", []uint64{
		mapPrivate | mapAnonymous, mapPrivate, mapShared, mapPrivate | mapAnonymous, mapShared, mapPrivate,
		mapShared | mapAnonymous, mapValidate, 0, mapAnonymous, mapValidate | mapAnonymous,
	})
	flags |= evenly(t, "placement", []uint64{mapFixed, mapFixed, 0, mapFixed, mapNoreplace, 0, mapFixed | mapNoreplace})
	flags |= evenly(t, "more", []uint64{0, 0, 0, 0, 0, 0, 0, 0, mapPopulate, mapLocked, mapNoreserve, mapPopulate | mapNonblock, mapStack, 1 << 25})
	return flags
}

func drawOffset(t *rapid.T, s *step) uint64 {
	if rare(t) {
		switch s.call {
		case "mmap":
			return evenly(t, "bad offset", []uint64{1, page - 1, 1<<63 - page, ^uint64(page - 1), 1 << 62, 1<<44 - page})
		case "write", "pwrite":
			return evenly(t, "bad offset", []uint64{1<<63 - 1, ^uint64(0), 1 << 63})
		case "truncate", "pread":
			return evenly(t, "bad offset", []uint64{1 << 63, ^uint64(0)})
		}
	}
	off := rapid.Uint64Range(0, 7).Draw(t, "page") * page
	if s.call != "mmap" && chance(t, "uneven", 60) {
		off += anyByte.Draw(t, "byte")
	}
	return off
}

func drawValue(t *rapid.T, call string) uint64 {
	switch call {
	case "memlock":
		return evenly(t, "limit", []uint64{hardMemlock, 4 * page, 8 * page, 0, 6*page + 1, hardMemlock + 1})
	case "as":
		return evenly(t, "limit", []uint64{unlimited, 16 * page, 24 * page, 32*page + 1, 0})
	case "data":
		return evenly(t, "limit", []uint64{unlimited, 8 * page, 12 * page, 16*page + 1, 0})
	}
	return anyValue.Draw(t, "value")
}

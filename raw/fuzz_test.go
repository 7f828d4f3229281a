package raw_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/raw"
)

// FuzzRanges makes any call on any range of an arena of its own, with any
// protection and flags. Each must answer success or an errno, and leave the
// sentinels on both sides of the arena as they are.
//
// What the arguments may not be, because the kernel would do as told to
// memory of others: a range that leaves the arena (it is cut), MAP_HUGETLB (it
// rounds the length to huge pages), MADV_HWPOISON and MADV_SOFT_OFFLINE.
func FuzzRanges(f *testing.F) {
	for call := range byte(callCount) {
		f.Add(call, 0, page, uint32(rw), uint32(anon), 0)
		f.Add(call, page, 3*page+1, uint32(raw.PROT_READ), uint32(raw.MAP_SHARED), 2*page)
		f.Add(call, 1, -1, uint32(1<<31), ^uint32(0), -page)
		f.Add(call, 11*page, 0, uint32(raw.PROT_NONE), uint32(0), 1)
	}
	for _, advice := range advices {
		f.Add(byte(callMadvise), 0, 12*page, uint32(0), uint32(advice.advice), 0)
	}
	f.Add(byte(callMremap), 0, 2*page, uint32(0), uint32(fixed), 6*page)
	f.Add(byte(callMremap), 0, 2*page, uint32(0), uint32(dontUnmap), 6*page)
	f.Fuzz(func(t *testing.T, call byte, off, length int, prot, flags uint32, extra int) {
		needLinux(t)
		g := newGround(t)
		g.furnish()
		err := g.try(int(call)%callCount, off, length, prot, flags, extra)
		var errno syscall.Errno
		var named *os.SyscallError
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && (!errors.As(err, &named) || !errors.As(err, &errno)) {
			t.Errorf("answered %v, no SyscallError of an errno", err)
		}
		g.check()
	})
}

const (
	callMmap = iota
	callMunmap
	callMsync
	callMlock
	callMlock2
	callMunlock
	callMprotect
	callMadvise
	callMremap
	callMincore
	callCount

	groundPages   = 12 // less than the Go runtime ever asks the kernel for
	sentinelPages = 2
)

// A ground is an arena between two sentinels: pages of the pattern that may be
// read and written, and locked in no way.
type ground struct {
	t            testing.TB
	before, from uintptr // the first sentinel, the arena
	end          uintptr // the arena's end, where the second sentinel starts
	file         *os.File
}

func newGround(t testing.TB) *ground {
	before := arena(t, groundPages+2*sentinelPages)
	g := &ground{t: t, before: before, from: plus(before, sentinelPages), file: memfd(t, pages(4))}
	g.end = plus(g.from, groundPages)
	for _, s := range []uintptr{g.before, g.end} {
		place(t, s, pages(sentinelPages), rw, anon, nil, 0)
		copy(at(s, pages(sentinelPages)), patterned(pages(sentinelPages)))
	}
	return g
}

// furnish puts something of every kind into the arena.
func (g *ground) furnish() {
	place(g.t, g.from, pages(3), rw, anon, nil, 0)
	place(g.t, plus(g.from, 3), pages(4), rw, raw.MAP_SHARED, g.file, 0)
	place(g.t, plus(g.from, 7), pages(2), rw, raw.MAP_PRIVATE, g.file, 0)
	store(g.from)
	store(plus(g.from, 8))
	must(g.t, raw.Munmap(plus(g.from, 10), page))
}

// cut is the range that starts off bytes into the arena and has length bytes,
// made to lie in the arena.
func (g *ground) cut(off, length int) (uintptr, int) {
	size := int(g.end - g.from)
	off = int(uint(off) % uint(size+1))
	return g.from + uintptr(off), int(uint(length) % uint(size-off+1))
}

func (g *ground) try(call, off, length int, prot, flags uint32, extra int) error {
	addr, n := g.cut(off, length)
	switch call {
	case callMmap:
		return g.tryMmap(addr, n, raw.Prot(prot), raw.Flag(flags), extra)
	case callMunmap:
		if addr+uintptr(length) < addr {
			n = length // it passes the end of all addresses: the kernel must refuse
		}
		return raw.Munmap(addr, n)
	case callMsync:
		return raw.Msync(addr, n, raw.SyncFlag(flags))
	case callMlock:
		return raw.Mlock(addr, n)
	case callMlock2:
		return raw.Mlock2(addr, n, raw.LockFlag(flags))
	case callMunlock:
		return raw.Munlock(addr, n)
	case callMprotect:
		return raw.Mprotect(addr, n, raw.Prot(prot)&^(raw.PROT_GROWSDOWN|raw.PROT_GROWSUP))
	case callMadvise:
		if advice := raw.Advice(int32(flags)); advice != raw.MADV_HWPOISON && advice != raw.MADV_SOFT_OFFLINE {
			return raw.Madvise(addr, n, advice)
		}
		return nil
	case callMremap:
		return g.tryMremap(addr, n, raw.RemapFlag(flags), extra)
	case callMincore:
		return g.tryMincore(addr, length, extra)
	}
	return nil
}

func (g *ground) tryMmap(addr uintptr, n int, prot raw.Prot, flags raw.Flag, extra int) error {
	flags &^= raw.MAP_HUGETLB
	file := g.file
	if extra%2 == 0 {
		file = nil
	}
	got, err := raw.Mmap(addr, n, prot, flags, fdOf(file), int64(extra))
	if err == nil && (got < g.from || got >= g.end) {
		return raw.Munmap(got, n)
	}
	return err
}

func (g *ground) tryMremap(addr uintptr, n int, flags raw.RemapFlag, extra int) error {
	target, length := g.cut(extra, extra/page*7)
	got, err := raw.Mremap(addr, n, length, flags, target)
	if err == nil && (got < g.from || got >= g.end) {
		return raw.Munmap(got, length)
	}
	return err
}

// tryMincore hands over a vector of any length: it must not be written past
// its end.
func (g *ground) tryMincore(addr uintptr, length, extra int) error {
	const room = 64
	n := int(uint(extra) % room)
	vec := bytes.Repeat([]byte{0xEE}, room)
	err := raw.Mincore(addr, length, vec[:n:n])
	if !bytes.Equal(vec[n:], bytes.Repeat([]byte{0xEE}, room-n)) {
		g.t.Errorf("mincore of %d bytes wrote past a vector of %d", length, n)
	}
	return err
}

func (g *ground) check() {
	g.t.Helper()
	for _, s := range []uintptr{g.before, g.end} {
		p := at(s, pages(sentinelPages))
		if _, faulted := faultIn(func() {
			if !bytes.Equal(p, patterned(len(p))) {
				g.t.Errorf("the sentinel at %#x lost its bytes", s)
			}
			copy(p, p)
		}); faulted {
			g.t.Errorf("the sentinel at %#x can't be accessed", s)
		}
		if lo := areaAt(g.t, s).has("lo"); lo {
			g.t.Errorf("the sentinel at %#x is locked", s)
		}
	}
}

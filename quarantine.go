package mmap

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/memwright/mmap/internal/invariant"
	"github.com/memwright/mmap/internal/sys"
)

// A slice that outlives its mapping must not read what is mapped there next. So
// the addresses of a closed mapping stay held for a while, with no access: a stale
// load faults. Only mappings that handed memory out are held; where the others
// were, the kernel may map what it likes.
//
// It does not catch a slice that is staler than the quarantine is long, nor one of
// a mapping at an address that the caller chose.
//
// It holds quarantineRanges ranges at most, and never more than a part of
// vm.max_map_count and of RLIMIT_AS; a mapping that is refused with ENOMEM empties
// it and is tried again. Debug builds (tag invariants) hold as many as half of
// vm.max_map_count.
var quarantine quarantineList

type quarantineList struct {
	sync.Mutex             // guards held and bytes
	held       []heldRange // oldest first
	bytes      int64

	once      sync.Once // guards the limits
	maxRanges int
	maxBytes  int64
}

type heldRange struct {
	addr   uintptr
	length int
}

const (
	quarantineRanges = 1024
	quarantineShare  = 64 // a 64th of vm.max_map_count and of RLIMIT_AS
)

func (q *quarantineList) limits() (ranges int, bytes int64) {
	q.once.Do(func() {
		q.maxRanges, q.maxBytes = quarantineRanges, math.MaxInt/1024 // no bound; 2 MiB where addresses have 32 bits
		if maps, ok := readNumber("/proc/sys/vm/max_map_count"); ok {
			maps = min(maps, math.MaxInt32)
			q.maxRanges = min(q.maxRanges, int(maps)/quarantineShare)
			if invariant.Enabled {
				q.maxRanges = int(maps) / 2
			}
		}
		if soft, _, err := sys.Getrlimit(sys.AddressSpace); err == nil && soft != sys.Unlimited {
			q.maxBytes = min(q.maxBytes, int64(soft/quarantineShare))
		}
	})
	return q.maxRanges, q.maxBytes
}

// hold takes the memory of a range away and keeps its addresses. It reports false
// when it can't, and then nothing has changed.
func (q *quarantineList) hold(addr uintptr, length int) bool {
	return q.holdBy(addr, length, sys.MAP_FIXED)
}

// holdFree holds a range that has just become free, unless somebody has been
// given a part of it meanwhile.
func (q *quarantineList) holdFree(addr uintptr, length int) bool {
	return q.holdBy(addr, length, sys.MAP_FIXED_NOREPLACE)
}

func (q *quarantineList) holdBy(addr uintptr, length int, how uint32) bool {
	ranges, bytes := q.limits()
	if ranges == 0 || int64(length) > bytes {
		return false
	}
	if !holdAddresses(addr, length, how) {
		return false
	}
	q.Lock()
	defer q.Unlock()
	q.held = append(q.held, heldRange{addr, length})
	q.bytes += int64(length)
	for len(q.held) > ranges || q.bytes > bytes {
		q.release(len(q.held) / 2) // never the newest
	}
	return true
}

// holdAddresses maps a range without access and without memory.
func holdAddresses(addr uintptr, length int, how uint32) bool {
	got, err := sys.Mmap(addr, uintptr(length), sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|how, -1, 0)
	if err == nil && got != addr { // a kernel that does not know MAP_FIXED_NOREPLACE
		sys.Munmap(got, uintptr(length))
	}
	return err == nil && got == addr
}

// drain gives every address back, for a mapping that was refused for want of
// them. It reports whether there were any.
func (q *quarantineList) drain() bool {
	q.Lock()
	defer q.Unlock()
	n := len(q.held)
	q.release(n)
	return n > 0
}

// withRoom makes a mapping, once more without the quarantine if it is refused.
func withRoom(call func() (uintptr, error)) (uintptr, error) {
	addr, err := call()
	if err == error(sys.ENOMEM) && quarantine.drain() {
		return call()
	}
	return addr, err
}

// free gives back what is held of a range.
func (q *quarantineList) free(addr uintptr, length int) {
	q.Lock()
	defer q.Unlock()
	q.held = slices.DeleteFunc(q.held, func(r heldRange) bool {
		overlaps := r.addr < addr+uintptr(length) && addr < r.addr+uintptr(r.length)
		if overlaps {
			q.unmap([]heldRange{r})
		}
		return overlaps
	})
}

// release gives the oldest n ranges back. The caller holds the lock.
func (q *quarantineList) release(n int) {
	old := slices.Clone(q.held[:n])
	q.held = slices.Delete(q.held, 0, n)
	q.unmap(old)
}

// unmap gives ranges back, neighbours by one call: that is cheaper by half than
// one each.
func (q *quarantineList) unmap(old []heldRange) {
	slices.SortFunc(old, func(a, b heldRange) int { return cmp.Compare(a.addr, b.addr) })
	for len(old) > 0 {
		r := old[0]
		for old = old[1:]; len(old) > 0 && old[0].addr == r.addr+uintptr(r.length); old = old[1:] {
			r.length += old[0].length
		}
		q.bytes -= int64(r.length)
		sys.Munmap(r.addr, uintptr(r.length))
	}
}

func (q *quarantineList) size() (ranges, bytes int64) {
	q.Lock()
	defer q.Unlock()
	return int64(len(q.held)), q.bytes
}

// handOut notes that the user has had the memory or its address.
func (m *Mapping) handOut() {
	if !m.handedOut.Load() {
		m.handedOut.Store(true)
	}
}

// giveUp unmaps a range that the mapping held, by way of the quarantine if a
// stale slice of it may exist.
func (m *Mapping) giveUp(addr uintptr, length int) error {
	if m.handedOut.Load() && m.opt.Placement == Anywhere && quarantine.hold(addr, length) {
		return nil
	}
	return sys.Munmap(addr, uintptr(length))
}

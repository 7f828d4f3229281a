package agree

import (
	"fmt"
	"strings"
)

// A machine carries out steps. Its processes are numbered in the order of
// their birth, and it starts with one, number 0.
type machine interface {
	// do carries out a step of the process and tells what it said.
	do(proc int, s step) result
	// areas lists what the process has in the two windows, by address.
	areas(proc int) []area
	// locked is how many pages of the process count against RLIMIT_MEMLOCK.
	locked(proc int) int
	// pages appends what the page table has for n pages from addr on.
	pages(dst []pageState, proc int, addr uint64, n int) []pageState
	// content is what a read of the whole object gives, until the next call.
	content(object int) []byte
	// resolve gives the address of a place.
	resolve(p place) uint64
}

// A result is what a step said.
type result struct {
	value uint64 // an address, a count, the bytes of a load, a new process
	errno int
	fault fault  // of an access
	bytes string // of peek, pread and mincore
}

// A fault is the signal of an access: none is the zero value.
type fault struct {
	signal int // 7 is SIGBUS, 11 is SIGSEGV
	code   int
	addr   uint64
}

const (
	sigbus  = 7
	sigsegv = 11
)

var signalNames = map[int]string{sigbus: "SIGBUS", sigsegv: "SIGSEGV"}

// errnoNames are the errors that calls of memory answer with.
var errnoNames = map[int]string{
	1: "EPERM", 5: "EIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY", 17: "EEXIST",
	19: "ENODEV", 22: "EINVAL", 26: "ETXTBSY", 27: "EFBIG", 28: "ENOSPC", 29: "ESPIPE", 75: "EOVERFLOW", 95: "EOPNOTSUPP",
}

const (
	enomem = 12
	einval = 22
	efault = 14
)

// text is the result as a script expects it. Addresses in a window are written
// as places of it.
func (r result) text(s step, m machine) string {
	switch {
	case r.errno != 0:
		if name, ok := errnoNames[r.errno]; ok {
			return name
		}
		return fmt.Sprint("errno ", r.errno)
	case r.fault != fault{}:
		text := fmt.Sprintf("%s/%d %v", signalNames[r.fault.signal], r.fault.code, placeOf(r.fault.addr, m))
		if s.call == "peek" || s.call == "poke" {
			text = fmt.Sprintf("%d %s %s", r.value, runs(r.bytes), text)
		}
		return text
	}
	switch s.call {
	case "mmap", "mremap":
		return placeOf(r.value, m).String()
	case "load":
		return fmt.Sprintf("%#x", r.value)
	case "peek", "poke", "pread", "pwrite", "write":
		return strings.TrimSpace(fmt.Sprintf("%d %s", r.value, runs(r.bytes)))
	case "mincore":
		return runs(r.bytes)
	}
	return fmt.Sprint(r.value)
}

// placeOf is addr in the window that has it.
func placeOf(addr uint64, m machine) place {
	for base := absolute + 1; base < bases; base++ {
		if off := addr - m.resolve(place{base, 0}); off <= windowPages*page {
			return place{base, off}
		}
	}
	return place{absolute, addr}
}

// runs writes bytes as "5*0x00 1*0xa5".
func runs(b string) string {
	var words []string
	for len(b) > 0 {
		n := 1
		for n < len(b) && b[n] == b[0] {
			n++
		}
		words = append(words, fmt.Sprintf("%d*%#02x", n, b[0]))
		b = b[n:]
	}
	return strings.Join(words, " ")
}

// An area is a line of /proc/PID/maps.
type area struct {
	start, end uint64
	perms      string // "rw-p"
	offset     uint64
	object     int // an object, anonymous, or sharedAnonymous
}

const (
	anonymous       = -1
	sharedAnonymous = -2
)

func (a area) text(m machine) string {
	what := map[int]string{anonymous: "anon", sharedAnonymous: "shared"}[a.object]
	if a.object >= 0 {
		what = objectNames[a.object] + "+" + number(a.offset)
	}
	return fmt.Sprintf("%v %s %s %s", placeOf(a.start, m), number(a.end-a.start), a.perms, what)
}

// A pageState is what the page table has for a page.
type pageState byte

const (
	absent pageState = '.' // nothing
	shared pageState = 's' // a page of an object
	owned  pageState = 'p' // the process's own, or the page of zeros
)

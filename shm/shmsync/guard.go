package shmsync

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
)

// A Guard turns the loss of a page into an error: see [Space.Guard].
type Guard struct {
	space *Space
	armed fault.Armed
}

// Guard begins a stretch of code that touches the memory, and End ends it:
//
//	func count(s *shmsync.Space, off int64) (err error) {
//		defer s.Guard().End(&err)
//		...
//
// If the stretch meets a page that is gone, because somebody has truncated the
// file, it ends there, and err wraps ErrLost. Without the guard the process would
// end, by SIGBUS. Each call of this package and of ring has one. It is for those who
// touch the memory themselves: by At and Memory, or by what a ring hands out.
// Guards nest.
//
// Until End the memory stays mapped, too, whatever becomes of the Space.
//
// Where no page can be lost, as in memory whose size is sealed, a Guard costs
// nothing but the call, and catches nothing.
//
// A Guard belongs to its goroutine: one that the stretch starts needs its own. A
// fault in C code, in a channel operation or in a map insert can't be caught, nor
// can some of those in programs that are built with the race detector, which makes
// its accesses in C code.
func (s *Space) Guard() Guard {
	if !s.Fragile() {
		return Guard{space: s}
	}
	return Guard{s, fault.Arm()}
}

// Fragile reports whether pages can be lost, and a Guard catches anything. Where each
// nanosecond counts one can ask before deferring an End that does nothing.
func (s *Space) Fragile() bool { return s.mem.Lost != nil }

// End is called by the defer statement itself, as above.
func (g Guard) End(err *error) {
	s := g.space
	if !s.Fragile() {
		return
	}
	g.armed.Disarm()
	if addr, faulted := fault.Caught(recover(), mem.AddrOf(s.mem.Bytes), len(s.mem.Bytes)); faulted {
		*err = s.lost(int64(addr - mem.AddrOf(s.mem.Bytes)))
	} else if *err != nil && errors.Is(*err, sys.EFAULT) { // the kernel has met it: a sleep or a wake
		*err = fmt.Errorf("%w: %w", ErrLost, *err)
	}
}

// lost is why a page is gone. It is asked before a look for a Close, since after that
// it may have looked at another file.
func (s *Space) lost(off int64) error {
	why := s.mem.Lost(off)
	if s.Closed() {
		return fs.ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrLost, why)
}

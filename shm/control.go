package shm

import (
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
)

// control is the memory that locks and queues work on: a second mapping of the
// segment, which they may touch at any time, even one of them that somebody kept
// beyond Close. So it is never unmapped while they can be reached. Close replaces
// the shared pages by private ones, of zeros, which frees the segment at once and
// leaves nothing that a late store could hurt; the addresses are given back when
// the collector finds that nobody has a way to them.
type control struct {
	addr uintptr
	size int
}

func mapControl(fd, size int, readOnly bool) (*control, error) {
	prot := uint32(sys.PROT_READ | sys.PROT_WRITE)
	if readOnly {
		prot = sys.PROT_READ
	}
	addr, err := sys.Mmap(0, uintptr(size), prot, sys.MAP_SHARED, fd, 0)
	if err != nil {
		return nil, err
	}
	return &control{addr, size}, nil
}

func (c *control) bytes() []byte { return mem.Bytes(c.addr, c.size) }

// detach replaces the shared pages. Where the kernel has no room for the change
// they stay.
func (c *control) detach() error {
	_, err := sys.Mmap(c.addr, uintptr(c.size), sys.PROT_READ|sys.PROT_WRITE,
		sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_NORESERVE|sys.MAP_FIXED, -1, 0)
	return err
}

// unmap is called once nothing can reach the memory.
func (c *control) unmap() { sys.Munmap(c.addr, uintptr(c.size)) }

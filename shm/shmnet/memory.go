package shmnet

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/ring"
	"github.com/memwright/mmap/shm/shmsync"
)

// The memory of a connection: docs/format/connection.md.
//
//	0    magic, buffer bytes      fixed when the memory is made
//	64   the CPU of each end      where it last waited, and 1 more; 0 if nowhere yet
//	128  the two participants     the dialer's slot is 0
//	256  a stream                 from the dialer to the listener
//	...  a stream                 the other way
const (
	memoryMagic = 0x32306d656d74656e // "netmem02", the lowest byte first
	cpusOffset  = 64
	tableOffset = 128
	firstStream = tableOffset + 2*shmsync.SlotBytes
	streamAlign = 128

	dialerSlot   = 0
	listenerSlot = 1
)

// errNoPeer is why no connection can be made of what came from the other side.
var errNoPeer = errors.New("the other side does not speak as this version does")

// A memory is a connection's, mapped, and the two sides of one end.
type memory struct {
	bytes []byte
	space *shmsync.Space
	slot  int
	in    *ring.StreamReader
	out   *ring.StreamWriter
	room  int // the bytes that can be on their way out
}

// A plan is how the memory of a connection is laid out.
type plan struct {
	data   int   // bytes of each stream
	second int64 // where the second stream stands
	size   int   // of all
}

// planFor gives the streams what would be left of the last page, too: a message as
// long as the buffer finds room together with what a protocol puts around it. With
// 32 bits not all that a buffer may be can be addressed.
func planFor(buffer int) (plan, error) {
	stream, err := ring.StreamSize(buffer)
	if err != nil {
		return plan{}, err
	}
	page := int64(os.Getpagesize())
	need := firstStream + 2*int64(stream)
	size := (need + page - 1) / page * page
	if size > math.MaxInt {
		return plan{}, fmt.Errorf("two buffers of %d bytes: %w", buffer, fs.ErrInvalid)
	}
	more := int(size-need) / 2 / streamAlign * streamAlign
	return plan{data: buffer + more, second: int64(firstStream + stream + more), size: int(size)}, nil
}

// createMemory makes the memory of a connection, as its dialer. The descriptor is
// to be handed over and closed. alive tells whether the other end is.
func createMemory(buffer int, alive func() bool) (m *memory, fd int, err error) {
	p, err := planFor(buffer)
	if err != nil {
		return nil, -1, err
	}
	if fd, err = sys.Memfd("shmnet", false, 0); err != nil {
		return nil, -1, err
	}
	// Reserved, so that no store finds memory lacking; sealed, so that none finds it
	// cut off.
	if err = sys.Extend(fd, 0, int64(p.size)); err == nil {
		err = sys.SealSize(fd)
	}
	if err == nil {
		m, err = mapMemory(fd, p.size, dialerSlot, alive)
	}
	if err == nil {
		fixed := m.fixed()
		fixed[1].Store(uint64(buffer))
		fixed[0].Store(memoryMagic)
		err = m.take(p.second, firstStream, func(off int64) (*ring.Stream, error) {
			return ring.CreateStream(m.space, off, p.data)
		})
	}
	if err != nil {
		sys.Close(fd)
		return nil, -1, errors.Join(err, m.unmap())
	}
	return m, fd, nil
}

// openMemory maps the memory that a dialer has handed over. The dialer may mean
// harm: nothing is taken for granted.
func openMemory(fd, mostBuffer int, alive func() bool) (*memory, error) {
	size, err := examine(fd, mostBuffer)
	if err != nil {
		return nil, err
	}
	m, err := mapMemory(fd, size, listenerSlot, alive)
	if err == nil {
		err = m.open()
	}
	if err != nil {
		return nil, errors.Join(err, m.unmap())
	}
	return m, nil
}

// examine is the size of memory that can't fault, however the one who handed it
// over goes on.
func examine(fd, mostBuffer int) (size int, err error) {
	whole, err := sys.StaysWhole(fd)
	if err != nil {
		return 0, err
	}
	if !whole {
		return 0, fmt.Errorf("no sealed memory was handed over: %w", errNoPeer)
	}
	st, err := sys.Fstat(fd)
	if err != nil {
		return 0, err
	}
	most, err := planFor(mostBuffer)
	if err != nil {
		return 0, err
	}
	if st.Size < firstStream || st.Size > int64(most.size) {
		return 0, fmt.Errorf("%d bytes of memory were handed over, and %d are the most: %w", st.Size, most.size, errNoPeer)
	}
	return int(st.Size), nil
}

// open finds what the dialer has made.
func (m *memory) open() error {
	fixed := m.fixed()
	magic, buffer := fixed[0].Load(), fixed[1].Load()
	if magic != memoryMagic || buffer > mostBuffer {
		return fmt.Errorf("the memory handed over is none of a connection: %w", errNoPeer)
	}
	p, err := planFor(int(buffer))
	if err != nil || p.size != len(m.bytes) {
		return fmt.Errorf("%d bytes of memory for buffers of %d: %w", len(m.bytes), buffer, errNoPeer)
	}
	return m.take(firstStream, p.second, func(off int64) (*ring.Stream, error) {
		return ring.OpenStream(m.space, off)
	})
}

// mapMemory maps the memory and takes part in a slot.
func mapMemory(fd, size, slot int, alive func() bool) (*memory, error) {
	addr, err := sys.Mmap(0, uintptr(size), sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED, fd, 0)
	if err != nil {
		return nil, err
	}
	m := &memory{bytes: mem.Bytes(addr, size), slot: slot}
	m.space, err = shmsync.NewSpace(shmsync.Memory{
		Bytes: m.bytes, Table: tableOffset, Slots: 2,
		Held: func(int) (bool, error) { return alive(), nil },
	})
	if err == nil {
		err = m.space.Join(slot)
	}
	return m, err
}

// beside says where this end waits, and reports whether the peer last waited on the
// same CPU: then it does not run while we spin.
func (m *memory) beside() bool {
	here := sys.CPU() + 1
	ours, theirs := m.cpu(m.slot), m.cpu(1-m.slot)
	if ours.Load() != here {
		ours.Store(here)
	}
	return theirs.Load() == here
}

func (m *memory) cpu(slot int) *word.U32 { return mem.At[word.U32](m.bytes, cpusOffset+4*slot) }

// take takes this end's side of each stream.
func (m *memory) take(in, out int64, find func(off int64) (*ring.Stream, error)) error {
	s, err := find(in)
	if err == nil {
		m.in, err = s.Reader()
	}
	if err == nil {
		s, err = find(out)
	}
	if err == nil {
		m.room = s.Len()
		m.out, err = s.Writer()
	}
	return err
}

// fixed is the words that no one stores after the memory was made.
func (m *memory) fixed() []word.U64 { return mem.Slice[word.U64](mem.AddrOf(m.bytes), 2) }

// unmap gives the memory back. Nobody uses it any more.
func (m *memory) unmap() error {
	if m == nil {
		return nil
	}
	m.space.Close()
	return sys.Munmap(mem.AddrOf(m.bytes), uintptr(len(m.bytes)))
}

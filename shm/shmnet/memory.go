package shmnet

import (
	"errors"
	"fmt"
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
//	128  the two participants     the dialer's slot is 0
//	256  a stream                 from the dialer to the listener
//	...  a stream                 the other way
const (
	memoryMagic = 0x31306d656d74656e // "netmem01", the lowest byte first
	tableOffset = 128
	firstStream = tableOffset + 2*shmsync.SlotBytes

	dialerSlot   = 0
	listenerSlot = 1
)

// errNoPeer is why no connection can be made of what came from the other side.
var errNoPeer = errors.New("the other side does not speak as this version does")

// A memory is a connection's, mapped, and the two sides of one end.
type memory struct {
	bytes []byte
	space *shmsync.Space
	in    *ring.StreamReader
	out   *ring.StreamWriter
	room  int // the bytes that can be on their way out
}

// sizes tells where the second stream stands, and how long the memory is.
func sizes(buffer int) (second int64, size int, err error) {
	stream, err := ring.StreamSize(buffer)
	page := os.Getpagesize()
	return int64(firstStream + stream), (firstStream + 2*stream + page - 1) / page * page, err
}

// createMemory makes the memory of a connection, as its dialer. The descriptor is
// to be handed over and closed. alive tells whether the other end is.
func createMemory(buffer int, alive func() bool) (m *memory, fd int, err error) {
	second, size, err := sizes(buffer)
	if err != nil {
		return nil, -1, err
	}
	if fd, err = sys.Memfd("shmnet", false, 0); err != nil {
		return nil, -1, err
	}
	// Reserved, so that no store finds memory lacking; sealed, so that none finds it
	// cut off.
	if err = sys.Extend(fd, 0, int64(size)); err == nil {
		err = sys.SealSize(fd)
	}
	if err == nil {
		m, err = mapMemory(fd, size, dialerSlot, alive)
	}
	if err == nil {
		fixed := m.fixed()
		fixed[1].Store(uint64(buffer))
		fixed[0].Store(memoryMagic)
		err = m.take(second, firstStream, func(off int64) (*ring.Stream, error) {
			return ring.CreateStream(m.space, off, buffer)
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
	_, most, err := sizes(mostBuffer)
	if err != nil {
		return 0, err
	}
	if st.Size < firstStream || st.Size > int64(most) {
		return 0, fmt.Errorf("%d bytes of memory were handed over, and %d are the most: %w", st.Size, most, errNoPeer)
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
	second, size, err := sizes(int(buffer))
	if err != nil || size != len(m.bytes) {
		return fmt.Errorf("%d bytes of memory for buffers of %d: %w", len(m.bytes), buffer, errNoPeer)
	}
	return m.take(firstStream, second, func(off int64) (*ring.Stream, error) {
		return ring.OpenStream(m.space, off)
	})
}

// mapMemory maps the memory and takes part in a slot.
func mapMemory(fd, size, slot int, alive func() bool) (*memory, error) {
	addr, err := sys.Mmap(0, uintptr(size), sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED, fd, 0)
	if err != nil {
		return nil, err
	}
	m := &memory{bytes: mem.Bytes(addr, size)}
	m.space, err = shmsync.NewSpace(shmsync.Memory{
		Bytes: m.bytes, Table: tableOffset, Slots: 2,
		Held: func(int) (bool, error) { return alive(), nil },
	})
	if err == nil {
		err = m.space.Join(slot)
	}
	return m, err
}

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

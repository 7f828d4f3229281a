package shm

import (
	"encoding/binary"
	"math"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/shm/shmsync"
)

// header is what a segment begins with. It never changes once the segment has a
// name. docs/format/segment.md shows the whole layout.
type header struct {
	magic   uint64
	version uint32
	flags   uint32
	abi     uint64
	size    uint64 // of the file, in bytes
	slots   uint32 // in the table
	objects uint32 // in the directory
	data    uint64 // offset of the first byte that is nobody's
}

const (
	magic   = 0x6d6d61702d73686d // "mmap-shm"
	version = 1

	flagKeep = 1 << 0

	headerBytes = 4096 // the header, and the lock of the directory
	tableOffset = headerBytes
	objectBytes = 64

	directoryLock    = 2048 // a Mutex, on a cache line of its own
	directoryTouched = 2112 // how far memory may have been written by one who died placing an object

	unitBytes = 4096 // data begins at a multiple of it
)

func (h *header) directory() int64 { return int64(tableOffset) + int64(h.slots)*shmsync.SlotBytes }

// layOut is the header of a segment with room for size bytes.
func layOut(size int, o Options) (header, error) {
	h := header{magic: magic, version: version, abi: o.ABI, slots: uint32(o.Participants), objects: uint32(o.Objects)}
	if o.Keep {
		h.flags |= flagKeep
	}
	if size < 1 || size > math.MaxInt-1<<30 {
		return h, invalid("size %d", size)
	}
	if o.Participants < 1 || o.Participants > shmsync.MaxSlots {
		return h, invalid("%d participants, not 1 to %d", o.Participants, shmsync.MaxSlots)
	}
	if o.Objects < 1 || o.Objects > maxObjects {
		return h, invalid("%d objects, not 1 to %d", o.Objects, maxObjects)
	}
	h.data = up(uint64(h.directory())+uint64(h.objects)*objectBytes, unitBytes)
	h.size = h.data + up(uint64(size), unitBytes)
	return h, nil
}

func up(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

func (h *header) encode() []byte {
	b := make([]byte, 0, 64)
	e := binary.NativeEndian
	b = e.AppendUint64(b, h.magic)
	b = e.AppendUint32(b, h.version)
	b = e.AppendUint32(b, h.flags)
	b = e.AppendUint64(b, h.abi)
	b = e.AppendUint64(b, h.size)
	b = e.AppendUint32(b, h.slots)
	b = e.AppendUint32(b, h.objects)
	return e.AppendUint64(b, h.data)
}

const encodedBytes = 48

// decode reads a header that anybody may have written.
func decode(b []byte) (h header, err error) {
	if len(b) < encodedBytes {
		return h, because(ErrNotSegment, "%d bytes", len(b))
	}
	e := binary.NativeEndian
	h = header{
		magic: e.Uint64(b), version: e.Uint32(b[8:]), flags: e.Uint32(b[12:]), abi: e.Uint64(b[16:]),
		size: e.Uint64(b[24:]), slots: e.Uint32(b[32:]), objects: e.Uint32(b[36:]), data: e.Uint64(b[40:]),
	}
	switch {
	case h.magic != magic:
		return h, because(ErrNotSegment, "it begins with %#x", h.magic)
	case h.version != version:
		return h, because(ErrVersion, "version %d, and this is %d", h.version, version)
	case h.slots < 1 || h.slots > shmsync.MaxSlots || h.objects < 1 || h.objects > maxObjects:
		return h, because(ErrNotSegment, "%d participants, %d objects", h.slots, h.objects)
	case h.data != up(uint64(h.directory())+uint64(h.objects)*objectBytes, unitBytes):
		return h, because(ErrNotSegment, "data from %d on", h.data)
	case h.size > math.MaxInt || h.size <= h.data:
		return h, because(ErrNotSegment, "%d bytes", h.size)
	}
	return h, nil
}

// fills fails where the file has another size than it was made with.
func (h *header) fills(size int64) error {
	if size < 0 || h.size != uint64(size) {
		return because(ErrNotSegment, "%d bytes, in a file of %d", h.size, size)
	}
	return nil
}

// ABI is a number that tells types apart by their layout: for [Options.ABI], so
// that a process which was built with other types is refused. It covers the names
// and offsets of fields, their kinds and sizes, and the machine's byte order.
func ABI[T any]() uint64 { return mem.ABI[T]() }

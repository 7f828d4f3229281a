package shm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// An Object is a range of a segment that has a name: a lock, a queue, a table.
type Object struct {
	Name  string // 1 to 40 bytes
	Size  int    // bytes
	Align int    // a power of two up to 2 MiB; 64 if it is 0

	// Init, if there is one, makes the object from zeros, at an offset, before
	// anybody can find it. If the process dies in it, the next one begins anew. The
	// directory is locked meanwhile: it must not call Place.
	Init func(off int64) error
}

const (
	nameBytes = 40
	mostAlign = 2 << 20
)

// entry is an object in the directory. It is filled first and placed by the store
// to state, and never changes after that.
//
//	0        4        8          16         24                     64
//	┌────────┬────────┬──────────┬──────────┬──────────────────────┐
//	│ state  │ length │ offset   │ size     │ name                 │
//	└────────┴────────┴──────────┴──────────┴──────────────────────┘
type entry struct {
	state  word.U32 // 1: placed
	length word.U32 // of the name
	off    word.U64
	size   word.U64
	name   [nameBytes / 8]word.U64
}

const statePlaced = 1

// Find is where the object of this name lies. fs.ErrNotExist where there is none.
func (s *Segment) Find(name string) (off int64, size int, err error) {
	err = s.whileOpen(func() (err error) {
		defer s.space.Guard().End(&err)
		_, _, found, err := s.scan(name)
		if err == nil && found == nil {
			err = fs.ErrNotExist
		}
		if err == nil {
			off, size = found.off, int(found.size)
		}
		return err
	})
	return off, size, failed("find "+name+" in", s.name, err)
}

// Place finds the object of this name, or makes it. An object is never taken away.
// ErrFull where the segment or its directory has no room; fs.ErrInvalid where the
// object is there with another size.
func (s *Segment) Place(ctx context.Context, o Object) (off int64, err error) {
	off, err = s.place(ctx, o)
	return off, failed("place "+o.Name+" in", s.name, err)
}

func (s *Segment) place(ctx context.Context, o Object) (off int64, err error) {
	defer s.space.Guard().End(&err)
	if o.Align == 0 {
		o.Align = 64
	}
	if len(o.Name) < 1 || len(o.Name) > nameBytes || o.Size < 1 || o.Align < 1 || o.Align > mostAlign || bits.OnesCount(uint(o.Align)) != 1 {
		return 0, invalid("name %q, size %d, alignment %d", o.Name, o.Size, o.Align)
	}
	mutex, err := s.space.Mutex(directoryLock)
	if err != nil {
		return 0, err
	}
	if err := mutex.Lock(ctx); errors.Is(err, shmsync.ErrOwnerDied) {
		// The directory is whole at every step.
		if err := mutex.MarkConsistent(); err != nil {
			return 0, err
		}
	} else if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, mutex.Unlock()) }()
	free, end, found, err := s.scan(o.Name)
	switch {
	case err != nil:
		return 0, err
	case found != nil && found.size != int64(o.Size):
		return 0, invalid("it is there with %d bytes, and not %d", found.size, o.Size)
	case found != nil:
		return found.off, nil
	case free < 0:
		return 0, because(ErrFull, "all %d objects are taken", s.head.objects)
	}
	at := up(uint64(end), uint64(o.Align))
	if at > s.head.size || uint64(o.Size) > s.head.size-at {
		return 0, because(ErrFull, "%d bytes from %d on, in %d", o.Size, at, s.head.size)
	}
	return int64(at), s.make(free, int64(at), o)
}

// make places an object in a free entry.
func (s *Segment) make(free int, off int64, o Object) error {
	// One who died in Init may have left something there.
	touched, err := s.space.Word64(directoryTouched)
	if err != nil {
		return err
	}
	memory, err := s.space.Memory(off, o.Size)
	if err != nil {
		return err
	}
	end := uint64(off) + uint64(o.Size)
	if t := touched.Load(); t > uint64(off) {
		clear(memory[:min(t, end)-uint64(off)])
	}
	touched.Store(max(touched.Load(), end))
	if o.Init != nil {
		if err := o.Init(off); err != nil {
			return err
		}
	}
	e, err := s.entry(free)
	if err != nil {
		return err
	}
	var name [nameBytes]byte
	copy(name[:], o.Name)
	for i := range e.name {
		e.name[i].Store(binary.NativeEndian.Uint64(name[8*i:]))
	}
	e.length.Store(uint32(len(o.Name)))
	e.off.Store(uint64(off))
	e.size.Store(uint64(o.Size))
	e.state.Store(statePlaced)
	return nil
}

// placed is an entry as it was read, once, and checked.
type placed struct {
	name      string
	off, size int64
}

// scan looks through the directory for a name: the first free entry or -1, the end
// of the objects, and the one of this name or nil.
func (s *Segment) scan(name string) (free int, end int64, found *placed, err error) {
	if err := s.whole(); err != nil {
		return 0, 0, nil, err
	}
	free, end = -1, int64(s.head.data)
	for i := range int(s.head.objects) {
		o, err := s.read(i)
		if err != nil {
			return 0, 0, nil, err
		}
		if o == nil {
			return i, end, nil, nil // they are placed one after another
		}
		if o.name == name {
			return -1, 0, o, nil
		}
		end = max(end, o.off+o.size)
	}
	return free, end, nil, nil
}

// read is an object of the directory, or nil if the entry is free.
func (s *Segment) read(i int) (*placed, error) {
	e, err := s.entry(i)
	if err != nil || e.state.Load() == 0 {
		return nil, err
	}
	length, off, size := e.length.Load(), e.off.Load(), e.size.Load()
	if length < 1 || length > nameBytes || off < s.head.data || off > s.head.size || size < 1 || size > s.head.size-off {
		return nil, fmt.Errorf("object %d is %d bytes at %d, with a name of %d: %w", i, size, off, length, shmsync.ErrDamaged)
	}
	var name [nameBytes]byte
	for k := range e.name {
		binary.NativeEndian.PutUint64(name[8*k:], e.name[k].Load())
	}
	return &placed{string(name[:length]), int64(off), int64(size)}, nil
}

func (s *Segment) entry(i int) (*entry, error) {
	return shmsync.At[entry](s.space, s.head.directory()+int64(i)*objectBytes)
}

// Objects lists what the directory has.
func (s *Segment) Objects() (list []Object, err error) {
	err = s.whileOpen(func() (err error) {
		defer s.space.Guard().End(&err)
		if err := s.whole(); err != nil {
			return err
		}
		for i := range int(s.head.objects) {
			o, err := s.read(i)
			if o == nil || err != nil {
				return err
			}
			list = append(list, Object{Name: o.name, Size: int(o.size)})
		}
		return nil
	})
	return list, failed("list objects of", s.name, err)
}

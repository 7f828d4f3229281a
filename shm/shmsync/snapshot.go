package shmsync

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/word"
)

// A Snapshot is a value of type T in shared memory that one writes at a time and
// any number read, those who may not write the memory too. A reader never sees
// half of a value, and keeps nobody waiting. A writer who is killed leaves the
// value that was there.
//
//	0        8          16     20       64
//	┌────────┬──────────┬──────┬────────┬─────────────────────┬─ 3 more ─
//	│ Mutex  │ version  │ size │ zero   │ tag │ value, words  │
//	└────────┴──────────┴──────┴────────┴─────────────────────┴─
//
// Version v is in the copy v mod 4, whose tag is 2v then, and 2v-1 while it is
// being written. A reader copies the newest version and looks at the tag before
// and after: it begins again only if three more versions were begun meanwhile.
//
// Its zero is version 0, the zero T.
type Snapshot[T any] struct {
	space   *Space
	mutex   *Mutex // nil for one who only reads
	version *word.U64
	size    *word.U32
	copies  [snapshotCopies][]word.U64 // the tag, and the words
	seen    atomic.Bool                // a version has been read
}

const (
	snapshotCopies = 4
	snapshotTries  = 10_000
)

// ErrOvertaken: writers were faster than each of ten thousand attempts to read.
var ErrOvertaken = errors.New("writers were faster than every attempt to read")

// SnapshotBytes is the size of a Snapshot[T] in shared memory; its offset is a
// multiple of 8, and better one of 64.
func SnapshotBytes[T any]() int {
	return countsOffset + snapshotCopies*snapshotStride[T]()
}

// snapshotStride is the size of one copy with its tag: whole cache lines.
func snapshotStride[T any]() int {
	size, _ := mem.Layout[T]()
	return (8 + size + 63) / 64 * 64
}

// SnapshotOf is the snapshot at a byte offset, a multiple of 8. T must be free of
// pointers and not empty.
func SnapshotOf[T any](s *Space, off int64) (*Snapshot[T], error) {
	size, _ := mem.Layout[T]()
	if size == 0 || !mem.PointerFree[T]() {
		return nil, fmt.Errorf("type %T is empty or holds Go pointers: %w", *new(T), fs.ErrInvalid)
	}
	if _, err := s.Memory(off, SnapshotBytes[T]()); err != nil {
		return nil, err
	}
	mutex, err := s.Word64(off)
	if err != nil {
		return nil, err
	}
	return local(s, off, func() (*Snapshot[T], error) {
		n := &Snapshot[T]{space: s}
		n.version, _ = s.Word64(off + 8)
		n.size, _ = s.Word32(off + 16)
		for i := range n.copies {
			copied, err := s.Memory(off+countsOffset+int64(i*snapshotStride[T]()), 8+size)
			if err != nil {
				return nil, err
			}
			n.copies[i] = mem.Slice[word.U64](mem.AddrOf(copied), 1+(size+7)/8)
		}
		if s.self != 0 {
			n.mutex = s.newMutex(mutex, 1)
		}
		return n, nil
	})
}

// Load is the newest value and its version. ErrDamaged where the memory is a
// Snapshot of another size.
func (n *Snapshot[T]) Load() (value T, version uint64, err error) {
	defer n.space.Guard().End(&err)
	for range snapshotTries {
		v := n.version.Load()
		var err error
		if v != 0 {
			err = n.sized()
		}
		if n.space.Closed() { // then this was not the shared memory any more
			return value, 0, fs.ErrClosed
		}
		if v == 0 && n.seen.Load() {
			err = fmt.Errorf("the versions begin anew: %w", ErrDamaged)
		}
		if v == 0 || err != nil {
			return value, 0, err
		}
		if !n.seen.Load() {
			n.seen.Store(true)
		}
		from := n.copies[v%snapshotCopies]
		if from[0].Load() != 2*v {
			continue
		}
		var copied T
		unpack(mem.BytesOf(&copied), from[1:])
		if from[0].Load() == 2*v {
			return copied, v, nil
		}
	}
	return value, 0, ErrOvertaken
}

// Store writes a new version. Its errors are those of [Mutex.Lock], less
// ErrOwnerDied and ErrNotRecoverable: a writer who died has changed nothing.
func (n *Snapshot[T]) Store(ctx context.Context, value T) (err error) {
	defer n.space.Guard().End(&err)
	if n.mutex == nil {
		return ErrNoParticipant
	}
	if err := n.mutex.lock(ctx); errors.Is(err, ErrOwnerDied) {
		if err := n.mutex.markConsistent(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return errors.Join(n.write(value), n.mutex.unlock())
}

// write is Store under the mutex. It has a guard of its own: if the copies are
// gone, and the mutex is not, that must be unlocked.
func (n *Snapshot[T]) write(value T) (err error) {
	defer n.space.Guard().End(&err)
	size, _ := mem.Layout[T]()
	n.size.CompareAndSwap(0, uint32(size))
	if err := n.sized(); err != nil {
		return err
	}
	v := n.version.Load() + 1
	to := n.copies[v%snapshotCopies]
	to[0].Store(2*v - 1)
	pack(to[1:], mem.BytesOf(&value))
	to[0].Store(2 * v)
	n.version.Store(v)
	return nil
}

func (n *Snapshot[T]) sized() error {
	if size, _ := mem.Layout[T](); n.size.Load() != uint32(size) {
		return fmt.Errorf("a snapshot of %d bytes, and %T has %d: %w", n.size.Load(), *new(T), size, ErrDamaged)
	}
	return nil
}

// pack stores bytes as words, the last of which may be filled with zeros.
func pack(to []word.U64, from []byte) {
	for i := range to {
		var b [8]byte
		from = from[copy(b[:], from):]
		to[i].Store(binary.NativeEndian.Uint64(b[:]))
	}
}

func unpack(to []byte, from []word.U64) {
	for i := range from {
		var b [8]byte
		binary.NativeEndian.PutUint64(b[:], from[i].Load())
		to = to[copy(to, b[:]):]
	}
}

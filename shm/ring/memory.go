package ring

import (
	"fmt"
	"io/fs"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// lineBytes is the distance at which words do not disturb each other: two cache
// lines, since processors fetch them in pairs.
const lineBytes = 128

// memory is the bytes of a Space from off on, at least n of them.
func memory(s *shmsync.Space, off int64, n int) ([]byte, error) {
	if off%lineBytes != 0 {
		return nil, fmt.Errorf("ring: offset %d is not a multiple of %d: %w", off, lineBytes, fs.ErrInvalid)
	}
	b, err := s.Memory(off, n)
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	return b, nil
}

// words is the n words at byte off of b.
func words(b []byte, off, n int) []word.U64 {
	return mem.Slice[word.U64](mem.AddrOf(b[off:off+8*n]), n)
}

// word32 is the word at byte off of b.
func word32(b []byte, off int) *word.U32 { return mem.At[word.U32](b, off) }

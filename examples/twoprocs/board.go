package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/memwright/mmap"
)

// The file: see the package comment.
const (
	fileBytes = 4096
	textAt    = 16
	textBytes = fileBytes - textAt
	magic     = 0x74776f70 // in the byte order of the machine

	wordMagic  = 0
	wordNumber = 1 // odd while the text is being changed
	wordEnded  = 2 // 1 when no more texts will come
	wordLength = 3
	wordText   = textAt / 4
)

// A board is the mapped file: one text that one process changes and others see.
type board struct {
	m    *mmap.Mapping
	word []uint32 // all of the file. Only used inside a View, which turns a fault into an error
}

func newBoard(m *mmap.Mapping) (*board, error) {
	if m.Len() != fileBytes {
		return nil, errNotOurs
	}
	word, err := mmap.Slice[uint32](m, 0, fileBytes/4)
	if err != nil {
		return nil, err
	}
	return &board{m, word}, nil
}

var errNotOurs = errors.New("it is not a file that twoprocs write has made")

// create marks a new file as a board.
func (b *board) create() error {
	return b.m.View(0, fileBytes, func([]byte) error {
		atomic.StoreUint32(&b.word[wordMagic], magic)
		return nil
	})
}

// post replaces the text.
func (b *board) post(text []byte) error {
	if len(text) > textBytes {
		return fmt.Errorf("a text of %d bytes does not fit in %d", len(text), textBytes)
	}
	padded := make([]byte, textBytes)
	copy(padded, text)
	return b.m.View(0, fileBytes, func([]byte) error {
		atomic.AddUint32(&b.word[wordNumber], 1)
		atomic.StoreUint32(&b.word[wordLength], uint32(len(text)))
		for i := 0; i < len(text); i += 4 {
			atomic.StoreUint32(&b.word[wordText+i/4], binary.NativeEndian.Uint32(padded[i:]))
		}
		atomic.AddUint32(&b.word[wordNumber], 1)
		return nil
	})
}

// end says that no more texts will come.
func (b *board) end() error {
	return b.m.View(0, fileBytes, func([]byte) error {
		atomic.StoreUint32(&b.word[wordEnded], 1)
		return nil
	})
}

// A sight is what was on the board at one moment.
type sight struct {
	number uint32
	text   []byte
	ended  bool
}

// look copies what is on the board. It answers false when the other process was
// changing it: look again later.
func (b *board) look() (s sight, ok bool, err error) {
	err = b.m.View(0, fileBytes, func([]byte) error {
		if atomic.LoadUint32(&b.word[wordMagic]) != magic {
			return errNotOurs
		}
		// Before the number: if the end is seen, so is the last text.
		s.ended = atomic.LoadUint32(&b.word[wordEnded]) != 0
		s.number = atomic.LoadUint32(&b.word[wordNumber])
		n := int(min(atomic.LoadUint32(&b.word[wordLength]), textBytes))
		for i := 0; i < n; i += 4 {
			s.text = binary.NativeEndian.AppendUint32(s.text, atomic.LoadUint32(&b.word[wordText+i/4]))
		}
		s.text = s.text[:n]
		ok = s.number%2 == 0 && atomic.LoadUint32(&b.word[wordNumber]) == s.number
		return nil
	})
	return s, ok, err
}

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/memwright/mmap/vmem"
)

// An engineBoard is a board in the memory of a process of package vmem: the
// same file, and the same words in it. The engine does one access at a time,
// so that nobody ever sees half a text here; the sequence number is kept all
// the same, since the file is.
type engineBoard struct {
	p  *vmem.Process
	at vmem.Addr
}

func (b engineBoard) word(i int) vmem.Addr { return b.at + vmem.Addr(4*i) }

// post replaces the text.
func (b engineBoard) post(text string) error {
	number, err := vmem.LoadAt[uint32](b.p, b.word(wordNumber))
	if err != nil {
		return err
	}
	padded := make([]byte, (len(text)+3)/4*4)
	copy(padded, text)
	steps := []error{
		vmem.StoreAt(b.p, b.word(wordNumber), number+1),
		vmem.StoreAt(b.p, b.word(wordLength), uint32(len(text))),
	}
	for i := 0; i < len(padded); i += 4 {
		steps = append(steps, vmem.StoreAt(b.p, b.word(wordText+i/4), binary.LittleEndian.Uint32(padded[i:])))
	}
	return errors.Join(append(steps, vmem.StoreAt(b.p, b.word(wordNumber), number+2))...)
}

// look copies what is on the board.
func (b engineBoard) look() (string, error) {
	n, err := vmem.LoadAt[uint32](b.p, b.word(wordLength))
	if err != nil {
		return "", err
	}
	text := make([]byte, min(n, textBytes))
	_, err = b.p.ReadAt(text, int64(b.word(wordText)))
	return string(text), err
}

// boardFile is the file, as the engine wants what it maps.
type boardFile struct{ *os.File }

// Size implements vmem.Store.
func (boardFile) Size() (int64, error) { return fileBytes, nil }

// demonstrateOnEngine is demonstrate with two processes of one machine of
// package vmem.
func demonstrateOnEngine(stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "twoprocs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "board")

	// A creates the file and maps it, B opens the same and maps it.
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(fileBytes); err != nil {
		return err
	}
	machine := vmem.New(vmem.Config{})
	object, err := machine.Open(name, boardFile{f})
	if err != nil {
		return err
	}
	a, errA := mapBoard(machine.Spawn(), object, vmem.ReadWrite, vmem.ProtRead|vmem.ProtWrite)
	b, errB := mapBoard(machine.Spawn(), object, vmem.ReadOnly, vmem.ProtRead)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if err := vmem.StoreAt[uint32](a.p, a.word(wordMagic), magic); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "A has mapped %s\n", name)

	for _, text := range texts {
		fmt.Fprintf(stdout, "A writes: %s\n", text)
		if err := a.post(text); err != nil {
			return err
		}
		seen, err := b.look()
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "B reads:  %s\n", seen)
	}
	return vmem.StoreAt[uint32](a.p, a.word(wordEnded), 1)
}

// mapBoard maps the file in a process.
func mapBoard(p *vmem.Process, o *vmem.Object, mode vmem.Mode, prot vmem.Prot) (b engineBoard, err error) {
	f, err := o.Open(mode)
	if err != nil {
		return b, err
	}
	at, err := p.Mmap(0, fileBytes, prot, vmem.MapShared, f, 0)
	return engineBoard{p, at}, err
}

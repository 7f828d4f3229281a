package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/memwright/mmap"
)

// write is process A: it creates the file, maps it, and stores in it each line
// that it reads.
func write(name string, lines io.Reader, stdout io.Writer) (err error) {
	m, err := mmap.Create(name, fileBytes, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; name a new file, or remove this one", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	b, err := newBoard(m)
	if err != nil {
		return err
	}
	if err := b.create(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "A has mapped %s\n", name)
	in := bufio.NewScanner(lines)
	for in.Scan() {
		fmt.Fprintf(stdout, "A writes: %s\n", in.Text()) // first, so that it stands before B's answer
		if err := b.post(in.Bytes()); err != nil {
			return errors.Join(err, b.end())
		}
	}
	return errors.Join(in.Err(), b.end())
}

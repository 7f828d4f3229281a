package main

import (
	"fmt"
	"io"
	"os"

	"github.com/memwright/mmap/vmem"
)

// A store is a file as the engine wants what it maps. The other methods are
// those of os.File.
type store struct{ *os.File }

// Size implements vmem.Store.
func (s store) Size() (int64, error) {
	st, err := s.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// editOnEngine is edit with the mechanism of package vmem instead of the
// kernel's: the same steps, on the same file, with the same result. A pointer is an
// address of a process of the engine here, and a load or a store a call.
func editOnEngine(name string) error {
	// 1. and 2. Open, and look at the size.
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close() // for the early returns; step 6 closes it
	size, err := store{f}.Size()
	if err != nil {
		return err
	}
	if size == 0 {
		return errEmpty(name)
	}

	// 3. Map all of it, shared, in a process of a machine with nothing else in it.
	machine := vmem.New(vmem.Config{})
	object, err := machine.Open(name, store{f})
	if err != nil {
		return err
	}
	fd, err := object.Open(vmem.ReadWrite)
	if err != nil {
		return err
	}
	p := machine.Spawn()
	addr, err := p.Mmap(0, uint64(size), vmem.ProtRead|vmem.ProtWrite, vmem.MapShared, fd, 0)
	if err != nil {
		return err
	}

	// 4. Read and write it as memory. The page is dirty then; msync writes it.
	fmt.Print("original content: ")
	if _, err := io.Copy(os.Stdout, io.NewSectionReader(p, int64(addr), size)); err != nil {
		return err
	}
	fmt.Println()
	if err := p.Store(addr, 'H'); err != nil {
		return err
	}
	if err := p.Msync(addr, 1, vmem.SyncNow); err != nil {
		return err
	}

	// 5. Unmap. 6. Close the file.
	if err := p.Munmap(addr, uint64(size)); err != nil {
		return err
	}
	p.Exit()
	return f.Close()
}

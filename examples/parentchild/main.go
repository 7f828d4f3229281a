package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"

	"github.com/memwright/mmap"
)

const usage = `usage: parentchild            on the kernel
       parentchild -engine    with the mechanism of package vmem

Shares 4 KiB of memory with a child process: the child stores 100 in it, and
the parent reads that.
`

const (
	sharedBytes = 4096
	childFD     = 3 // the first of exec.Cmd.ExtraFiles
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		err = parent()
	case len(args) == 1 && args[0] == "-engine":
		err = onEngine()
	case len(args) == 1 && args[0] == "child":
		err = child()
	case len(args) == 1 && (args[0] == "-h" || args[0] == "--help"):
		fmt.Print(usage)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "parentchild:", err)
		os.Exit(1)
	}
}

func parent() (err error) {
	// Anonymous memory that a child can share: 4 KiB, readable and writable.
	m, err := mmap.Anonymous(sharedBytes, mmap.Options{Sharing: mmap.Shared})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	shared, err := mmap.Slice[int32](m, 0, 1)
	if err != nil {
		return err
	}
	atomic.StoreInt32(&shared[0], 0) // the initial value

	// The fork: this program again, with the memory's descriptor.
	memory, err := m.File()
	if err != nil {
		return err
	}
	defer memory.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "child")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{memory}
	if err := cmd.Run(); err != nil { // starts it and waits for it
		return fmt.Errorf("the child: %w", err)
	}

	fmt.Println("the parent reads:", atomic.LoadInt32(&shared[0]))
	return nil
}

func child() (err error) {
	memory := os.NewFile(childFD, "the parent's memory")
	defer memory.Close()
	m, err := mmap.Map(memory, mmap.Options{Access: mmap.ReadWrite}) // all of it
	if err != nil {
		return fmt.Errorf("descriptor %d is not the parent's memory; run parentchild without arguments: %w", childFD, err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	shared, err := mmap.Slice[int32](m, 0, 1)
	if err != nil {
		return err
	}
	atomic.StoreInt32(&shared[0], 100)
	fmt.Println("the child changed it to:", atomic.LoadInt32(&shared[0]))
	return nil
}

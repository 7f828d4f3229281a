package main

import (
	"fmt"

	"github.com/memwright/mmap/vmem"
)

// onEngine is the C program line by line, with the mechanism of package vmem
// instead of the kernel's. Its processes can fork: they are values.
func onEngine() error {
	parent := vmem.New(vmem.Config{}).Spawn()
	shared, err := parent.Mmap(0, sharedBytes, vmem.ProtRead|vmem.ProtWrite, vmem.MapAnonymous|vmem.MapShared, nil, 0)
	if err != nil {
		return err
	}
	if err := vmem.StoreAt[int32](parent, shared, 0); err != nil { // the initial value
		return err
	}

	child := parent.Fork()
	if err := vmem.StoreAt[int32](child, shared, 100); err != nil {
		return err
	}
	value, err := vmem.LoadAt[int32](child, shared)
	if err != nil {
		return err
	}
	fmt.Println("the child changed it to:", value)
	if err := child.Munmap(shared, sharedBytes); err != nil {
		return err
	}
	child.Exit()

	if value, err = vmem.LoadAt[int32](parent, shared); err != nil {
		return err
	}
	fmt.Println("the parent reads:", value)
	return parent.Munmap(shared, sharedBytes)
}

package main

import (
	"os"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
)

func TestMain(m *testing.M) {
	// The commands start their helper processes from this binary.
	if code, ok := runChild(os.Args[1:]); ok {
		os.Exit(code)
	}
	// A helper built with -race would sleep a second before it exits.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	// The thread that the first segment of a process starts stays for good: it is no
	// leak of a test.
	if s, err := shm.Anonymous(1, shm.Options{}); err == nil {
		s.Close()
	}
	testenv.Main(m)
}

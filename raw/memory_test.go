package raw_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

const (
	rw       = raw.PROT_READ | raw.PROT_WRITE
	anon     = raw.MAP_ANONYMOUS | raw.MAP_PRIVATE
	noAccess = raw.MAP_ANONYMOUS | raw.MAP_PRIVATE | raw.MAP_NORESERVE
)

var (
	page = os.Getpagesize()

	// beyond is a page that no process has: the last of all addresses.
	beyond = uintptr(math.MaxUint &^ uint(page-1))

	// wrapped and overflowed are the kernel's answers to a length that passes
	// the end of all addresses and to an offset that passes the end of all
	// files. In a 32-bit process of a 64-bit kernel the first does not wrap,
	// and the second does not fit in mmap2's argument.
	wrapped, overflowed = syscall.EINVAL, syscall.EOVERFLOW
)

const is32Bit = math.MaxUint == math.MaxUint32

func init() {
	if is32Bit {
		wrapped, overflowed = syscall.ENOMEM, syscall.EINVAL
	}
}

// hugePages is a kernel with transparent huge pages.
var hugePages = testenv.Feature{Name: "transparent huge pages", Probe: func() error {
	_, err := os.Stat("/sys/kernel/mm/transparent_hugepage")
	return err
}}

// lockable is the right to lock as much as a test here locks at once.
var lockable = testenv.Feature{Name: "RLIMIT_MEMLOCK of 16 pages", Probe: func() error {
	addr, err := raw.Mmap(0, pages(16), rw, anon, -1, 0)
	if err != nil {
		return err
	}
	return errors.Join(raw.Mlock(addr, pages(16)), raw.Munmap(addr, pages(16)))
}}

// needLinux skips where the calls that only Linux has are missing: these tests
// state what Linux does.
func needLinux(t testing.TB) {
	t.Helper()
	if _, err := raw.Mremap(0, 0, 0, 0, 0); errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, "needs Linux: "+err.Error())
	}
}

// must fails the test on an error of a step that is not the one under test.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isErr reports whether err is want; nil is success.
func isErr(err, want error) bool { return errors.Is(err, want) }

// wantErr fails unless err is want.
func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !isErr(err, want) {
		t.Errorf("answered %v, want %v", err, want)
	}
}

// at is the n bytes at addr.
func at(addr uintptr, n int) []byte { return mem.Bytes(addr, n) }

// pages is the length of n pages in bytes.
func pages(n int) int { return n * page }

// plus is the address n pages after addr.
func plus(addr uintptr, n int) uintptr { return addr + uintptr(n*page) }

// mapped maps what the arguments say for the duration of the test.
func mapped(t testing.TB, length int, prot raw.Prot, flags raw.Flag, f *os.File, off int64) uintptr {
	t.Helper()
	addr, err := raw.Mmap(0, length, prot, flags, fdOf(f), off)
	must(t, err)
	t.Cleanup(func() { must(t, raw.Munmap(addr, length)) })
	return addr
}

// arena is n pages of reserved addresses between two reserved pages, so that
// nothing in it merges with a neighbour, and what a test puts there with
// MAP_FIXED replaces nothing but the reservation.
func arena(t testing.TB, n int) uintptr {
	return plus(mapped(t, pages(n+2), raw.PROT_NONE, noAccess, nil, 0), 1)
}

// place maps what the arguments say at addr, which is in an arena.
func place(t testing.TB, addr uintptr, length int, prot raw.Prot, flags raw.Flag, f *os.File, off int64) {
	t.Helper()
	got, err := raw.Mmap(addr, length, prot, flags|raw.MAP_FIXED, fdOf(f), off)
	must(t, err)
	if got != addr {
		t.Fatalf("MAP_FIXED at %#x was placed at %#x", addr, got)
	}
}

// zeros is n pages of private anonymous memory in an arena.
func zeros(t testing.TB, n int) uintptr {
	t.Helper()
	addr := arena(t, n)
	place(t, addr, pages(n), rw, anon, nil, 0)
	return addr
}

// holed is n pages of zeros, of which the given one is not mapped. Nobody else
// maps it meanwhile: arenas are larger, and the Go runtime never asks for so
// little. A test that uses mapped does so before.
func holed(t testing.TB, n, hole int) uintptr {
	t.Helper()
	addr := zeros(t, n)
	must(t, raw.Munmap(plus(addr, hole), page))
	return addr
}

func fdOf(f *os.File) int {
	if f == nil {
		return -1
	}
	return int(f.Fd())
}

// pattern is what byte i of a test file holds: never 0, and different in
// neighbouring pages.
func pattern(i int) byte { return byte(1 + (i+i/page)%251) }

func patterned(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = pattern(i)
	}
	return b
}

// file is a new file of size bytes of the pattern, open for reading and writing.
func file(t testing.TB, size int) *os.File {
	t.Helper()
	return fileIn(t, t.TempDir(), size)
}

// fileIn is the same in a directory whose kind of file system matters.
func fileIn(t testing.TB, dir string, size int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "file"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.Write(patterned(size))
	must(t, err)
	return f
}

// reopened is the file f opened anew in the given mode.
func reopened(t testing.TB, f *os.File, mode int) *os.File {
	t.Helper()
	g, err := os.OpenFile(f.Name(), mode, 0)
	must(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

// memfd is an anonymous file of size bytes of the pattern.
func memfd(t testing.TB, size int) *os.File {
	t.Helper()
	fd, err := sys.Memfd("raw_test", false, 0)
	must(t, err)
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	_, err = f.Write(patterned(size))
	must(t, err)
	return f
}

// contents is the n bytes of f at off, by read(2).
func contents(t testing.TB, f *os.File, off int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := f.ReadAt(b, off)
	must(t, err)
	return b
}

// faultIn runs fn and tells the address at which the processor refused an
// access, if it did.
func faultIn(fn func()) (addr uintptr, faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch e := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			addr, faulted = e.Addr(), true
		default:
			panic(e)
		}
	}()
	fn()
	return 0, false
}

// sink keeps loads alive.
var sink byte

func load(addr uintptr)  { sink = at(addr, 1)[0] }
func store(addr uintptr) { at(addr, 1)[0] = 0xA5 }

// mayLoad and mayStore tell whether the page at addr lets the access through.
func mayLoad(addr uintptr) bool {
	_, faulted := faultIn(func() { load(addr) })
	return !faulted
}

func mayStore(addr uintptr) bool {
	_, faulted := faultIn(func() { store(addr) })
	return !faulted
}

// addrOf is the address of a mapped slice.
func addrOf(p []byte) uintptr { return mem.AddrOf(p) }

func statOf(t testing.TB, f *os.File) sys.Stat {
	t.Helper()
	st, err := sys.Fstat(int(f.Fd()))
	must(t, err)
	return st
}

// noCollection keeps the garbage collector from running during the test.
func noCollection(t testing.TB) {
	old := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(old) })
}

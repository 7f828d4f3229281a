package fault

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// call runs fn(p) under a guard.
func call(base uintptr, n int, p []byte, fn func(p []byte) error) (addr uintptr, faulted bool, err error) {
	done, armed := false, Arm()
	defer func() {
		armed.Disarm()
		if !done {
			addr, faulted = Caught(recover(), base, n)
		}
	}()
	err = fn(p)
	done = true
	return 0, false, err
}

// dead is a range of addresses that can't be accessed.
func dead(t *testing.T, pages int) (base uintptr, n int) {
	t.Helper()
	n = pages * os.Getpagesize()
	base, err := sys.Mmap(0, uintptr(n), sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Munmap(base, uintptr(n)) })
	return base, n
}

func TestFaultInRangeIsAnAnswer(t *testing.T) {
	base, n := dead(t, 3)
	p := mem.Bytes(base, n)
	for _, at := range []int{0, 1, os.Getpagesize(), n - 1} {
		reached := false
		addr, faulted, err := call(base, n, p, func([]byte) error { p[at] = 1; reached = true; return nil })
		if !faulted || err != nil || reached {
			t.Errorf("store at %d: faulted %v, err %v, went on %v", at, faulted, err, reached)
		}
		if addr != base+uintptr(at) {
			t.Errorf("store at %d: address %#x, want %#x", at, addr, base+uintptr(at))
		}
	}
	addr, faulted := Copy(make([]byte, 10), p[5:15], base, n)
	if !faulted || addr < base || addr >= base+uintptr(n) {
		t.Errorf("Copy: faulted %v at %#x", faulted, addr)
	}
	addr, faulted = Clear(p[7:9], base, n)
	if !faulted || addr < base || addr >= base+uintptr(n) {
		t.Errorf("Clear: faulted %v at %#x", faulted, addr)
	}
	got := []byte("abc")
	if _, faulted := Clear(got[1:], base, n); faulted || string(got) != "a\x00\x00" {
		t.Errorf("Clear: faulted %v, %q", faulted, got)
	}
}

func TestWithoutFaultTheErrorIsTheFunctions(t *testing.T) {
	want := errors.New("own")
	addr, faulted, err := call(1<<20, 10, nil, func([]byte) error { return want })
	if addr != 0 || faulted || err != want {
		t.Errorf("got %#x, %v, %v", addr, faulted, err)
	}
	dst := make([]byte, 3)
	if _, faulted := Copy(dst, []byte("abc"), 1<<20, 10); faulted || string(dst) != "abc" {
		t.Errorf("Copy: %v, %q", faulted, dst)
	}
}

// address is no fault, and has the method of one.
type address uintptr

func (a address) Addr() uintptr { return uintptr(a) }

func TestOtherPanicsPass(t *testing.T) {
	base, n := dead(t, 1)
	outside, m := dead(t, 1)
	p := mem.Bytes(outside, m)
	for name, fn := range map[string]func(){
		"a panic with a value":         func() { panic("mine") },
		"an index out of range":        func() { _ = make([]byte, 1)[m] },
		"a nil dereference":            func() { var q *int; *q = 1 },
		"a fault outside of the range": func() { p[0] = 1 },
		"a value with an address":      func() { panic(address(base)) },
	} {
		t.Run(name, func(t *testing.T) {
			old := debug.SetPanicOnFault(true)
			defer debug.SetPanicOnFault(old)
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			call(base, n, p, func([]byte) error { fn(); return nil })
		})
	}
}

func TestGuardsNest(t *testing.T) {
	outer, n := dead(t, 1)
	inner, m := dead(t, 1)
	p, q := mem.Bytes(outer, n), mem.Bytes(inner, m)
	addr, faulted, _ := call(outer, n, p, func([]byte) error {
		if _, faulted, _ := call(inner, m, q, func([]byte) error { q[0] = 1; return nil }); !faulted {
			t.Error("the inner fault was not caught inside")
		}
		call(inner, m, q, func([]byte) error { p[7] = 1; return nil })
		t.Error("the outer fault did not pass through the inner guard")
		return nil
	})
	if !faulted || addr != outer+7 {
		t.Errorf("outer: faulted %v at %#x", faulted, addr)
	}
}

func TestTheSettingIsRestored(t *testing.T) {
	base, n := dead(t, 1)
	p := mem.Bytes(base, n)
	for _, before := range []bool{false, true} {
		was := debug.SetPanicOnFault(before)
		call(base, n, p, func([]byte) error { return nil })
		call(base, n, p, func([]byte) error { p[0] = 1; return nil })
		Copy(p, []byte{1}, base, n)
		func() {
			defer func() { recover() }()
			call(base, n, p, func([]byte) error { panic("mine") })
		}()
		if after := debug.SetPanicOnFault(was); after != before {
			t.Errorf("was %v before, %v after", before, after)
		}
	}
}

func TestGoexitPasses(t *testing.T) {
	after := make(chan bool, 1)
	go func() {
		defer func() { after <- recover() == nil }()
		call(1<<20, 1, nil, func([]byte) error { runtime.Goexit(); return nil })
	}()
	if !<-after {
		t.Error("Goexit became a panic")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	p, q := make([]byte, 64), make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() { Copy(p, q, 1<<20, 1) }); n != 0 {
		t.Errorf("Copy allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { call(1<<20, 1, nil, func([]byte) error { p[0]++; return nil }) }); n != 0 {
		t.Errorf("a guard allocates %v times", n)
	}
}

func TestCopyOfAnyLengthIsCopy(t *testing.T) {
	src := make([]byte, 3*pieceBytes)
	for i := range src {
		src[i] = byte(i * 7 / 5)
	}
	for _, n := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 2 * pieceBytes, 3*pieceBytes - 1} {
		for _, m := range []int{n, n + 1, max(0, n-1)} {
			dst := make([]byte, m)
			want := make([]byte, m)
			copy(want, src[:n])
			if _, faulted := Copy(dst, src[:n], 1<<20, 1); faulted || !bytes.Equal(dst, want) {
				t.Errorf("%d bytes into %d: faulted %v, equal %v", n, m, faulted, bytes.Equal(dst, want))
			}
		}
	}
}

package mem_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const size = 4096

// mapped is the address of size bytes outside the Go heap.
func mapped(t testing.TB) uintptr {
	t.Helper()
	addr, err := sys.Mmap(0, size, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Munmap(addr, size); err != nil {
			t.Error(err)
		}
	})
	return addr
}

func TestBytes(t *testing.T) {
	addr := mapped(t)
	b := mem.Bytes(addr+3, 5)
	copy(b, "hello")
	if len(b) != 5 || cap(b) != 5 {
		t.Errorf("len %d, cap %d, want 5: append must not store into the mapping", len(b), cap(b))
	}
	_ = append(b, '!')
	if got := mem.Bytes(addr, 9); !bytes.Equal(got, []byte("\x00\x00\x00hello\x00")) {
		t.Errorf("memory holds %q", got)
	}
	if got := mem.AddrOf(b); got != addr+3 {
		t.Errorf("AddrOf = %#x, want %#x", got, addr+3)
	}
}

func TestEmptyViews(t *testing.T) {
	// Nothing is mapped at 1: an empty view must not even point there.
	if b := mem.Bytes(1, 0); b == nil || len(b) != 0 || mem.AddrOf(b) != 0 {
		t.Errorf("Bytes(1, 0) = %v at %#x", b, mem.AddrOf(b))
	}
	if s := mem.Slice[uint64](1, 0); s == nil || len(s) != 0 {
		t.Errorf("Slice(1, 0) = %v", s)
	}
	if got := mem.AddrOf(nil); got != 0 {
		t.Errorf("AddrOf(nil) = %#x", got)
	}
}

func TestLayout(t *testing.T) {
	type header struct {
		Magic [4]byte
		Count uint32
		Flag  bool
	}
	check := func(name string, size, align, wantSize, wantAlign int) {
		if size != wantSize || align != wantAlign {
			t.Errorf("%s: size %d align %d, want %d and %d", name, size, align, wantSize, wantAlign)
		}
	}
	s, a := mem.Layout[byte]()
	check("byte", s, a, 1, 1)
	s, a = mem.Layout[header]()
	check("header", s, a, 12, 4)
	s, a = mem.Layout[struct{}]()
	check("struct{}", s, a, 0, 1)
}

func TestPointerFree(t *testing.T) {
	type plain struct {
		A uint8
		B [3]struct{ X, Y float64 }
	}
	type deep struct {
		A uint8
		B [3]struct{ P *int }
	}
	tests := []struct {
		name string
		got  func() bool
		want bool
	}{
		{"byte", mem.PointerFree[byte], true},
		{"complex128", mem.PointerFree[complex128], true},
		{"uintptr", mem.PointerFree[uintptr], true},
		{"an empty struct", mem.PointerFree[struct{}], true},
		{"plain values at depth", mem.PointerFree[plain], true},
		{"an array of no pointers at all", mem.PointerFree[[0]*int], true},
		{"a pointer", mem.PointerFree[*int], false},
		{"a pointer at depth", mem.PointerFree[deep], false},
		{"a string", mem.PointerFree[string], false},
		{"a slice", mem.PointerFree[[]byte], false},
		{"a map", mem.PointerFree[map[int]int], false},
		{"a channel", mem.PointerFree[chan int], false},
		{"a function", mem.PointerFree[func()], false},
		{"an interface", mem.PointerFree[any], false},
		{"an error in a struct", mem.PointerFree[struct{ Err error }], false},
	}
	for _, tt := range tests {
		for _, when := range []string{"first", "cached"} {
			if got := tt.got(); got != tt.want {
				t.Errorf("PointerFree of %s is %v (%s)", tt.name, got, when)
			}
		}
	}
}

func TestABI(t *testing.T) {
	type a struct{ X, Y int32 }
	type b struct{ X, Y int32 }
	type c struct{ Y, X int32 }
	if mem.ABI[a]() != mem.ABI[b]() {
		t.Error("types of one layout differ")
	}
	for i, n := range []uint64{mem.ABI[c](), mem.ABI[struct{ X, Y uint32 }](), mem.ABI[[2]int32](), mem.ABI[struct{ X, Y, Z int32 }](), mem.ABI[int64]()} {
		if n == mem.ABI[a]() {
			t.Errorf("type %d passes for another", i)
		}
	}
}

// FuzzSlice reads the same bytes as a typed view and by decoding them.
func FuzzSlice(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), uint16(4))
	f.Add([]byte{1}, uint16(size-1))
	f.Fuzz(func(t *testing.T, data []byte, at uint16) {
		addr := mapped(t)
		off := int(at) % size &^ 3
		copy(mem.Bytes(addr+uintptr(off), size-off), data)
		raw := mem.Bytes(addr, size)
		view := mem.Slice[uint32](addr+uintptr(off), (size-off)/4)
		if len(view) != cap(view) || len(view)*4 != size-off {
			t.Fatalf("%d values, cap %d, in %d bytes", len(view), cap(view), size-off)
		}
		for i, v := range view {
			if want := binary.NativeEndian.Uint32(raw[off+i*4:]); v != want {
				t.Fatalf("value %d = %#x, want %#x", i, v, want)
			}
		}
	})
}

package mem

import (
	"encoding/binary"
	"reflect"
	"sync"
	"unsafe"
)

// Bytes is the n bytes at addr, with no spare capacity, so that append copies
// instead of walking out of the mapping.
func Bytes(addr uintptr, n int) []byte {
	if n == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(pointer(addr)), n)
}

// Slice is the n values of type T at addr. The caller has checked alignment,
// range and that T is free of pointers.
func Slice[T any](addr uintptr, n int) []T {
	if size, _ := Layout[T](); n*size == 0 {
		return make([]T, n) // no bytes, wherever they are
	}
	return unsafe.Slice((*T)(pointer(addr)), n)
}

// BytesOf is the memory of *v. The caller has checked that T is free of pointers.
func BytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// AddrOf is the address of the first byte of b, or 0 for an empty slice.
func AddrOf(b []byte) uintptr {
	if len(b) == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

// Layout is the size and alignment of T in bytes.
func Layout[T any]() (size, align int) {
	var t T
	return int(unsafe.Sizeof(t)), int(unsafe.Alignof(t))
}

// Low is the low half of *v as a T of 4 bytes, wherever this machine keeps it.
func Low[T any](v *uint64) *T {
	at := unsafe.Pointer(v)
	if bigEndian {
		at = unsafe.Add(at, 4)
	}
	return (*T)(at)
}

var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// At is the T at byte off of b. The caller has checked alignment, range and
// that T is free of pointers. It keeps b's memory from the collector, where b is
// of the Go heap.
func At[T any](b []byte, off int) *T {
	return (*T)(unsafe.Pointer(&b[off]))
}

// StackHint is a number that tends to differ between goroutines: where the
// caller's stack lies. It spreads contended words and proves nothing.
func StackHint() uintptr {
	var here byte
	// Stacks lie powers of two apart: the product's low bits would not tell them
	// apart, its high bits do.
	return uintptr(uint32(uintptr(unsafe.Pointer(&here))>>11) * 0x9E3779B1 >> 16)
}

// pointer reads addr as a pointer. The address lies outside the Go heap, so
// the collector neither follows nor moves it; going through memory tells vet
// that this is meant.
func pointer(addr uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr))
}

// pointerFree caches the verdict per type: a struct's fields are walked once.
var pointerFree sync.Map // reflect.Type -> bool

// PointerFree reports whether a value of type T holds nothing that the
// collector would have to follow: no pointer, slice, string, map, channel,
// function or interface, at any depth. Only such types may live in mapped
// memory, which the collector does not scan.
func PointerFree[T any]() bool {
	t := reflect.TypeFor[T]()
	switch t.Kind() { // the common cases need no cache
	case reflect.Uint8, reflect.Int32, reflect.Uint32, reflect.Int64, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	}
	if v, ok := pointerFree.Load(t); ok {
		return v.(bool)
	}
	free := walk(t)
	pointerFree.Store(t, free)
	return free
}

func walk(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return t.Len() == 0 || walk(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !walk(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}

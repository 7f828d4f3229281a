package mem

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
)

// ABI is a number that tells types apart by what they look like in memory: the
// names, kinds, sizes and places of all fields, and the machine's byte order. The
// name of a type itself is no part of it.
func ABI[T any]() uint64 {
	h := fnv.New64a()
	h.Write(binary.NativeEndian.AppendUint16(nil, 1))
	describe(h, reflect.TypeFor[T]())
	return h.Sum64()
}

func describe(w io.Writer, t reflect.Type) {
	fmt.Fprintf(w, "%v %d %d;", t.Kind(), t.Size(), t.Align())
	switch t.Kind() {
	case reflect.Array:
		fmt.Fprintf(w, "[%d]", t.Len())
		describe(w, t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			fmt.Fprintf(w, "%s@%d ", f.Name, f.Offset)
			describe(w, f.Type)
		}
		io.WriteString(w, "}")
	}
}

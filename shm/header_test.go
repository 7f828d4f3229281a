package shm

import (
	"testing"
)

// FuzzDecode reads headers that anybody may have written: what passes lies within
// its file.
func FuzzDecode(f *testing.F) {
	o := Options{}
	if err := o.defaults(); err != nil {
		f.Fatal(err)
	}
	good, err := layOut(10000, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.encode(), int64(good.size))
	f.Add(good.encode()[:40], int64(good.size))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		h, err := decode(b, size)
		if err != nil {
			return
		}
		if end := h.directory() + int64(h.objects)*objectBytes; h.size != uint64(size) || end > int64(h.data) || h.data >= h.size {
			t.Errorf("%+v passes for a file of %d bytes", h, size)
		}
		if again, err := decode(h.encode(), size); err != nil || again != h {
			t.Errorf("%+v becomes %+v: %v", h, again, err)
		}
	})
}

func TestABI(t *testing.T) {
	type a struct{ X, Y int32 }
	type b struct{ X, Y int32 }
	type c struct{ Y, X int32 }
	if ABI[a]() != ABI[b]() {
		t.Error("types of one layout differ")
	}
	for i, n := range []uint64{ABI[c](), ABI[struct{ X, Y uint32 }](), ABI[[2]int32](), ABI[struct{ X, Y, Z int32 }](), ABI[int64]()} {
		if n == ABI[a]() {
			t.Errorf("type %d passes for another", i)
		}
	}
}

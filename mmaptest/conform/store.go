package conform

import (
	"bytes"
	"io"
	"testing"

	"github.com/memwright/mmap/vmem"
)

// sizes are contents that have a border where one can go wrong.
var sizes = []int{0, 1, vmem.PageSize - 1, vmem.PageSize, vmem.PageSize + 1, 3 * vmem.PageSize}

// pattern is n bytes of which no two neighbouring pages are alike.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>8)*7 | 1
	}
	return p
}

// TestStore holds a [vmem.Store] to its promises. open returns one that has
// the content.
func TestStore(t *testing.T, open func(t *testing.T, content []byte) vmem.Store) {
	for _, n := range sizes {
		content := pattern(n)
		s := open(t, content)
		holds(t, s, content)
		if n, err := s.ReadAt(make([]byte, 1), -1); n != 0 || err == nil {
			t.Errorf("ReadAt before the start = %d, %v", n, err)
		}
		for _, off := range []int64{int64(n), int64(n) + 1, int64(n) + 1<<40} {
			if n, err := s.ReadAt(make([]byte, 1), off); n != 0 || err != io.EOF {
				t.Errorf("ReadAt at %d of %d bytes = %d, %v, want EOF", off, len(content), n, err)
			}
		}
		for off := 0; off < n; off += 1 + n/7 {
			p := make([]byte, n-off+1)
			got, err := s.ReadAt(p, int64(off))
			if got != n-off || err != io.EOF || !bytes.Equal(p[:got], content[off:]) {
				t.Errorf("ReadAt across the end from %d of %d bytes = %d, %v", off, n, got, err)
			}
		}
	}
}

// TestWritableStore holds a [vmem.WritableStore] to its promises, and to those
// of a Store. open returns one that has the content.
func TestWritableStore(t *testing.T, open func(t *testing.T, content []byte) vmem.WritableStore) {
	TestStore(t, func(t *testing.T, content []byte) vmem.Store { return open(t, content) })
	const ps = vmem.PageSize
	tests := []struct {
		name     string
		from     int // bytes that the Store has
		off, n   int // what is written; nothing if n is 0
		truncate int // size that is set afterwards; -1 is none
	}{
		{"over all of it", ps, 0, ps, -1},
		{"in the middle", 3 * ps, ps - 1, ps + 2, -1},
		{"over the end", ps + 1, ps, ps, -1},
		{"at the end", ps, ps, 1, -1},
		{"beyond the end, with zeros between", 1, 2 * ps, 1, -1},
		{"into nothing", 0, 0, 1, -1},
		{"truncated to nothing", ps, 0, 0, 0},
		{"truncated inside a page", 2 * ps, 0, 0, ps + 1},
		{"truncated to the same size", ps + 1, 0, 0, ps + 1},
		{"made longer, with zeros", 1, 0, 0, 2*ps + 1},
		{"written and cut off", ps, ps - 1, 2, ps},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := pattern(tt.from)
			s := open(t, want)
			if tt.n > 0 {
				p := bytes.Repeat([]byte{0xa5}, tt.n)
				if n, err := s.WriteAt(p, int64(tt.off)); n != tt.n || err != nil {
					t.Fatalf("WriteAt = %d, %v", n, err)
				}
				want = resized(want, max(tt.from, tt.off+tt.n))
				copy(want[tt.off:], p)
			}
			if tt.truncate >= 0 {
				if err := s.Truncate(int64(tt.truncate)); err != nil {
					t.Fatalf("Truncate: %v", err)
				}
				want = resized(want, tt.truncate)
			}
			holds(t, s, want)
			if err := s.Sync(); err != nil {
				t.Errorf("Sync: %v", err)
			}
			holds(t, s, want)
		})
	}
	t.Run("what was cut off does not come back", func(t *testing.T) {
		s := open(t, pattern(2*ps))
		if err := s.Truncate(10); err != nil {
			t.Fatal(err)
		}
		if err := s.Truncate(2 * ps); err != nil {
			t.Fatal(err)
		}
		holds(t, s, resized(pattern(10), 2*ps))
	})
	t.Run("nothing is before the start", func(t *testing.T) {
		s := open(t, pattern(ps))
		if n, err := s.WriteAt([]byte{1}, -1); n != 0 || err == nil {
			t.Errorf("WriteAt before the start = %d, %v", n, err)
		}
		if err := s.Truncate(-1); err == nil {
			t.Error("Truncate to less than nothing works")
		}
		holds(t, s, pattern(ps))
	})
}

// holds fails the test unless s has exactly the content.
func holds(t *testing.T, s vmem.Store, content []byte) {
	t.Helper()
	if n, err := s.Size(); n != int64(len(content)) || err != nil {
		t.Errorf("Size = %d, %v, want %d", n, err, len(content))
	}
	p := make([]byte, len(content))
	if n, err := s.ReadAt(p, 0); n != len(p) || err != nil && err != io.EOF {
		t.Errorf("ReadAt of %d bytes = %d, %v", len(p), n, err)
	}
	for i := range p {
		if p[i] != content[i] {
			t.Errorf("byte %d is %#x, want %#x", i, p[i], content[i])
			return
		}
	}
}

// resized is p with n bytes, the new ones zeros.
func resized(p []byte, n int) []byte {
	q := make([]byte, n)
	copy(q, p)
	return q
}

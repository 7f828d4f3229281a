package mmap_test

import (
	"bytes"
	"io"
	"io/fs"
	"math"
	"testing"
	"testing/iotest"

	"github.com/memwright/mmap"
)

func TestReaderIsAReader(t *testing.T) {
	for _, size := range []int{0, 1, pageSize, 3*pageSize + 17} {
		want := pattern(size)
		m := hold(t)(mmap.OpenFile(newFile(t, append([]byte("abc"), want...)), mmap.Options{Offset: 3}))
		if err := iotest.TestReader(m.NewReader(), want); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		// Without the other interfaces io.ReadAll takes another way.
		if got, err := io.ReadAll(struct{ io.Reader }{m.NewReader()}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
		if err := iotest.TestReader(struct{ io.Reader }{m.NewReader()}, want); err != nil {
			t.Errorf("%d bytes, as a bare io.Reader: %v", size, err)
		}
	}
}

func TestReaderSeeks(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(100))))
	r := m.NewReader()
	for _, row := range []struct {
		what   string
		offset int64
		whence int
		at     int64
		err    error
	}{
		{"from the start", 10, io.SeekStart, 10, nil},
		{"forward from here", 5, io.SeekCurrent, 15, nil},
		{"back from here", -15, io.SeekCurrent, 0, nil},
		{"back over the start", -1, io.SeekCurrent, 0, mmap.ErrOutOfRange},
		{"from the end", -1, io.SeekEnd, 99, nil},
		{"past the end", 10, io.SeekEnd, 110, nil},
		{"past every number", math.MaxInt64, io.SeekCurrent, 0, mmap.ErrOutOfRange},
		{"before the start", -101, io.SeekEnd, 0, mmap.ErrOutOfRange},
		{"from nowhere", 0, 7, 0, fs.ErrInvalid},
	} {
		before, _ := r.Seek(0, io.SeekCurrent)
		at, err := r.Seek(row.offset, row.whence)
		if row.err == nil && (err != nil || at != row.at) {
			t.Errorf("%s: %d, %v, want %d", row.what, at, err, row.at)
		}
		if row.err != nil {
			wantError(t, err, row.err)
			if now, _ := r.Seek(0, io.SeekCurrent); now != before {
				t.Errorf("%s: a seek that failed went from %d to %d", row.what, before, now)
			}
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading past the end: %d, %v", n, err)
	}
}

func TestReaderBytes(t *testing.T) {
	want := pattern(3)
	m := hold(t)(mmap.Open(newFile(t, want)))
	r := m.NewReader()
	wantError(t, r.UnreadByte(), fs.ErrInvalid)
	for i := range want {
		for range 2 { // once, back, and once more
			if b, err := r.ReadByte(); err != nil || b != want[i] {
				t.Errorf("byte %d is %d, %v", i, b, err)
			}
			if err := r.UnreadByte(); err != nil {
				t.Error(err)
			}
			wantError(t, r.UnreadByte(), fs.ErrInvalid) // not twice
		}
		r.ReadByte()
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	wantError(t, r.UnreadByte(), fs.ErrInvalid)
	r.Seek(0, io.SeekStart)
	r.ReadByte()
	r.Read(make([]byte, 1))
	wantError(t, r.UnreadByte(), fs.ErrInvalid)
}

func TestReaderWritesTheRest(t *testing.T) {
	want := pattern(2*pageSize + 5)
	m := hold(t)(mmap.Open(newFile(t, want)))
	r := m.NewReader()
	r.Seek(7, io.SeekStart)
	var w bytes.Buffer
	if n, err := r.WriteTo(&w); err != nil || n != int64(len(want)-7) {
		t.Errorf("%d, %v", n, err)
	}
	wantBytes(t, "what was written", w.Bytes(), want[7:])
	if n, err := r.WriteTo(&w); n != 0 || err != nil {
		t.Errorf("again, at the end: %d, %v", n, err)
	}
	r.Seek(1000, io.SeekEnd)
	if n, err := r.WriteTo(&w); n != 0 || err != nil {
		t.Errorf("past the end: %d, %v", n, err)
	}
}

// A Reader sees the mapping grow and shrink.
func TestReaderFollowsResize(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(10)), mmap.Options{Access: mmap.ReadWrite}))
	r := m.NewReader()
	if got, err := io.ReadAll(r); err != nil || len(got) != 10 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := m.Resize(15); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || len(got) != 5 {
		t.Errorf("after growth: %d bytes, %v", len(got), err)
	}
	if err := m.Resize(3); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after it shrank: %d, %v", n, err)
	}
}

func TestReaderOfAClosedMapping(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(10))))
	r := m.NewReader()
	r.ReadByte()
	m.Close()
	p := make([]byte, 1)
	_, err := r.Read(p)
	wantError(t, err, fs.ErrClosed)
	_, err = r.ReadAt(p, 0)
	wantError(t, err, fs.ErrClosed)
	_, err = r.ReadByte()
	wantError(t, err, fs.ErrClosed)
	_, err = r.WriteTo(io.Discard)
	wantError(t, err, fs.ErrClosed)
}

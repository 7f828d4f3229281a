package mmap_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/testenv"
)

// A sink is somewhere to send to, and what arrived there.
type sink struct {
	io.Writer
	arrived func() []byte // after it is closed for writing
}

// pair is both ends of a connection: what is written to one, arrived gives.
func pair(t *testing.T, network, addr string) sink {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return sink{out, collect(t, in, out)}
}

func collect(t *testing.T, in io.Reader, out io.Closer) func() []byte {
	done := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(in)
		done <- b
	}()
	return func() []byte { out.Close(); return <-done }
}

// A doubler embeds a connection and does more in its Write: sending past it
// would lose that.
type doubler struct{ *net.TCPConn }

func (d doubler) Write(p []byte) (int, error) {
	for _, b := range p {
		if _, err := d.TCPConn.Write([]byte{b, b}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

var sinks = []struct {
	name string
	make func(t *testing.T) sink
}{
	{"a TCP connection", func(t *testing.T) sink { return pair(t, "tcp", "127.0.0.1:0") }},
	{"a Unix socket", func(t *testing.T) sink { return pair(t, "unix", filepath.Join(shortDir(t), "s")) }},
	{"a pipe", func(t *testing.T) sink {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return sink{w, collect(t, r, w)}
	}},
	{"a file", func(t *testing.T) sink { return fileSink(t, os.O_RDWR) }},
	{"a file to append to", func(t *testing.T) sink { return fileSink(t, os.O_RDWR|os.O_APPEND) }},
	{"a buffer", func(t *testing.T) sink { w := new(bytes.Buffer); return sink{w, w.Bytes} }},
	{"a Sink", func(t *testing.T) sink {
		var got []byte
		w := mmap.Sink(func(p []byte) error { got = append(got, p...); return nil })
		return sink{w, func() []byte { return got }}
	}},
	{"a buffered connection", func(t *testing.T) sink {
		s := pair(t, "tcp", "127.0.0.1:0")
		w := bufio.NewWriter(s.Writer)
		return sink{w, func() []byte { w.Flush(); return s.arrived() }}
	}},
}

// shortDir is a directory for a socket: the path of one has at most 107 bytes
// (unix(7)), and t.TempDir spells the test's name.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func fileSink(t *testing.T, flag int) sink {
	f := openFile(t, newFile(t, nil), flag)
	return sink{f, func() []byte {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Error(err)
		}
		return b
	}}
}

// Hazard: the file and the memory are not the same object. Whatever their
// difference, what arrives is what memory shows.
func TestSendsWhatMemoryShows(t *testing.T) {
	size := 70*pageSize + 11
	content := pattern(size)
	for _, row := range []struct {
		what string
		make func(t *testing.T) *mmap.Mapping
	}{
		{"read-only", func(t *testing.T) *mmap.Mapping { return hold(t)(mmap.Open(newFile(t, content))) }},
		{"read-only, from an unaligned offset", func(t *testing.T) *mmap.Mapping {
			return hold(t)(mmap.OpenFile(newFile(t, content), mmap.Options{Offset: 1001, Length: 3 * pageSize}))
		}},
		{"read-write", func(t *testing.T) *mmap.Mapping {
			return hold(t)(mmap.OpenFile(newFile(t, content), mmap.Options{Access: mmap.ReadWrite}))
		}},
		{"with private pages", func(t *testing.T) *mmap.Mapping {
			m := hold(t)(mmap.OpenFile(newFile(t, content), mmap.Options{Access: mmap.CopyOnWrite}))
			if _, err := m.WriteAt([]byte("private"), int64(pageSize)); err != nil {
				t.Fatal(err)
			}
			return m
		}},
		{"anonymous", func(t *testing.T) *mmap.Mapping {
			m := hold(t)(mmap.Anonymous(size, mmap.Options{}))
			if _, err := m.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
			return m
		}},
		{"shared anonymous", func(t *testing.T) *mmap.Mapping {
			m := hold(t)(mmap.Anonymous(size, mmap.Options{Sharing: mmap.Shared}))
			if _, err := m.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
			return m
		}},
		{"of a file on tmpfs", func(t *testing.T) *mmap.Mapping {
			return hold(t)(mmap.Open(newFileIn(t, testenv.TmpfsDir(t), content)))
		}},
	} {
		for _, s := range sinks {
			t.Run(row.what+", to "+s.name, func(t *testing.T) {
				m := row.make(t)
				w := s.make(t)
				n, err := m.WriteTo(w.Writer)
				if err != nil || n != int64(m.Len()) {
					t.Errorf("WriteTo: %d of %d bytes, %v", n, m.Len(), err)
				}
				k, err := m.SendTo(w.Writer, 5, pageSize)
				if err != nil || k != int64(pageSize) {
					t.Errorf("SendTo: %d bytes, %v", k, err)
				}
				want := contents(t, m)
				wantBytes(t, "what arrived", w.arrived(), append(want, want[5:5+pageSize]...))
			})
		}
	}
}

func TestSendRefusesRangesOutside(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(100))))
	for _, r := range []struct {
		off int64
		n   int
	}{{-1, 1}, {0, -1}, {0, 101}, {101, 0}, {100, 1}} {
		var w bytes.Buffer
		n, err := m.SendTo(&w, r.off, r.n)
		wantError(t, err, mmap.ErrOutOfRange)
		if n != 0 || w.Len() != 0 {
			t.Errorf("[%d, +%d): %d bytes were sent", r.off, r.n, w.Len())
		}
	}
}

// A Sink and a hash of the standard library look at the memory itself. A type
// that might keep what it is given gets a copy.
func TestWhoSeesTheMemoryItself(t *testing.T) {
	const window = 1 << 20
	content := pattern(2*window + 100)
	m := hold(t)(mmap.Open(newFile(t, content)))
	var where []uintptr
	look := mmap.Sink(func(p []byte) error {
		where = append(where, mem.AddrOf(p)-m.Addr())
		return nil
	})
	if n, err := m.WriteTo(look); n != int64(len(content)) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if want := []uintptr{0, window, 2 * window}; !slices.Equal(where, want) {
		t.Errorf("a Sink saw %d from the mapping's start, want %d", where, want)
	}
	h := sha256.New()
	if n, err := io.Copy(h, m.NewReader()); n != int64(len(content)) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if want := sha256.Sum256(content); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Error("the sum is wrong")
	}
	inside := false
	keeper := writerFunc(func(p []byte) (int, error) {
		inside = inside || mem.AddrOf(p)-m.Addr() < uintptr(len(content))
		return len(p), nil
	})
	if _, err := m.WriteTo(keeper); err != nil || inside {
		t.Errorf("an unknown writer saw the memory itself: %v, %v", inside, err)
	}
}

func TestASinksErrorEndsTheSend(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(2<<20))))
	mine, calls := errors.New("mine"), 0
	n, err := m.WriteTo(mmap.Sink(func([]byte) error {
		if calls++; calls == 2 {
			return mine
		}
		return nil
	}))
	if n != 1<<20 || err != mine || calls != 2 {
		t.Errorf("%d, %v after %d calls", n, err, calls)
	}
}

// A page that is lost while a Sink looks at it: the error comes, and what was taken
// before counts.
func TestPageLostUnderASink(t *testing.T) {
	name := newFile(t, pattern(3<<20))
	m := hold(t)(mmap.Open(name))
	calls := 0
	n, err := m.WriteTo(mmap.Sink(func(p []byte) error {
		if calls++; calls == 2 {
			if err := os.Truncate(name, 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		_ = bytes.Count(p, []byte{7})
		return nil
	}))
	wantFault(t, err, mmap.ErrPastEnd, 1<<20)
	if n != 1<<20 {
		t.Errorf("%d bytes were told", n)
	}
	leavesTheGateUsable(t, m)
}

// A large read of what is in memory is a file call, and no cold read.
func TestLargeReadIsACall(t *testing.T) {
	content := pattern(2 << 20)
	m := hold(t)(mmap.OpenFile(newFileIn(t, testenv.DiskDir(t), content), mmap.Options{Populate: true}))
	got := make([]byte, len(content)-10)
	for range 2 { // the first is of pages that nothing is known of
		if n, err := m.ReadAt(got, 10); n != len(got) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	before := mmap.Stats()
	clear(got)
	if n, err := m.ReadAt(got, 10); n != len(got) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	wantBytes(t, "what was read", got, content[10:])
	after := mmap.Stats()
	if n := after.FileBytes - before.FileBytes; n != int64(len(got)) {
		t.Errorf("%d bytes came by file calls, want %d", n, len(got))
	}
	if n := after.ColdReads - before.ColdReads; n != 0 {
		t.Errorf("%d cold reads of what is in memory", n)
	}
	if err := m.Protect(1<<20, 1, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	n, err := m.ReadAt(got, 10)
	wantFault(t, err, fs.ErrPermission, 1<<20)
	if n != 1<<20-10 {
		t.Errorf("%d bytes", n)
	}
}

func TestSendDoesNotBypassAnEmbeddingType(t *testing.T) {
	s := pair(t, "tcp", "127.0.0.1:0")
	m := hold(t)(mmap.Open(newFile(t, []byte("abc"))))
	if n, err := m.WriteTo(doubler{s.Writer.(*net.TCPConn)}); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := s.arrived(); string(got) != "aabbcc" {
		t.Errorf("%q arrived", got)
	}
}

// wantPrefix wants as many bytes as were told, and those of want. A socket takes
// all of a write or none where one of its pages can't be had.
func wantPrefix(t *testing.T, told int64, arrived, want []byte) {
	t.Helper()
	if told != int64(len(arrived)) || len(arrived) > len(want) {
		t.Errorf("%d bytes were told, %d arrived, %d may be read", told, len(arrived), len(want))
		return
	}
	wantBytes(t, "what arrived", arrived, want[:len(arrived)])
}

// A page that may not be read is not sent, though the file could be.
func TestSendStopsAtAProtectedPage(t *testing.T) {
	content := pattern(3 * pageSize)
	for _, s := range sinks {
		t.Run(s.name, func(t *testing.T) {
			m := hold(t)(mmap.Open(newFile(t, content)))
			if err := m.Protect(int64(pageSize), 1, mmap.ProtNone); err != nil {
				t.Fatal(err)
			}
			w := s.make(t)
			n, err := m.WriteTo(w.Writer)
			wantFault(t, err, fs.ErrPermission, int64(pageSize))
			wantPrefix(t, n, w.arrived(), content[:pageSize])
		})
	}
}

// A file that somebody has made shorter: up to its last page, then an error.
func TestSendStopsWhereTheFileEnds(t *testing.T) {
	content := pattern(4 * pageSize)
	for _, access := range []mmap.Access{mmap.ReadOnly, mmap.ReadWrite} {
		for _, s := range sinks {
			t.Run(access.String()+", "+s.name, func(t *testing.T) {
				name := newFile(t, content)
				m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: access}))
				if err := os.Truncate(name, int64(pageSize+100)); err != nil {
					t.Fatal(err)
				}
				w := s.make(t)
				n, err := m.SendTo(w.Writer, 0, m.Len())
				wantFault(t, err, mmap.ErrPastEnd, int64(2*pageSize))
				want := make([]byte, 2*pageSize) // zeros to the end of the last page
				copy(want, content[:pageSize+100])
				wantPrefix(t, n, w.arrived(), want)
			})
		}
	}
}

// On overlayfs a descriptor opened before the file's first writer moves to the
// new copy, and the mapping does not.
func TestSendOnOverlayfs(t *testing.T) {
	o := testenv.Overlay(t)
	old := pattern(2 * pageSize)
	if err := os.WriteFile(filepath.Join(o.Lower, "file"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(o.Merged, "file")
	for _, s := range sinks[:4] {
		t.Run(s.name, func(t *testing.T) {
			m := hold(t)(mmap.Open(name))
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("new "+s.name), 10); err != nil {
				t.Fatal(err)
			}
			f.Close()
			want := contents(t, m)
			w := s.make(t)
			if _, err := m.WriteTo(w.Writer); err != nil {
				t.Error(err)
			}
			wantBytes(t, "what arrived", w.arrived(), want)
		})
	}
}

// What WriteTo has sent from a writable mapping is what was there: a later
// store does not change it. The peer has not read yet.
func TestWriteToFromAWritableMappingCopies(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	old := pattern(8 * pageSize)
	m := hold(t)(mmap.OpenFile(newFile(t, old), mmap.Options{Access: mmap.ReadWrite}))
	if _, err := m.WriteTo(out); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt(bytes.Repeat([]byte{0xEE}, len(old)), 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(old))
	if _, err := io.ReadFull(in, got); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "what arrived", got, old)
}

// SendTo, and WriteTo of a read-only mapping, move the pages themselves: what is
// stored before the peer reads shows there. That is the price, and the proof
// that nothing was copied.
func TestSendMovesPagesWithoutACopy(t *testing.T) {
	old, changed := pattern(4*pageSize), bytes.Repeat([]byte{0xEE}, 4*pageSize)
	for what, send := range map[string]func(rw, ro *mmap.Mapping, w io.Writer) (int64, error){
		"SendTo, read-write": func(rw, _ *mmap.Mapping, w io.Writer) (int64, error) { return rw.SendTo(w, 0, rw.Len()) },
		"WriteTo, read-only": func(_, ro *mmap.Mapping, w io.Writer) (int64, error) { return ro.WriteTo(w) },
		"a Reader's WriteTo": func(_, ro *mmap.Mapping, w io.Writer) (int64, error) { return ro.NewReader().WriteTo(w) },
	} {
		t.Run(what, func(t *testing.T) {
			testenv.Need(t, proc)
			name := newFileIn(t, testenv.DiskDir(t), old)
			rw := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
			ro := hold(t)(mmap.Open(name))
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			if n, err := send(rw, ro, w); n != int64(len(old)) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			if _, err := rw.WriteAt(changed, 0); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(old))
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, "what arrived", got, changed)
		})
	}
}

// A writer's own failure comes back as it is, with what was written before.
func TestSendGivesTheWritersError(t *testing.T) {
	m := hold(t)(mmap.Open(newFile(t, pattern(10))))
	mine := errors.New("mine")
	for _, row := range []struct {
		what string
		n    int
		err  error
		want error
	}{
		{"an error", 3, mine, mine},
		{"a short write", 3, nil, io.ErrShortWrite},
	} {
		n, err := m.WriteTo(writerFunc(func(p []byte) (int, error) { return row.n, row.err }))
		if n != int64(row.n) || err != row.want {
			t.Errorf("%s: %d, %v", row.what, n, err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var path *fs.PathError
	if n, err := m.WriteTo(w); n != 0 || !errors.As(err, &path) {
		t.Errorf("a pipe that nobody reads: %d, %v, want os.File's own error", n, err)
	}
	leavesTheGateUsable(t, m)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A writer that panics, or none at all, must not leave anybody counted inside.
func TestSendSurvivesABadWriter(t *testing.T) {
	for what, w := range map[string]io.Writer{
		"none":       nil,
		"a panic":    writerFunc(func([]byte) (int, error) { panic("mine") }),
		"a nil file": (*os.File)(nil),
	} {
		t.Run(what, func(t *testing.T) {
			m := hold(t)(mmap.Open(newFile(t, pattern(10))))
			func() {
				defer func() { recover() }()
				if n, err := m.WriteTo(w); err == nil {
					t.Errorf("%d bytes and no error", n)
				}
			}()
			leavesTheGateUsable(t, m)
		})
	}
}

// A peer that does not read holds a WriteTo up, and nobody else.
func TestASlowPeerDoesNotBlockTheMapping(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	m := hold(t)(mmap.Open(newFile(t, pattern(1<<20)))) // more than a pipe holds
	sent := make(chan error, 1)
	go func() {
		_, err := m.WriteTo(w)
		sent <- err
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(r, first); err != nil { // it is under way
		t.Fatal(err)
	}
	wantError(t, m.Resize(10), mmap.ErrBusy)
	if _, err := m.ReadAt(first, 0); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(io.LimitReader(r, 1<<20-1))
	if err != nil || len(rest) != 1<<20-1 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	leavesTheGateUsable(t, m)
}

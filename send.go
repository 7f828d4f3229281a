package mmap

import (
	"context"
	"errors"
	"hash"
	"io"
	"reflect"
	"strings"
	"syscall"

	"github.com/memwright/mmap/internal/sys"
)

// WriteTo writes the whole mapping to w (io.WriterTo). Where the bytes are the
// file's and this mapping can't change them (ReadOnly, no page's reading was
// taken away, a local file system whose file calls and mappings agree) and w is a
// socket, pipe or file, the kernel moves them without a copy through this
// process. Otherwise they are copied: what is sent is then what was in memory at
// that moment, and a later store does not change it. [Mapping.SendTo] moves them
// without a copy from a writable mapping too.
//
// A [Sink], and a hash.Hash of the standard library, is given the memory itself,
// a mebibyte at a time. If a page is lost in the midst of that (the file is
// truncated, the disk fails at a page that was evicted just then) the error comes
// from within its Write: n then counts what it had taken before, and what it holds is
// good for nothing. Every other writer gets copies, and n is exact.
func (m *Mapping) WriteTo(w io.Writer) (int64, error) {
	return m.send("write to", w, 0, m.Len(), m.sendsFile)
}

// A Sink is an io.Writer that only looks, such as a checksum. What WriteTo and SendTo
// give it is the mapped memory itself, under the conditions of [Mapping.View]: it
// must not keep p, nor hand it to another goroutine or to C code, and a page that can't
// be had ends it in the middle, with any lock that it holds.
//
// A type with a Write of its own gets copies, since it might do any of these.
type Sink func(p []byte) error

// Write calls s.
func (s Sink) Write(p []byte) (int, error) {
	if err := s(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// looks reports whether w is known to do no more with what it is given than a Sink.
func looks(w io.Writer) bool {
	if _, ok := w.(Sink); ok {
		return true
	}
	t := reflect.TypeOf(w)
	if _, ok := w.(hash.Hash); !ok || t.Kind() != reflect.Pointer {
		return false
	}
	// Not those in C (GOEXPERIMENT=boringcrypto): a fault there can't be recovered.
	p := t.Elem().PkgPath()
	return (strings.HasPrefix(p, "hash/") || strings.HasPrefix(p, "crypto/")) && !strings.Contains(p, "boring")
}

// SendTo writes the n bytes from off to w, within the kernel where it can:
// copy_file_range(2) to a file, sendfile(2) to a socket or pipe.
//
// On a writable mapping that is the caller's choice, with this price: the pages
// themselves are queued, so a store made after SendTo has returned can still
// change what the peer reads. Private copies are never sent so; they are copied.
func (m *Mapping) SendTo(w io.Writer, off int64, n int) (int64, error) {
	return m.send("send", w, off, n, func() bool { return m.syncs() && m.coherent() || m.sendsFile() })
}

// sendsFile reports whether the file's bytes are the mapping's, for good. Like
// coherent it is called inside the gate.
func (m *Mapping) sendsFile() bool {
	return m.opt.Access == ReadOnly && !m.unreadable.Load() && m.coherent()
}

// coherent reports whether a file call on the descriptor sees what the mapping
// shows: on regular files of file systems that keep one page cache per file.
// Not overlayfs, whose descriptor moves to the upper layer when somebody else
// first writes while the mapping stays; nor FUSE and network file systems, which
// may bypass the cache.
func (m *Mapping) coherent() bool {
	if m.fd < 0 || m.stat.Kind != sys.Regular {
		return false
	}
	if c := m.coherence.Load(); c != 0 {
		return c == coherentFile
	}
	c := int32(incoherentFile)
	switch magic, err := sys.FileSystem(m.fd); {
	case err != nil:
	case magic == 0xEF53, magic == 0x58465342, magic == 0x9123683E, magic == 0x01021994, magic == 0xF2F52010:
		c = coherentFile // ext2/3/4, XFS, Btrfs, tmpfs, F2FS (linux/magic.h)
	}
	m.coherence.Store(c)
	return c == coherentFile
}

const (
	coherentFile = 1 + iota
	incoherentFile
)

// chunkBytes bounds what one step of a send hands to the kernel, and copyBytes what
// it copies: little enough to be in the processor's cache still when it is written.
const (
	chunkBytes = 1 << 20
	copyBytes  = 256 << 10
)

// send moves what it can within the kernel, if the file's bytes may stand in for
// the memory. What is left is copied: all of it, where the kernel could not move
// it, or the rest, where it stopped at an error or at a file that has become
// shorter. The copy meets the same obstacle and tells it.
func (m *Mapping) send(op string, w io.Writer, off int64, n int, fileWill func() bool) (int64, error) {
	sent, err := m.sendFile(op, w, off, n, fileWill)
	if err != nil {
		return 0, err
	}
	write, step := m.sendMemory, chunkBytes
	switch {
	case kernelWriter(w) != nil:
	case looks(w):
		write = m.sendShown
	default:
		step = copyBytes
		buf := make([]byte, min(n-sent, copyBytes))
		write = func(op string, w io.Writer, off int64, n int) (int, error) {
			return m.sendCopy(op, w, off, buf[:n])
		}
	}
	for sent < n {
		k, err := write(op, w, off+int64(sent), min(n-sent, step))
		sent += max(0, k)
		if err != nil {
			return int64(sent), err
		}
	}
	return int64(sent), nil
}

// sendFile sends from the file as far as that goes. It may wait for whoever
// reads at the other end, so it counts as a view: Resize refuses and does not
// wait for it.
func (m *Mapping) sendFile(op string, w io.Writer, off int64, n int, fileWill func() bool) (int, error) {
	s, err := m.enterAs(aStay, op, off, n)
	if err != nil {
		return 0, err
	}
	defer m.gate.leave(s, aStay)
	if !fileWill() {
		return 0, nil
	}
	return m.sendWithin(w, off, n), nil
}

// sendMemory has the kernel copy from the mapping. A page that can't be had is
// an EFAULT there, and no signal.
func (m *Mapping) sendMemory(op string, w io.Writer, off int64, n int) (written int, err error) {
	err = m.withView(op, off, n, func(p []byte) (err error) {
		if written, err = w.Write(p); err == nil && written < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	if errors.Is(err, error(sys.EFAULT)) {
		at := max(0, written)
		err = m.explainEfault(op, off+int64(at), n-at, err)
	}
	return written, err
}

// sendShown hands w the memory itself if all of it is there. If not, a copy of what
// there is before the page that can't be had comes out exact.
func (m *Mapping) sendShown(op string, w io.Writer, off int64, n int) (written int, err error) {
	begun := false
	err = m.withView(op, off, n, func(p []byte) (err error) {
		if !m.intact(off, n) {
			return errNotIntact
		}
		begun = true
		if written, err = w.Write(p); err == nil && written < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	if err != nil && !begun {
		return m.sendCopy(op, w, off, make([]byte, min(n, copyBytes)))
	}
	return written, err
}

var errNotIntact = errors.New("a page is not there")

// intact reports whether no page of the n bytes from off is known to fault: none was
// protected, and the file has not become shorter. The caller is inside the gate.
func (m *Mapping) intact(off int64, n int) bool {
	if m.unreadable.Load() || m.opt.Access == NoAccess {
		return false
	}
	if !m.isCold() {
		return true
	}
	st, err := sys.Fstat(m.fd)
	return err == nil && st.Kind == sys.Regular && m.opt.Offset+off+int64(n) <= st.Size
}

// sendCopy hands w a copy. A fault inside a Write that is not the kernel's would
// leave it half done, with its locks held and its counts wrong.
func (m *Mapping) sendCopy(op string, w io.Writer, off int64, buf []byte) (int, error) {
	n, failed := m.ReadAt(buf, off)
	if failed == io.EOF {
		failed = m.fail(op, off, len(buf), because(ErrOutOfRange, "the mapping has shrunk meanwhile"))
	}
	if n == 0 {
		return 0, failed
	}
	written, err := w.Write(buf[:n])
	if err == nil && written < n {
		err = io.ErrShortWrite
	}
	if err != nil {
		return written, err
	}
	return written, failed
}

// explainEfault names the page that can't be had when the kernel met it while
// writing from the mapping: it answers EFAULT there and raises no signal.
func (m *Mapping) explainEfault(op string, off int64, n int, err error) error {
	s, enterErr := m.enterRange(op, off, n)
	if enterErr != nil {
		return enterErr
	}
	defer m.gate.leave(s, anAccess)
	if cause := m.populate(context.Background(), off, n); cause != nil {
		return m.fail(op, off, n, cause)
	}
	return err
}

// sendWithin moves bytes inside the kernel until all are sent or it can't, and
// tells how many went.
func (m *Mapping) sendWithin(w io.Writer, off int64, n int) int {
	raw := kernelWriter(w)
	if raw == nil {
		return 0
	}
	from, sent := m.opt.Offset+off, 0
	for _, move := range []func(out, in int, off *int64, n int) (int, error){sys.CopyFileRange, sys.Sendfile} {
		for sent < n {
			var k int
			var failed error
			err := raw.Write(func(fd uintptr) (done bool) {
				k, failed = move(int(fd), m.fd, &from, min(n-sent, chunkBytes))
				return failed != error(sys.EAGAIN) // not ready: wait in the poller
			})
			if err != nil || k <= 0 || failed != nil && failed != error(sys.EINTR) {
				break
			}
			sent += k
		}
	}
	return sent
}

// kernelWriter is the descriptor under w if w is the standard library's own file
// or stream socket. A type that embeds one may do more in its Write than the
// kernel would.
func kernelWriter(w io.Writer) syscall.RawConn {
	conn, ok := w.(syscall.Conn)
	if !ok {
		return nil
	}
	t := reflect.TypeOf(w)
	if t.Kind() != reflect.Pointer {
		return nil
	}
	switch t.Elem().PkgPath() + "." + t.Elem().Name() {
	case "os.File", "net.TCPConn", "net.UnixConn":
	default:
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

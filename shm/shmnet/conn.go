package shmnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/shm/ring"
)

// A Conn is one end of a connection, and a [net.Conn]: any number of goroutines
// may call its methods at once. Dial and Accept answer it as a net.Conn.
//
//	open ──CloseWrite──▶ open, writes fail
//	open ──the line ends──▶ gone     the peer has closed, or died
//	open, gone ──Close──▶ closed
type Conn struct {
	local, remote Addr
	peer          Credentials

	in, out lane
	memory  *memory // used by who holds in or out, and unmapped by who holds both
	chunk   int     // how much is written at once, so that the peer can read meanwhile

	bell    bell
	line    *os.File      // a socket: nothing comes there but its end
	watched chan struct{} // closed when that was seen

	closed atomic.Bool
	shut   atomic.Bool // CloseWrite was called
	gone   atomic.Bool // the line has ended: no peer stores anything any more
}

// Credentials is what the kernel noted of the process at the other end when the
// two were connected (unix(7), SO_PEERCRED); of a listener, when it began to
// listen. Pid is a number of the caller's own process namespace, 0 where it has
// none there.
type Credentials struct {
	Pid, Uid, Gid int
}

// begin makes a Conn of a socket and a line whose other ends have agreed on m. It
// takes over the line. c has nothing but its addresses.
func (c *Conn) begin(socket *net.UnixConn, line int, m *memory) error {
	if err := sys.SetNonblock(line); err != nil { // the poller wants it so
		sys.Close(line)
		return err
	}
	c.line, c.memory, c.watched = os.NewFile(uintptr(line), "line"), m, make(chan struct{})
	c.chunk = m.room / 4
	c.in.begin(m.in, &c.bell, func() bool {
		_, err := m.in.TryNext(1)
		return err != ring.ErrEmpty
	})
	c.out.begin(m.out, &c.bell, func() bool {
		_, err := m.out.TryReserve(1)
		return err != ring.ErrFull
	})
	c.in.spin.Beside, c.out.spin.Beside = m.beside, m.beside
	err := c.bell.hang(socket, &c.in, &c.out)
	if err == nil {
		e := c.bell.raw.Control(func(fd uintptr) {
			var peer sys.Credentials
			peer, err = sys.PeerCredentials(int(fd))
			c.peer = Credentials(peer)
		})
		err = errors.Join(e, err)
	}
	if err != nil {
		return errors.Join(err, c.line.Close())
	}
	go c.watch()
	return nil
}

// Read reads what there is, len(p) bytes at most, and waits while there is
// nothing. io.EOF is the end that the peer has made by Close or CloseWrite;
// io.ErrUnexpectedEOF is the end of a peer that died, behind the last byte that it
// had written whole. Other errors are *net.OpError.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	return n, c.fail("read", err)
}

func (c *Conn) read(p []byte) (int, error) {
	c.in.Lock()
	defer c.in.Unlock()
	for {
		gone := c.gone.Load() // before the look: the dead store nothing after it
		if err := c.stopped(&c.in); err != nil || len(p) == 0 {
			return 0, err
		}
		b, err := c.memory.in.TryNext(len(p))
		switch {
		case err == nil:
			acquire()
			n := copy(p, b)
			if err := c.memory.in.Release(n); err != nil {
				return 0, err
			}
			return n, c.notify(&c.in)
		case err != ring.ErrEmpty:
			return 0, err
		case gone:
			return 0, io.ErrUnexpectedEOF
		}
		c.in.wait()
	}
}

// Write writes all of p, and waits while the buffer is full. On error n bytes are
// in the buffer. A peer that died is io.ErrUnexpectedEOF, one that has closed is
// syscall.EPIPE in a *net.OpError.
func (c *Conn) Write(p []byte) (n int, err error) {
	n, err = c.write(p)
	return n, c.fail("write", err)
}

func (c *Conn) write(p []byte) (n int, err error) {
	c.out.Lock()
	defer c.out.Unlock()
	for {
		k, err := c.put(p[n:min(n+c.chunk, len(p))])
		n += k
		if k > 0 {
			if err := c.notify(&c.out); err != nil {
				return n, err
			}
		}
		switch {
		case err == ring.ErrFull:
			c.out.wait()
		case err != nil || n == len(p):
			return n, err
		}
	}
}

// put writes what there is room for, in two pieces at the ring's end, and leaves it
// to its caller to wake the peer: once for both.
func (c *Conn) put(p []byte) (n int, err error) {
	for {
		if err := c.stopped(&c.out); err != nil || len(p) == 0 {
			return n, err
		}
		if c.shut.Load() {
			return n, syscall.EPIPE
		}
		if c.gone.Load() {
			return n, c.whyGone()
		}
		b, err := c.memory.out.TryReserve(len(p) - n)
		switch {
		case err == io.ErrClosedPipe:
			return n, syscall.EPIPE
		case err != nil:
			return n, err
		}
		release()
		k := copy(b, p[n:])
		if err := c.memory.out.Commit(k); err != nil {
			return n, err
		}
		if n += k; n == len(p) {
			return n, nil
		}
	}
}

// whyGone tells a writer whether its peer, which is gone, has closed or died.
func (c *Conn) whyGone() error {
	closed, err := c.memory.out.ReaderClosed()
	switch {
	case err != nil:
		return err
	case closed:
		return syscall.EPIPE
	}
	return io.ErrUnexpectedEOF
}

// stopped is why calls of a lane fail, whatever stands in the ring.
func (c *Conn) stopped(l *lane) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case l.until.passed():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// notify wakes the peer if it says that it waits for us.
func (c *Conn) notify(l *lane) error {
	wanted, err := l.side.Notify()
	if wanted && l.ringPeer() != nil {
		// If the peer is gone, its end of the line tells that too. One that sleeps on
		// must not be left so.
		c.onLine(func(fd uintptr) { sys.Shutdown(int(fd)) })
	}
	return err
}

func (c *Conn) onLine(f func(fd uintptr)) error {
	raw, err := c.line.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

// watch waits for the end of the line. It receives nothing: the dialer has made
// both ends and may have kept both, and who receives waits for others that do.
func (c *Conn) watch() {
	defer close(c.watched)
	if raw, err := c.line.SyscallConn(); err == nil {
		raw.Read(func(fd uintptr) bool {
			hungUp, err := sys.HungUp(int(fd))
			return hungUp || err != nil
		})
	}
	c.gone.Store(true)
	c.interrupt()
}

// interrupt ends what waits, for good: gone, closed or shut is set.
func (c *Conn) interrupt() {
	for _, l := range []*lane{&c.in, &c.out} {
		l.over.Store(true)
		c.bell.kick(l)
	}
}

// CloseWrite ends what this end writes: the peer reads io.EOF behind it. A Write
// that waits fails. Reading goes on.
func (c *Conn) CloseWrite() error { return c.fail("close", c.closeWrite()) }

func (c *Conn) closeWrite() error {
	c.shut.Store(true)
	c.out.over.Store(true)
	c.bell.kick(&c.out)
	c.out.Lock()
	defer c.out.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	if err := c.memory.out.Close(); err != nil {
		return nil // done before
	}
	return c.notify(&c.out)
}

// Close ends the connection. Calls that wait fail with net.ErrClosed. The peer can
// read what was written.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.fail("close", net.ErrClosed)
	}
	c.interrupt()
	c.in.Lock() // they end at once: nobody waits any more
	c.out.Lock()
	c.memory.out.Close()
	c.memory.in.Close()
	c.memory.space.Leave()
	err := c.memory.unmap()
	c.out.Unlock()
	c.in.Unlock()
	c.in.until.set(time.Time{})
	c.out.until.set(time.Time{})
	err = errors.Join(err, c.bell.socket.Close(), c.line.Close())
	<-c.watched
	return c.fail("close", err)
}

// LocalAddr is an [Addr].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is an [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Peer is who is at the other end.
func (c *Conn) Peer() Credentials { return c.peer }

// SetDeadline sets when Read and Write fail with os.ErrDeadlineExceeded, those
// that wait already too. The zero time is never.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.in, &c.out) }

// SetReadDeadline is SetDeadline for Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.in) }

// SetWriteDeadline is SetDeadline for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.out) }

func (c *Conn) setDeadline(t time.Time, lanes ...*lane) error {
	if c.closed.Load() {
		return c.fail("set", net.ErrClosed)
	}
	for _, l := range lanes {
		l.until.set(t)
	}
	return nil
}

// fail is err as callers of a net.Conn expect it.
func (c *Conn) fail(op string, err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return err
	}
	return opError(op, c.local, c.remote, err)
}

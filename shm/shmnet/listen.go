package shmnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

// listener is a Unix listener whose connections get memory.
type listener struct {
	address Addr
	buffer  int // the largest that a dialer may choose
	socket  *net.UnixListener

	// A place is taken by who connects and given back when Accept hands the
	// connection out, or the greeting fails: that many wait at most, and the others in
	// the kernel's queue.
	places chan struct{}
	made   chan *Conn
	failed chan error // of the socket's accept

	ctx     context.Context // until Close
	end     context.CancelFunc
	workers sync.WaitGroup
}

const (
	// backlog is how many connections wait for Accept at most, answered already.
	backlog = 128
	// patience is how long a dialer may take to greet.
	patience = 5 * time.Second
)

// Listen listens at a Unix socket, which it makes: EADDRINUSE where the path is
// there already, left behind perhaps by a process that was killed. Who may connect
// is for the permissions of the path to say, and of the directories above it.
// Close removes the path.
//
// The connections that Accept answers are *Conn.
func (o Options) Listen(address string) (net.Listener, error) {
	l, err := o.listen(address)
	if err != nil {
		return nil, opError("listen", nil, Addr(address), err)
	}
	return l, nil
}

func (o Options) listen(address string) (*listener, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	// What a connection needs is tried once: a platform that lacks it says so here.
	m, fd, err := createMemory(o.Buffer, func() bool { return true })
	if err != nil {
		return nil, err
	}
	sys.Close(fd)
	if err := m.unmap(); err != nil {
		return nil, err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, cause(err)
	}
	l := &listener{
		address: Addr(address), buffer: max(o.Buffer, takenBuffer), socket: socket,
		places: make(chan struct{}, backlog), made: make(chan *Conn, backlog), failed: make(chan error),
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.workers.Go(l.serve)
	return l, nil
}

// Accept answers the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.made:
		<-l.places
		return c, nil
	case err := <-l.failed:
		return nil, opError("accept", nil, l.address, err)
	case <-l.ctx.Done():
		return nil, opError("accept", nil, l.address, net.ErrClosed)
	}
}

// Addr is the address that was given to Listen, an [Addr].
func (l *listener) Addr() net.Addr { return l.address }

// Close ends listening, and closes the connections that Accept has not answered.
func (l *listener) Close() error {
	l.end()
	err := l.socket.Close()
	l.workers.Wait()
	for {
		select {
		case c := <-l.made:
			c.Close()
		default:
			if err != nil {
				return opError("close", nil, l.address, cause(err))
			}
			return nil
		}
	}
}

// serve accepts until the socket is closed.
func (l *listener) serve() {
	for {
		select {
		case l.places <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		socket, err := l.socket.AcceptUnix()
		if err == nil {
			l.workers.Go(func() { l.welcome(socket) })
			continue
		}
		<-l.places
		select {
		case l.failed <- cause(err):
		case <-l.ctx.Done():
			return
		}
	}
}

// welcome makes a connection with one who has connected. One who does not know how
// to greet is turned away; nobody hears of it.
func (l *listener) welcome(socket *net.UnixConn) {
	socket.SetDeadline(time.Now().Add(patience))
	// After that, so that it stays: Close waits for this call.
	stop := context.AfterFunc(l.ctx, func() { socket.SetDeadline(past) })
	c, err := l.greeted(socket)
	// Before anybody has it: Close must not end what Accept has answered.
	if !stop() && err == nil {
		c.Close()
		err = net.ErrClosed
	}
	if err != nil {
		socket.Close()
		<-l.places
		return
	}
	l.made <- c // it has a place
}

func (l *listener) greeted(socket *net.UnixConn) (*Conn, error) {
	fd, line, err := receive(socket)
	if err != nil {
		return nil, err
	}
	defer sys.Close(fd)
	c := &Conn{local: l.address}
	m, err := openMemory(fd, l.buffer, func() bool { return !c.gone.Load() })
	if err == nil {
		if _, err = socket.Write([]byte(answer)); err == nil {
			err = socket.SetDeadline(time.Time{})
		}
	}
	if err != nil {
		sys.Close(line)
		return nil, errors.Join(err, m.unmap())
	}
	if err = c.begin(socket, line, m); err != nil {
		return nil, errors.Join(err, m.unmap())
	}
	return c, nil
}

// receive is the descriptors that came with the greeting.
func receive(socket *net.UnixConn) (memory, line int, err error) {
	said, control := make([]byte, len(greeting)), make([]byte, sys.RightsSpace(2))
	n, oobn, _, _, err := socket.ReadMsgUnix(said, control)
	if err != nil {
		return -1, -1, err
	}
	fds, err := sys.Received(control[:oobn])
	switch {
	case err != nil:
	case string(said[:n]) != greeting || len(fds) != 2:
		err = fmt.Errorf("a greeting of %q with %d descriptors: %w", said[:n], len(fds), errNoPeer)
	case !sys.IsUnixStream(fds[1]):
		err = fmt.Errorf("a greeting with a line that is no Unix socket: %w", errNoPeer)
	}
	if err != nil {
		for _, fd := range fds {
			sys.Close(fd)
		}
		return -1, -1, err
	}
	return fds[0], fds[1], nil
}

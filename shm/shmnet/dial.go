package shmnet

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/memwright/mmap/internal/sys"
)

// What both sides say to each other on the socket before the memory is theirs:
// the dialer its greeting, with the descriptors of the memory and of the other end
// of a line, and the listener that it takes part. Who does not agree closes.
const (
	greeting = "shmnet02"
	answer   = "shmnetok"
)

// DialContext connects to a listener. It fails with errno ECONNREFUSED or ENOENT
// where nobody listens, and when ctx ends before the listener's process has
// answered; it does not wait for Accept.
func (o Options) DialContext(ctx context.Context, address string) (net.Conn, error) {
	c, err := o.dial(ctx, address)
	if err != nil {
		return nil, opError("dial", nil, Addr(address), err)
	}
	return c, nil
}

func (o Options) dial(ctx context.Context, address string) (*Conn, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	c := &Conn{remote: Addr(address)}
	m, fd, err := createMemory(o.Buffer, func() bool { return !c.gone.Load() })
	if err != nil {
		return nil, err
	}
	defer sys.Close(fd)
	line, theirs, err := sys.SocketPair()
	if err != nil {
		return nil, errors.Join(err, m.unmap())
	}
	defer sys.Close(theirs)
	socket, err := greet(ctx, address, fd, theirs)
	if err != nil {
		sys.Close(line)
		return nil, errors.Join(err, m.unmap())
	}
	if err = c.begin(socket, line, m); err != nil {
		socket.Close()
		return nil, errors.Join(err, m.unmap())
	}
	return c, nil
}

// greet connects, hands the memory and an end of the line over, and waits for the
// answer.
func greet(ctx context.Context, address string, memory, line int) (*net.UnixConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", address)
	if err != nil {
		return nil, cause(err)
	}
	socket := conn.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(past) })
	_, _, err = socket.WriteMsgUnix([]byte(greeting), sys.Rights(memory, line), nil)
	said := make([]byte, len(answer))
	if err == nil {
		_, err = io.ReadFull(socket, said)
	}
	switch {
	case !stop() || ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = errors.Join(errNoPeer, cause(err))
	case string(said) != answer:
		err = errNoPeer
	default:
		return socket, nil
	}
	socket.Close()
	return nil, err
}

// cause is what an error of package net is about, without the addresses: they are
// told already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

package shmnet

import (
	"context"
	"fmt"
	"io/fs"
	"math/bits"
	"net"
)

// Options say how connections are made. The zero value is ready to use.
type Options struct {
	// Buffer is how long a message can be on its way whole in each direction, in
	// bytes, a power of two from 4 KiB to 1 GiB, or to 512 MiB where an int has 32
	// bits; 64 KiB if it is 0. What a protocol puts around it has room beside it, some
	// 1 KiB. The dialer chooses, and reserves the memory. A listener refuses dialers
	// who want more than 1 MiB or its own Buffer, whichever is larger.
	Buffer int
}

const (
	leastBuffer   = 4 << 10
	defaultBuffer = 64 << 10
	takenBuffer   = 1 << 20
	mostBuffer    = 1 << 30
)

func (o *Options) defaults() error {
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	if o.Buffer < leastBuffer || o.Buffer > mostBuffer || bits.OnesCount(uint(o.Buffer)) != 1 {
		return fmt.Errorf("a buffer of %d bytes, not a power of two from 4 KiB to 1 GiB: %w", o.Buffer, fs.ErrInvalid)
	}
	return nil
}

// Listen is Options{}.Listen.
func Listen(address string) (net.Listener, error) { return Options{}.Listen(address) }

// Dial is DialContext without an end.
func Dial(address string) (net.Conn, error) {
	return Options{}.DialContext(context.Background(), address)
}

// DialContext is Options{}.DialContext.
func DialContext(ctx context.Context, address string) (net.Conn, error) {
	return Options{}.DialContext(ctx, address)
}

// An Addr is the address of a Unix socket: a path, or "@" and a name that stands
// in no file system (unix(7)). It is empty at the end that nobody has named.
type Addr string

// Network is "shm".
func (a Addr) Network() string { return "shm" }

// String is the address as it was given.
func (a Addr) String() string { return string(a) }

// opError is err as the packages that know net.Conn expect it.
func opError(op string, source, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "shm", Source: source, Addr: addr, Err: err}
}

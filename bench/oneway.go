package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudwego/shmipc-go"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/ring"
	"golang.org/x/sys/unix"
)

// receiveArg makes this program the process that messages are sent to:
//
//	bench receive-messages COURIER BYTES COUNT
//
// Descriptor 3 is where they come from. On descriptor 4 it answers a byte when
// COUNT messages have come.
const receiveArg = "receive-messages"

// A courier is how messages go from one process to another.
type courier struct {
	key, name string
	// offer makes what the receiver gets as descriptor 3. connect, called when the
	// receiver has been started, answers how count messages p are sent.
	offer func() (theirs *os.File, connect func(count int, p []byte) (send func() error, err error), close func() error, err error)
	// receive is the receiver's: next waits for a message, and answers where it lies
	// until the next call.
	receive func(f *os.File, size int) (next func() ([]byte, error), err error)
}

var couriers = []courier{
	{"socket", "Unix socket: Write, io.ReadFull of a bufio.Reader", offerSocket, fromReader},
	{"pipe", "pipe: Write, io.ReadFull of a bufio.Reader", offerPipe, fromReader},
	{"shmipc", "cloudwego/shmipc-go v0.2.0: WriteBytes and Flush, ReadBytes", offerShmipc, fromShmipc},
	{"ring", "this module: ring.Ring, Send, Next", offerRing(sendOne), fromRing},
	{"inplace", "this module: ring.Ring, Reserve and Commit, Next", offerRing(sendInPlace), fromRing},
	{"batch", "this module: ring.Ring, SendBatch of 16, Next", offerRing(sendBatches), fromRing},
	{"stream", "this module: ring.Stream, Write, Read", offerStream, fromStream},
	{"streaminplace", "this module: ring.Stream, Write, TryNext and Release", offerStream, fromStreamInPlace},
}

// oneWay: count messages of size bytes go to another process, which looks at the
// first and the last byte of each, and answers when all have come.
func oneWay(size, count int) (table, error) {
	t := table{title: fmt.Sprintf("%d messages of %d bytes to another process, and its answer that all have come", count, size)}
	t.notes = func(t *table) []string {
		list := []string{"For one message:"}
		for _, r := range t.rows {
			ns := quantile(slices.Sorted(slices.Values(r.ns)), 0.5) / float64(count)
			list = append(list, fmt.Sprintf("- %s: %.0f ns, %.2f GB/s", r.name, ns, float64(size)/ns))
		}
		return []string{strings.Join(list, "\n")}
	}
	for _, w := range couriers {
		send, end, err := w.start(size, count)
		t.close = append(t.close, end...)
		if err != nil {
			return t, fmt.Errorf("%s: %w", w.name, err)
		}
		t.rows = append(t.rows, row{name: w.name, op: send})
	}
	return t, nil
}

// start starts a receiver. send sends count messages and waits for the answer.
func (w *courier) start(size, count int) (send func() error, end []func() error, err error) {
	theirs, connect, closeOurs, err := w.offer()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	answers, theirAnswers, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer theirAnswers.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self, receiveArg, w.key, strconv.Itoa(size), strconv.Itoa(count))
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs, theirAnswers}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	end = []func() error{closeOurs, answers.Close, cmd.Process.Kill, cmd.Wait}
	all, err := connect(count, pattern(size))
	if err != nil {
		return nil, end, err
	}
	b := make([]byte, 1)
	return func() error {
		if err := all(); err != nil {
			return err
		}
		_, err := io.ReadFull(answers, b)
		return err
	}, end, nil
}

// receive is the receiver.
func receive(args []string) error {
	size, err1 := strconv.Atoi(args[1])
	count, err2 := strconv.Atoi(args[2])
	i := slices.IndexFunc(couriers, func(w courier) bool { return w.key == args[0] })
	if err := errors.Join(err1, err2); err != nil || i < 0 {
		return fmt.Errorf("receive %v: %v", args, err)
	}
	if err := unix.SetNonblock(3, true); err != nil { // so that the runtime polls it
		return err
	}
	next, err := couriers[i].receive(os.NewFile(3, "messages"), size)
	if err != nil {
		return err
	}
	answers := os.NewFile(4, "answers")
	p := pattern(size)
	for {
		for range count {
			b, err := next()
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if len(b) != size || b[0] != p[0] || b[size-1] != p[size-1] {
				return fmt.Errorf("a message of %d bytes, not %d, or other bytes", len(b), size)
			}
		}
		if _, err := answers.Write([]byte{1}); err != nil {
			return err
		}
	}
}

// times is count calls.
func times(count int, f func() error) func() error {
	return func() error {
		for range count {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
}

type connector = func(count int, p []byte) (func() error, error)

func writing(w io.Writer) connector {
	return func(count int, p []byte) (func() error, error) {
		return times(count, func() error { _, err := w.Write(p); return err }), nil
	}
}

func offerSocket() (*os.File, connector, func() error, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "socket")
	defer f.Close()
	ours, err := net.FileConn(f)
	return os.NewFile(uintptr(fds[1]), "socket"), writing(ours), ours.Close, err
}

func offerPipe() (*os.File, connector, func() error, error) {
	r, w, err := os.Pipe()
	return r, writing(w), w.Close, err
}

// fromReader reads from a socket or a pipe: as a program does that gets many small
// messages, through a buffer.
func fromReader(f *os.File, size int) (func() ([]byte, error), error) {
	var from io.Reader = f
	if conn, err := net.FileConn(f); err == nil {
		from = conn
	}
	buffered := bufio.NewReaderSize(from, 64<<10)
	b := make([]byte, size)
	return func() ([]byte, error) { _, err := io.ReadFull(buffered, b); return b, err }, nil
}

// shmipcConfig is its own benchmark's.
func shmipcConfig(c *shmipc.Config) {
	c.QueueCap = 65535
	c.ShareMemoryBufferCap = 256 << 20
	c.MemMapType = shmipc.MemMapTypeMemFd
	c.LogOutput = io.Discard
	shmipc.SetLogLevel(5) // none
}

func offerShmipc() (*os.File, connector, func() error, error) {
	addr := fmt.Sprintf("@mmap-bench-%d", os.Getpid())
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: addr, Net: "unix"})
	if err != nil {
		return nil, nil, nil, err
	}
	theirs, err := ln.File()
	if err != nil {
		return nil, nil, nil, err
	}
	var manager *shmipc.SessionManager
	connect := func(count int, p []byte) (func() error, error) {
		conf := shmipc.DefaultSessionManagerConfig()
		shmipcConfig(conf.Config)
		conf.Network, conf.Address, conf.SessionNum = "unix", addr, 1
		conf.Config.BufferSliceSizes = []*shmipc.SizePercentPair{{Size: uint32(len(p)) + 256, Percent: 70}, {Size: 16 << 10, Percent: 20}, {Size: 64 << 10, Percent: 10}}
		var err error
		if manager, err = shmipc.NewSessionManager(conf); err != nil {
			return nil, err
		}
		stream, err := manager.GetStream()
		if err != nil {
			return nil, err
		}
		return times(count, func() error {
			if _, err := stream.BufferWriter().WriteBytes(p); err != nil {
				return err
			}
			return stream.Flush(false)
		}), nil
	}
	return theirs, connect, func() error {
		var err error
		if manager != nil {
			err = manager.Close()
		}
		return errors.Join(err, ln.Close())
	}, nil
}

func fromShmipc(f *os.File, size int) (func() ([]byte, error), error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	conn, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	conf := shmipc.DefaultConfig()
	shmipcConfig(conf)
	session, err := shmipc.Server(conn, conf)
	if err != nil {
		return nil, err
	}
	stream, err := session.AcceptStream()
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		stream.BufferReader().ReleasePreviousRead()
		return stream.BufferReader().ReadBytes(size)
	}, nil
}

// The ring of the rows: 4 MiB of slots, and as much as one message of 1 MiB needs.
var ringShape = ring.Options{Slots: 1 << 16}

// offerSegment makes a segment with room for size bytes, to hand over.
func offerSegment(size int) (*shm.Segment, *os.File, error) {
	seg, err := shm.Anonymous(size, shm.Options{})
	if err != nil {
		return nil, nil, err
	}
	theirs, err := seg.File()
	return seg, theirs, err
}

func offerRing(how func(p *ring.Producer, count int, b []byte) func() error) func() (*os.File, connector, func() error, error) {
	return func() (*os.File, connector, func() error, error) {
		size, err := ringShape.Size()
		if err != nil {
			return nil, nil, nil, err
		}
		seg, theirs, err := offerSegment(size)
		if err != nil {
			return nil, nil, nil, err
		}
		r, err := ring.Create(seg.Space(), seg.DataStart(), ringShape)
		if err != nil {
			return nil, nil, nil, err
		}
		return theirs, func(count int, b []byte) (func() error, error) {
			p, err := r.NewProducer()
			return how(p, count, b), err
		}, seg.Close, nil
	}
}

func sendOne(p *ring.Producer, count int, b []byte) func() error {
	return times(count, func() error { return p.Send(context.Background(), b) })
}

// sendInPlace fills the record where it lies, with the same work as a copy.
func sendInPlace(p *ring.Producer, count int, b []byte) func() error {
	return times(count, func() error {
		v, err := p.Reserve(context.Background(), len(b))
		if err != nil {
			return err
		}
		return v.Commit(copy(v.Bytes(), b))
	})
}

func sendBatches(p *ring.Producer, count int, b []byte) func() error {
	batch := slices.Repeat([][]byte{b}, 16)
	return func() error {
		for n := count; n > 0; n -= len(batch) {
			if _, err := p.SendBatch(context.Background(), batch[:min(n, len(batch))]...); err != nil {
				return err
			}
		}
		return nil
	}
}

func fromRing(f *os.File, _ int) (func() ([]byte, error), error) {
	seg, err := shm.Attach(f, shm.Options{})
	if err != nil {
		return nil, err
	}
	r, err := ring.Open(seg.Space(), seg.DataStart(), ring.Options{})
	if err != nil {
		return nil, err
	}
	c, err := r.NewConsumer()
	if err != nil {
		return nil, err
	}
	var v ring.Record
	return func() ([]byte, error) {
		if v.Bytes() != nil {
			if err := v.Release(); err != nil {
				return nil, err
			}
		}
		v, err = c.Next(context.Background())
		return v.Bytes(), err
	}, nil
}

func offerStream() (*os.File, connector, func() error, error) {
	const bytes = 4 << 20
	size, err := ring.StreamSize(bytes)
	if err != nil {
		return nil, nil, nil, err
	}
	seg, theirs, err := offerSegment(size)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := ring.CreateStream(seg.Space(), seg.DataStart(), bytes)
	if err != nil {
		return nil, nil, nil, err
	}
	w, err := s.Writer()
	return theirs, func(count int, p []byte) (func() error, error) {
		return times(count, func() error { _, err := w.Write(context.Background(), p); return err }), nil
	}, seg.Close, err
}

func streamReader(f *os.File) (*ring.StreamReader, error) {
	seg, err := shm.Attach(f, shm.Options{})
	if err != nil {
		return nil, err
	}
	s, err := ring.OpenStream(seg.Space(), seg.DataStart())
	if err != nil {
		return nil, err
	}
	return s.Reader()
}

func fromStream(f *os.File, size int) (func() ([]byte, error), error) {
	r, err := streamReader(f)
	b := make([]byte, size)
	return func() ([]byte, error) {
		for n := 0; n < size; {
			m, err := r.Read(context.Background(), b[n:])
			if err != nil {
				return nil, err
			}
			n += m
		}
		return b, nil
	}, err
}

// fromStreamInPlace looks at a message where it lies, as the receiver of a ring
// does: in pieces, of which it keeps the first and the last byte.
func fromStreamInPlace(f *os.File, size int) (func() ([]byte, error), error) {
	r, err := streamReader(f)
	b := make([]byte, size)
	return func() ([]byte, error) {
		for n := 0; n < size; {
			p, err := r.TryNext(size - n)
			if err == ring.ErrEmpty {
				err = r.Wait(context.Background())
				if err == nil {
					continue
				}
			}
			if err != nil {
				return nil, err
			}
			b[n], b[n+len(p)-1] = p[0], p[len(p)-1]
			n += len(p)
			if err := r.Release(len(p)); err != nil {
				return nil, err
			}
			if _, err := r.Notify(); err != nil {
				return nil, err
			}
		}
		return b, nil
	}, err
}

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap"
)

// Two processes hand a number to and fro, in three ways: through a shared
// mapping, through pipes, and through read and write of a file. What is timed
// is a round trip.

func init() { children["compare-partner"] = partner }

const (
	partnerPatience = 20 * time.Second // a partner alone ends by itself
	lastNumber      = 1<<32 - 1        // tells the partner to end
)

// A channel hands a number over and waits for the other side's.
type channel interface {
	send(n uint32) error
	// await waits for a number that is not last.
	await(last uint32) (uint32, error)
	io.Closer
}

// partner is the child's side: it answers each number with the same one.
func partner(args []string) int {
	if len(args) != 2 {
		return 2
	}
	ch, err := openChannel(args[0], args[1], os.Stdin, os.Stdout, true)
	if err != nil {
		return 1
	}
	defer ch.Close()
	for last := uint32(0); ; {
		n, err := ch.await(last)
		if err != nil {
			return 1
		}
		if n == lastNumber {
			return 0
		}
		if ch.send(n) != nil {
			return 1
		}
		last = n
	}
}

// exchange times round trips with a partner process for about the time given.
func exchange(ctx context.Context, kind, path string, about time.Duration) (trips []float64, err error) {
	self, err := executable()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, self, childEntry, "compare-partner", kind, path)
	stdin, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, child.Wait()) }()
	defer stdin.Close()
	ch, err := openChannel(kind, path, stdout, stdin, false)
	if err != nil {
		return nil, err
	}
	defer ch.Close()
	defer func() { err = errors.Join(err, ch.send(lastNumber)) }()
	begin := time.Now()
	for n := uint32(1); time.Since(begin) < about && ctx.Err() == nil; n++ {
		start := time.Now()
		if err := ch.send(n); err != nil {
			return nil, err
		}
		got, err := ch.await(n - 1)
		if err != nil {
			return nil, err
		}
		if got != n {
			return nil, errors.New("the partner answered another number")
		}
		if n > 1 { // the first trip waits for the partner to start
			trips = append(trips, float64(time.Since(start).Nanoseconds()))
		} else {
			begin = time.Now()
		}
	}
	slices.Sort(trips)
	return trips, nil
}

func openChannel(kind, path string, in io.Reader, out io.Writer, child bool) (channel, error) {
	mine, theirs := 0, 1 // which word is whose, counted in words of 64 bytes
	if child {
		mine, theirs = theirs, mine
	}
	switch kind {
	case "memory":
		m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
		if err != nil {
			return nil, err
		}
		words, err := mmap.Slice[uint32](m, 0, 32)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		return &memoryChannel{m, &words[16*mine], &words[16*theirs]}, nil
	case "file":
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		return &fileChannel{f, int64(64 * mine), int64(64 * theirs)}, nil
	}
	return &pipeChannel{in, out}, nil
}

// memoryChannel: two words that both processes map. Nobody calls the kernel.
type memoryChannel struct {
	*mmap.Mapping
	mine, theirs *uint32
}

func (c *memoryChannel) send(n uint32) error { atomic.StoreUint32(c.mine, n); return nil }

func (c *memoryChannel) await(last uint32) (uint32, error) {
	return spin(last, func() (uint32, error) { return atomic.LoadUint32(c.theirs), nil })
}

// fileChannel: the same two words, by pwrite and pread.
type fileChannel struct {
	*os.File
	mine, theirs int64
}

func (c *fileChannel) send(n uint32) error {
	_, err := c.WriteAt(binary.LittleEndian.AppendUint32(nil, n), c.mine)
	return err
}

func (c *fileChannel) await(last uint32) (uint32, error) {
	var word [4]byte
	return spin(last, func() (uint32, error) {
		_, err := c.ReadAt(word[:], c.theirs)
		return binary.LittleEndian.Uint32(word[:]), err
	})
}

// spin looks until the number changes. It lets others run now and then, so
// that it ends on one processor too.
func spin(last uint32, look func() (uint32, error)) (uint32, error) {
	start := time.Now()
	for i := 1; ; i++ {
		if n, err := look(); err != nil || n != last {
			return n, err
		}
		if i%4096 == 0 {
			if time.Since(start) > partnerPatience {
				return 0, errors.New("the partner does not answer")
			}
			if runtime.NumCPU() == 1 {
				time.Sleep(time.Microsecond)
			}
		}
	}
}

// pipeChannel: a message each way.
type pipeChannel struct {
	in  io.Reader
	out io.Writer
}

func (c *pipeChannel) send(n uint32) error {
	_, err := c.out.Write(binary.LittleEndian.AppendUint32(nil, n))
	return err
}

func (c *pipeChannel) await(uint32) (uint32, error) {
	var word [4]byte
	_, err := io.ReadFull(c.in, word[:])
	return binary.LittleEndian.Uint32(word[:]), err
}

func (c *pipeChannel) Close() error { return nil }

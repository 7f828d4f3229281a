package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/ring"
	"golang.org/x/sys/unix"
)

// How long a process is held up at most by another with which it shares a ring or a
// lock, while both have one processor to the Go scheduler and collect garbage all
// the time: a wait in the kernel that kept that processor, or the collector from
// running, would show as a long one.

func init() {
	servers["ringecho"] = ringEchoServer
	clients["ringecho"] = ringEchoClient
	for name, make := range contended {
		servers[name] = func(l load) error { return l.contend(make) }
		clients[name] = func(l load) ([]float64, error) { return l.contender(make) }
	}
}

// A shared lock, as a process has it.
type lock struct{ lock, unlock func() error }

// contended is the ways to lock what another process locks too.
var contended = map[string]func(l load) (lock, error){
	"flock": func(l load) (lock, error) {
		f, err := os.OpenFile(l.segment()+"-lock", os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return lock{}, err
		}
		how := func(how int) func() error {
			return func() (err error) {
				for err = unix.EINTR; err == unix.EINTR; {
					err = unix.Flock(int(f.Fd()), how)
				}
				return err
			}
		}
		return lock{how(unix.LOCK_EX), how(unix.LOCK_UN)}, nil
	},
	"mutex": func(l load) (lock, error) {
		s, off, err := l.placed(func(s *shm.Segment) int { return 64 })
		if err != nil {
			return lock{}, err
		}
		mu, err := s.Space().Mutex(off)
		return lock{func() error { return mu.Lock(background) }, func() error { return mu.Unlock() }}, err
	},
	"rwmutex": func(l load) (lock, error) {
		s, off, err := l.placed(func(s *shm.Segment) int { return s.Space().RWMutexBytes() })
		if err != nil {
			return lock{}, err
		}
		rw, err := s.Space().RWMutex(off)
		return lock{func() error { return rw.Lock(background) }, func() error { return rw.Unlock() }}, err
	},
}

// segment is the name of what the two processes share.
func (l load) segment() string { return filepath.Join(shm.Directory, l.Address[1:]) }

// placed is the object that both processes use, in a segment that both attach to.
func (l load) placed(size func(*shm.Segment) int) (*shm.Segment, int64, error) {
	s, err := shm.OpenOrCreate(l.segment(), 1<<20, shm.Options{})
	if err != nil {
		return nil, 0, err
	}
	off, err := s.Place(background, shm.Object{Name: "shared", Size: size(s)})
	return s, off, err
}

// held is how long a lock is held.
const held = time.Microsecond

func (k lock) use() error {
	if err := k.lock(); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < held; {
	}
	return k.unlock()
}

// contend uses the lock until the client has finished, with pauses as long as it
// holds it.
func (l load) contend(make func(load) (lock, error)) error {
	k, err := make(l)
	if err != nil {
		return err
	}
	defer os.Remove(l.segment())
	defer os.Remove(l.segment() + "-lock")
	var over atomic.Bool
	failed := beside1(func() error {
		for !over.Load() {
			if err := k.use(); err != nil {
				return err
			}
			for began := time.Now(); time.Since(began) < held; {
			}
		}
		return nil
	})
	return errors.Join(l.untilStdin(func() error { over.Store(true); return nil }), <-failed)
}

// beside1 runs f beside, and answers how it ends.
func beside1(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	return ended
}

func (l load) contender(make func(load) (lock, error)) ([]float64, error) {
	k, err := make(l)
	if err != nil {
		return nil, err
	}
	return l.measure(k.use)
}

var echoShape = ring.Options{Slots: 64, SlotBytes: 4096}

// rings is the ring to the server and the ring back.
func (l load) rings() (there, back *ring.Ring, err error) {
	size, err := echoShape.Size()
	if err != nil {
		return nil, nil, err
	}
	s, err := shm.OpenOrCreate(l.segment(), 2*size+4096, shm.Options{})
	if err != nil {
		return nil, nil, err
	}
	for name, r := range map[string]**ring.Ring{"there": &there, "back": &back} {
		off, err := s.Place(background, shm.Object{Name: name, Size: size, Align: 128,
			Init: func(off int64) error { _, err := ring.Create(s.Space(), off, echoShape); return err }})
		if err == nil {
			*r, err = ring.Open(s.Space(), off, echoShape)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return there, back, nil
}

func ends(from, to *ring.Ring) (*ring.Consumer, *ring.Producer, error) {
	c, err1 := from.NewConsumer()
	p, err2 := to.NewProducer()
	return c, p, errors.Join(err1, err2)
}

func ringEchoServer(l load) error {
	there, back, err := l.rings()
	if err != nil {
		return err
	}
	defer os.Remove(l.segment())
	c, p, err := ends(there, back)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, l.Bytes)
		for {
			n, err := c.Recv(background, b)
			if err == nil {
				err = p.Send(background, b[:n])
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				return
			}
		}
	}()
	return l.untilStdin(func() error { return nil })
}

func ringEchoClient(l load) ([]float64, error) {
	there, back, err := l.rings()
	if err != nil {
		return nil, err
	}
	c, p, err := ends(back, there)
	if err != nil {
		return nil, err
	}
	b := make([]byte, l.Bytes)
	return l.measure(func() error {
		if err := p.Send(background, b); err != nil {
			return err
		}
		_, err := c.Recv(background, b)
		return err
	})
}

// longest is the longest of all rounds: what the rounds' medians do not tell.
func longest(t *trial) (lines []string) {
	for _, r := range t.rows {
		lines = append(lines, fmt.Sprintf("%s: at most %.3g ms, in %d rounds.", r.name, slices.Max(r.got[3])/1e3, len(r.got[3])))
	}
	return lines
}

// stalls is the tables of hold-ups.
func stalls(trials func(func(string) (trial, error)) func(settings, string) (report, error)) []entry {
	table := func(key, title string, messages int, rows map[string]load, order ...string) entry {
		return entry{key, true, trials(func(string) (trial, error) {
			t := trial{title: title + ", GOMAXPROCS 1 and a collection every 10 ms in both", columns: roundTrip, ratio: true, notes: longest}
			for _, name := range order {
				l := rows[name]
				l.Messages, l.Procs, l.Collect = messages, 1, 10*time.Millisecond
				t.rows = append(t.rows, trialRow{name: name, run: l.run})
			}
			return t, nil
		})}
	}
	const socket, rings = "Unix socket: Write, Read", "this module: ring.Ring, Send, Recv"
	const flock, mutex, rwmutex = "flock(2): LOCK_EX, LOCK_UN", "this module: shmsync.Mutex, Lock, Unlock", "this module: shmsync.RWMutex, Lock, Unlock"
	return []entry{
		table("stallring", "4 KiB to another process and back", 200000, map[string]load{
			socket: {Client: "echo", Server: "echo", Bytes: 4 << 10},
			rings:  {Client: "ringecho", Server: "ringecho", Bytes: 4 << 10},
		}, socket, rings),
		table("stalllock", "A lock that is held for 1 us, and wanted by another process as long after", 1000000, map[string]load{
			flock:   {Client: "flock", Server: "flock"},
			mutex:   {Client: "mutex", Server: "mutex"},
			rwmutex: {Client: "rwmutex", Server: "rwmutex"},
		}, flock, mutex, rwmutex),
	}
}

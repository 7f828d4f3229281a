//go:build steps

package shmnet

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/model"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/ring"
)

// A watch is one run of a model: an end of a connection, whose lanes and bell are the
// real ones, and a peer that is as few steps as it can be. Who calls on this end waits
// until its peer has given so much as it wants.
type watch struct {
	*model.World
	bell   bell
	read   quay // the lane in
	write  quay // the lane out
	socket harbour
	calls  map[string]*quay // who waits, by process

	kicks int // that were given
	rings int
}

// A quay is a lane, and its ring: how much the peer has given, and how we want to be
// woken.
type quay struct {
	lane
	given word.U32
	armed word.U32
	taken uint32 // of that
	ended int    // calls that a deadline has ended
}

func (q *quay) Arm(how ring.Wake)     { q.armed.Store(uint32(how)) }
func (q *quay) Armed() ring.Wake      { return ring.Wake(q.armed.Load()) }
func (q *quay) Notify() (bool, error) { return false, nil }

// A harbour stands in for the bell's socket and the runtime's poller
// (runtime/netpoll.go), as they are for one direction of one descriptor:
//
//   - Each ring that comes is an event, though others lie there unread (epoll(7),
//     EPOLLET). It wakes who waits, or else is remembered, once.
//   - Read forgets what is remembered, and fails at once if the deadline has passed.
//     It asks, and waits between two questions.
//   - A deadline that passes wakes who waits. If it is taken back before that one
//     runs, it waits on.
//
// An event comes together with its ring. One that came later would wake sooner
// somebody who is about to look.
type harbour struct {
	w      *watch
	unread int  // rings that lie in the socket
	ready  bool // an event is remembered
	past   bool // the deadline
	reads  int

	onTheirWay int // rings that a peer is about to send
	late       int // those that were when the socket was emptied last
	most       int // rings that lay there at one time
}

func (h *harbour) SyscallConn() (syscall.RawConn, error) { return h, nil }
func (h *harbour) Close() error                          { return nil }

func (h *harbour) Read(hear func(uintptr) bool) error {
	word.Place("forget events")
	h.reads++
	if h.past {
		return os.ErrDeadlineExceeded
	}
	h.ready = false
	for !hear(0) {
		word.Place("wait for events")
		h.w.Await(func() bool { return h.ready || h.past })
		if h.past {
			return os.ErrDeadlineExceeded
		}
		h.ready = false
	}
	return nil
}

func (h *harbour) SetReadDeadline(t time.Time) error {
	word.Place("set the socket's deadline")
	if h.past = !t.IsZero(); h.past {
		h.w.kicks++
	}
	return nil
}

// Control is to receive what lies there.
func (h *harbour) Control(func(uintptr)) error {
	word.Place("receive")
	h.unread, h.late = 0, h.onTheirWay
	return nil
}

func (h *harbour) Write(func(uintptr) bool) error { panic("nobody rings at the peer here") }

// rung is what the peer's ring does.
func (h *harbour) rung() {
	word.Place("ring")
	h.w.rings++
	h.ready = true
	h.most = max(h.most, h.unread+1)
	h.onTheirWay--
	if h.unread++; h.unread > min(unreadRings, int(h.w.bell.unread.Peek()))+h.late {
		h.w.Failf("%d rings lie in the socket, and %d were counted", h.unread, h.w.bell.unread.Peek())
	}
}

// Step implements word.Stepper. Who follows waits for its token here.
func (w *watch) Step(what string) {
	w.World.Step(what)
	if what == "follow" && w.Current() != nil {
		l := &w.calls[w.Current().Name].lane
		w.Await(func() bool { return len(l.token) == 1 })
	}
}

// call adds a process that waits in a lane until so much was given, or the lane is
// over. A deadline that has passed ends the call, and it is made again.
func (w *watch) call(name string, q *quay, much uint32) {
	w.calls[name] = q
	w.Process(name, func(*model.Process) {
		for q.taken < much && !q.over.Load() {
			if q.until.passed() {
				q.until.at.Store(0)
				q.ended++
				continue
			}
			if g := q.given.Load(); g > q.taken {
				q.taken = g
				continue
			}
			q.wait()
		}
	})
}

// peer adds a process that gives one after the other, and rings where that is wanted.
func (w *watch) peer(name string, gives ...*quay) {
	w.Process(name, func(*model.Process) {
		for _, q := range gives {
			w.give(q)
		}
	})
}

// give is what the peer does, as ring.StreamReader and StreamWriter do it.
func (w *watch) give(q *quay) {
	q.given.Add(1)
	if q.armed.Load() != uint32(ring.WakeNone) && q.armed.Swap(uint32(ring.WakeNone)) == uint32(ring.WakeBell) {
		w.socket.onTheirWay++
		w.socket.rung()
	}
}

// kick adds a process that lets deadlines pass.
func (w *watch) kick(name string, lanes ...*quay) {
	w.Process(name, func(*model.Process) {
		for _, q := range lanes {
			w.expire(q)
		}
	})
}

func (w *watch) expire(q *quay) {
	w.kicks++
	q.until.set(past)
}

// sail goes through the orders of a model's steps, and wants everybody to come home:
// nobody sleeps while there is something for him, nobody leads, and nobody has waited
// more often than there were reasons to.
func sail(t *testing.T, build func(w *watch)) {
	t.Helper()
	schedules, runs, more := 4000, 2000, 0
	if os.Getenv("MMAP_MODEL") != "" {
		schedules, runs, more = 200_000, 200_000, 1
	}
	monitorWoken.Store(1 << 62) // it rests: the model wakes nobody else
	defer monitorWoken.Store(0)
	most := 0
	make := func(world *model.World) {
		w := &watch{World: world, calls: map[string]*quay{}}
		w.socket.w = w
		for _, q := range []*quay{&w.read, &w.write} {
			q.begin(q, &w.bell, func() bool { return q.given.Load() > q.taken })
		}
		if err := w.bell.hang(&w.socket, &w.read.lane, &w.write.lane); err != nil {
			t.Fatal(err)
		}
		word.Install(w)
		build(w)
		w.Check(func() error {
			most = max(most, w.socket.most)
			if n := w.bell.leader.Peek(); n != 0 {
				return fmt.Errorf("lane %d leads still", n)
			}
			if reasons := 2 + 2*(w.rings+w.kicks) + 2*len(w.calls); w.socket.reads > reasons {
				return fmt.Errorf("%d waits for %d rings and %d kicks", w.socket.reads, w.rings, w.kicks)
			}
			return nil
		})
	}
	n := model.Explore(t, model.Options{Preemptions: 2 + more, Runs: schedules}, make)
	k := model.Explore(t, model.Options{Random: true, Runs: runs, Seed: testenv.Seed(t)}, make)
	t.Logf("%d schedules, %d at random; %d rings lay in the socket at most", n, k, most)
}

// TestModelOneLane: what comes around the arming of the word is noticed.
func TestModelOneLane(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 3)
		w.peer("peer", &w.read, &w.read, &w.read)
	})
}

// TestModelTwoLanes: one leads and one follows, in turns.
func TestModelTwoLanes(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 2)
		w.call("write", &w.write, 2)
		w.peer("writer", &w.read, &w.read)
		w.peer("reader", &w.write, &w.write)
	})
}

// TestModelOneEnds: one ends for good while the other waits on.
func TestModelOneEnds(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 1)
		w.call("write", &w.write, 2)
		w.peer("peer", &w.read, &w.write, &w.write)
	})
}

// TestModelManyRings: more come than the socket holds, and who is kicked asks for one
// again though nobody has heard the last.
func TestModelManyRings(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 6)
		w.call("write", &w.write, 6)
		w.kick("deadline", &w.write, &w.write, &w.write, &w.write)
		w.peer("writer", &w.read, &w.read, &w.read, &w.read, &w.read, &w.read)
		w.peer("reader", &w.write, &w.write, &w.write, &w.write, &w.write, &w.write)
	})
}

// TestModelOneAfterTheOther: the peer gives one nothing before the other has got what
// he waits for, or was ended by his deadline. Nobody else wakes him.
func TestModelOneAfterTheOther(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 1)
		w.call("write", &w.write, 1)
		w.Process("peer", func(*model.Process) {
			w.give(&w.write)
			w.Await(func() bool { return w.write.taken == 1 })
			w.give(&w.read)
		})
	})
	sail(t, func(w *watch) {
		w.call("write", &w.write, 1)
		w.call("read", &w.read, 1)
		w.Process("peer", func(*model.Process) {
			for n := range unreadRings + 2 { // armings that bring no rings
				w.expire(&w.write)
				w.Await(func() bool { return w.write.ended == n+1 })
			}
			w.give(&w.write)
			w.Await(func() bool { return w.write.taken == 1 })
			w.give(&w.read)
		})
	})
}

// TestModelNobodyHears: one leads and is slow, and the other, who follows, is rung for
// again and again, and finds out by a deadline.
func TestModelNobodyHears(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("write", &w.write, unreadRings+6)
		w.call("read", &w.read, 1)
		w.Process("peer", func(*model.Process) {
			for n := range unreadRings + 6 {
				w.give(&w.write)
				w.expire(&w.write)
				w.Await(func() bool { return w.write.taken == uint32(n+1) })
			}
			w.give(&w.read)
		})
	})
}

// TestModelDeadlines: they pass while others wait, lead and follow.
func TestModelDeadlines(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 1)
		w.call("write", &w.write, 1)
		w.kick("read's deadline", &w.read, &w.read)
		w.kick("write's deadline", &w.write, &w.write)
		w.peer("peer", &w.write, &w.read)
	})
}

// TestModelClose: nothing comes, and both lanes are over at some time. One deadline
// passes meanwhile.
func TestModelClose(t *testing.T) {
	sail(t, func(w *watch) {
		w.call("read", &w.read, 1)
		w.call("write", &w.write, 2)
		w.peer("peer", &w.write)
		w.kick("deadline", &w.write)
		w.Process("close", func(*model.Process) {
			for _, q := range []*quay{&w.read, &w.write} {
				w.kicks++
				q.over.Store(true)
				w.bell.kick(&q.lane)
			}
		})
	})
}

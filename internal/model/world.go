package model

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/memwright/mmap/internal/word"
)

// A World is one run: some processes, and the choices that order their steps.
type World struct {
	procs    []*Process
	current  *Process
	check    []func() error
	dies     func(p *Process) func()
	choose   func(options int) int
	opt      Options
	switches int // preemptions so far
	crashes  int
	timeouts int
	trace    []string
	failure  string
	over     bool // no process may run any more
}

// A Process is a goroutine that stands for a process.
type Process struct {
	Name   string
	world  *World
	run    func(p *Process)
	grant  chan bool     // true: go on to the next step; false: die
	parked chan struct{} // it has come to a step, or has ended
	state  state
	at     string // what its next step does
	asleep []word.Wait
	until  func() bool // what it sleeps for in Await
	timely bool        // the sleep ended before its time
	passed int         // sleeps that did not
	kernel bool        // it stands for the kernel, and can't be killed
}

type state uint8

const (
	ready    state = iota // at a step, or not begun
	sleeping              // in word.Sleep
	ended                 // its function has returned
	dead                  // killed
)

// Process adds a process that runs f. In f all sharing goes through words.
func (w *World) Process(name string, f func(p *Process)) *Process {
	p := &Process{Name: name, world: w, run: f, grant: make(chan bool), parked: make(chan struct{}), at: "begin"}
	w.procs = append(w.procs, p)
	return p
}

// Dies says what happens when a process is killed: f is called at once, and what
// it returns, unless nil, is run as a process of the kernel's, step by step among
// the others.
func (w *World) Dies(f func(p *Process) func()) { w.dies = f }

// Check adds a check of the world at the end of a run.
func (w *World) Check(f func() error) { w.check = append(w.check, f) }

// Failf ends the run as a failure. It may be called from a process.
func (w *World) Failf(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
	}
}

// Crashes is how many processes have been killed.
func (w *World) Crashes() int { return w.crashes }

// TimedOut is how many sleeps have ended because their time was over, which
// happens only where no process could do anything else. Without a crash there
// should be none: each is a wake-up that got lost.
func (w *World) TimedOut() int { return w.timeouts }

// Dead reports whether p was killed.
func (p *Process) Dead() bool { return p.state == dead }

// Step implements word.Stepper.
func (w *World) Step(what string) {
	p := w.current
	if p == nil {
		return // building, or checking
	}
	p.pause(ready, what)
}

// pause gives control back to the world until it is this process's turn.
func (p *Process) pause(s state, what string) {
	if p.world.over || p.state == dead {
		runtime.Goexit() // a deferred call of one who is dying
	}
	p.state, p.at = s, what
	p.parked <- struct{}{}
	if !<-p.grant {
		runtime.Goexit()
	}
}

// Sleep implements word.Stepper.
func (w *World) Sleep(_ time.Duration, on []word.Wait) (done, timedOut bool) {
	p := w.current
	if p == nil {
		return false, false
	}
	p.pause(ready, "sleep")
	for _, o := range on { // looked at in one moment, as the kernel does
		if o.Word.Peek() != o.Value {
			return true, false
		}
	}
	p.asleep, p.timely = slices.Clone(on), false
	p.pause(sleeping, "sleeping")
	p.asleep = nil
	return true, !p.timely
}

// Current is the process that runs.
func (w *World) Current() *Process { return w.current }

// Await has the current process sleep until what others do makes come true what it
// waits for. It is for stand-ins of what can be waited for beside words: a channel,
// a socket. The sleep has no time-out: where nobody else can do anything any more,
// the run fails.
func (w *World) Await(what func() bool) {
	p := w.current
	for p.until = what; !what(); {
		p.pause(sleeping, "sleeping")
	}
	p.until = nil
}

// Wake implements word.Stepper.
func (w *World) Wake(on *word.U32, n int) (done bool) {
	p := w.current
	if p != nil {
		p.pause(ready, "wake")
	}
	for _, q := range w.procs {
		if n > 0 && q.state == sleeping && slices.ContainsFunc(q.asleep, func(o word.Wait) bool { return o.Word == on }) {
			q.state, q.timely = ready, true
			q.at = "woken"
			n--
		}
	}
	return true
}

// option is one thing that can happen next.
type option struct {
	p     *Process
	crash bool
}

// options lists them, first what costs nothing.
func (w *World) options(last *Process) []option {
	var list []option
	for _, p := range w.procs {
		if p.state == sleeping && p.until != nil && p.until() {
			p.state, p.at = ready, "woken"
		}
	}
	add := func(s state) {
		for _, p := range w.procs {
			if p.state == s && p != last {
				list = append(list, option{p: p})
			}
		}
	}
	switch {
	case last != nil && last.state == ready:
		list = append(list, option{p: last})
		if w.switches < w.opt.Preemptions || w.opt.Random {
			add(ready)
		}
	default:
		add(ready)
	}
	if len(list) == 0 { // nothing can happen but that time passes, for all alike
		least := maxSteps
		for _, p := range w.procs {
			if p.state == sleeping && p.until == nil {
				least = min(least, p.passed)
			}
		}
		for _, p := range w.procs {
			if p.state == sleeping && p.until == nil && p.passed <= least+1 {
				list = append(list, option{p: p})
			}
		}
	}
	if len(list) > 0 && w.crashes < w.opt.Crashes {
		for _, p := range w.procs {
			if (p.state == ready || p.state == sleeping) && !p.kernel {
				list = append(list, option{p, true})
			}
		}
	}
	return list
}

// maxSteps bounds a run: a livelock is a failure.
const maxSteps = 20000

// play runs the world to its end and tells what went wrong.
func (w *World) play() string {
	var last *Process
	for steps := 0; w.failure == ""; steps++ {
		list := w.options(last)
		if len(list) == 0 {
			break
		}
		if steps == maxSteps {
			w.Failf("%d steps, and no end", steps)
			break
		}
		i := 0
		if len(list) > 1 {
			i = w.choose(len(list))
		}
		o := list[i]
		switch {
		case o.crash:
			w.kill(o.p)
			if o.p == last {
				last = nil
			}
			continue
		case o.p.state == sleeping:
			w.timeouts++
			o.p.passed++
			w.note(o.p, "time out")
		case last != nil && last.state == ready && o.p != last:
			w.switches++
		}
		w.resume(o.p)
		last = o.p
	}
	for _, p := range w.procs {
		if p.state == sleeping && w.failure == "" {
			w.Failf("%s sleeps for ever", p.Name)
		}
	}
	w.over = true
	for _, p := range w.procs {
		if p.state == ready || p.state == sleeping {
			w.end(p)
		}
	}
	for _, f := range w.check {
		if w.failure != "" {
			break
		}
		if err := f(); err != nil {
			w.Failf("%v", err)
		}
	}
	return w.failure
}

// resume lets p run up to its next step.
func (w *World) resume(p *Process) {
	w.note(p, p.at)
	begins := p.at == "begin"
	p.state, p.at = ready, ""
	w.current = p
	if begins {
		go p.start()
	} else {
		p.grant <- true
	}
	<-p.parked
	w.current = nil
}

func (p *Process) start() {
	returned := false
	defer func() {
		if r := recover(); r != nil {
			buf := make([]byte, 8192)
			p.world.Failf("%s panicked: %v\n%s", p.Name, r, buf[:runtime.Stack(buf, false)])
		} else if !returned && p.state != dead && !p.world.over {
			p.world.Failf("%s ended in its midst", p.Name)
		}
		if p.state != dead {
			p.state = ended
		}
		p.parked <- struct{}{}
	}()
	p.run(p)
	returned = true
}

// kill ends p where it is. Its deferred calls run, and can touch nothing.
func (w *World) kill(p *Process) {
	w.crashes++
	w.note(p, "KILLED before "+p.at)
	w.end(p)
	if w.dies == nil {
		return
	}
	if f := w.dies(p); f != nil {
		k := w.Process("end of "+p.Name, func(*Process) { f() })
		k.kernel = true
	}
}

func (w *World) end(p *Process) {
	begun := p.at != "begin"
	p.state = dead
	if begun {
		w.current = p
		p.grant <- false
		<-p.parked
		w.current = nil
	}
}

func (w *World) note(p *Process, what string) {
	w.trace = append(w.trace, p.Name+": "+what)
}

// story is the run in words, its last steps.
func (w *World) story() string {
	const most = 150
	from := max(0, len(w.trace)-most)
	return fmt.Sprintf("%d steps before, then\n  %s", from, strings.Join(w.trace[from:], "\n  "))
}

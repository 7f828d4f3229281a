package shmnet

import (
	"sync"
	"sync/atomic"
	"time"
)

var started = time.Now()

// now is a clock that never goes back, in ns, and never 0.
func now() int64 { return int64(time.Since(started)) + 1 }

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// A deadline is when the calls of one direction end.
type deadline struct {
	at    atomic.Int64 // by now's clock; 0: never
	kick  func()       // called when it has passed
	timer struct {
		sync.Mutex
		*time.Timer // calls kick
	}
}

// passed reports whether the deadline is over.
func (d *deadline) passed() bool {
	at := d.at.Load()
	return at != 0 && now() >= at
}

// set moves the deadline to t, or to never.
func (d *deadline) set(t time.Time) {
	d.timer.Lock()
	defer d.timer.Unlock()
	if d.timer.Timer != nil {
		d.timer.Stop()
	}
	if t.IsZero() {
		d.at.Store(0)
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.at.Store(1)
		d.kick()
		return
	}
	// now is read before the timer starts: kick finds the deadline passed. Where
	// the timer was stopped too late, it is called for nothing.
	d.at.Store(now() + min(int64(left), 1<<62))
	if d.timer.Timer == nil {
		d.timer.Timer = time.AfterFunc(left, d.kick)
	} else {
		d.timer.Reset(left)
	}
}

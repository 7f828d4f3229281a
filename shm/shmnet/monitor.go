package shmnet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

// The runtime has a monitor thread that preempts goroutines which run for long.
// It sleeps while the process is idle. A goroutine that the network poller wakes
// does not wake it; the next system call that the runtime hears of does, at the
// price of a thread's wake-up, which is a tenth of a small call's time. Rings are
// not heard of. So that a goroutine that a ring has woken can be preempted, the
// monitor is woken from here, and then not for a while, in which a timer is
// pending: the monitor sleeps no longer than until the next timer.

// monitorRest is how long it is not woken again. The timer lies as long behind it.
const monitorRest = 10 * time.Millisecond

// monitorWoken is when it was, by now's clock; 0: never.
var monitorWoken atomic.Int64

var monitorTimer = sync.OnceValue(func() *time.Timer { return time.AfterFunc(2*monitorRest, func() {}) })

// wakeMonitor has the monitor look within 2 monitorRest, and at each 10 ms from
// then on, for as long as the process is not idle.
func wakeMonitor() {
	t := now()
	if woken := monitorWoken.Load(); woken != 0 && t-woken < int64(monitorRest) {
		return
	}
	monitorTimer().Reset(2 * monitorRest) // first: who finds monitorWoken relies on it
	monitorWoken.Store(t)
	sys.WakeMonitor()
}

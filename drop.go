package mmap

import (
	"runtime"
	"sync/atomic"
)

// A Dropped mapping was found by the collector: nothing refers to it any more,
// and nobody closed it.
type Dropped struct {
	Name   string // the file's
	Len    int    // bytes
	Leaked bool   // it stays mapped, since memory was handed out and may be in use
	Stack  string // what made it; "" if it was made before reports were on
}

var reportDrops atomic.Pointer[func(Dropped)]

// ReportDrops has report called, on the runtime's finalizer goroutine, for each
// mapping that is dropped without Close from now on; nil ends it. While it is on
// each new mapping remembers the stack that made it, which costs about a
// microsecond.
//
// A dropped mapping is released, unless Bytes, Slice, View, Addr or Span ever
// handed its memory out: then it stays mapped until the process ends, for what
// was handed out may live longer than the Mapping.
func ReportDrops(report func(Dropped)) {
	if report == nil {
		reportDrops.Store(nil)
		return
	}
	reportDrops.Store(&report)
}

// track counts a new mapping and has the collector watch over it.
func (m *Mapping) track() {
	m.tracked = true
	statistics.mappings.Add(1)
	statistics.mappedBytes.Add(int64(m.area.reserved))
	if reportDrops.Load() != nil {
		pcs := make([]uintptr, 32)
		m.madeBy = pcs[:runtime.Callers(4, pcs)]
	}
	runtime.SetFinalizer(m, (*Mapping).drop)
}

// untrack undoes track, for a Close that gave so many bytes of address space up.
func (m *Mapping) untrack(reserved int) {
	if !m.tracked {
		return
	}
	statistics.mappings.Add(-1)
	statistics.mappedBytes.Add(-int64(reserved))
	runtime.SetFinalizer(m, nil)
}

// drop is the end of a mapping that nobody closed.
func (m *Mapping) drop() {
	d := Dropped{Name: m.path, Len: m.area.length, Stack: stackText(m.madeBy)}
	d.Leaked = m.handedOut.Load() || m.Close() != nil // an error if one that leaked stands inside
	if d.Leaked {
		statistics.leaked.Add(1)
	} else {
		statistics.dropped.Add(1)
	}
	if report := reportDrops.Load(); report != nil {
		(*report)(d)
	}
}

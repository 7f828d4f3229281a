package mmap

import (
	"sync/atomic"
	"time"
)

// Statistics is a snapshot of what all mappings of the process have done. The
// counts are since the process started, the others are of this moment.
type Statistics struct {
	Mappings        int64         // open now
	MappedBytes     int64         // address space that they hold
	Faults          int64         // pages that could not be had, told as errors
	ColdReads       int64         // times that pages were brought in by a call before they were touched
	ColdReadTime    time.Duration // how long those calls took, added up
	FileBytes       int64         // bytes that ReadAt, WriteAt, View and the Reader moved by file calls
	CloseWaits      int64         // Closes that found somebody inside and waited
	Quarantined     int64         // closed mappings whose addresses are still held
	QuarantineBytes int64         // their addresses
	Dropped         int64         // mappings dropped without Close and released by the collector
	Leaked          int64         // mappings dropped without Close that stay, because memory was handed out
}

// Stats is a snapshot, cheap enough to publish:
//
//	expvar.Publish("mmap", expvar.Func(func() any { return mmap.Stats() }))
//
// Its counts are read one after the other, not at one moment.
func Stats() Statistics {
	s := &statistics
	held, heldBytes := quarantine.size()
	return Statistics{
		Mappings: s.mappings.Load(), MappedBytes: s.mappedBytes.Load(),
		Faults: s.faults.Load(), ColdReads: s.coldReads.Load(), ColdReadTime: time.Duration(s.coldNanos.Load()),
		FileBytes: s.fileBytes.Load(), CloseWaits: s.closeWaits.Load(),
		Quarantined: held, QuarantineBytes: heldBytes,
		Dropped: s.dropped.Load(), Leaked: s.leaked.Load(),
	}
}

var statistics struct {
	mappings, mappedBytes       atomic.Int64
	faults                      atomic.Int64
	coldReads, coldNanos        atomic.Int64
	fileBytes                   atomic.Int64
	closeWaits, dropped, leaked atomic.Int64
}

// countColdRead ends a bringing-in that began at start.
func countColdRead(start int64) {
	statistics.coldReads.Add(1)
	statistics.coldNanos.Add(clock() - start)
}

package script

import "github.com/memwright/mmap/vmem"

// A Moment is what a step did, and all there is after it.
type Moment struct {
	Step
	At, To  vmem.Addr // what its addresses stand for, in their order
	Outcome Outcome
	Events  []Event
	Crash   []Left            // of a power cut
	Disks   map[string][]byte // of a power cut: what each file has after it
	State   State
}

// An Outcome is what a step came to.
type Outcome struct {
	Kind   Kind
	Value  int64 // of Number
	Addr   vmem.Addr
	Bytes  []byte      // of Loaded
	Errno  vmem.Errno  // of Refused
	Signal vmem.Signal // of Faulted, with Code and Addr
	Code   vmem.Code
}

// A Kind says how a step ended.
type Kind string

// How a step ended.
const (
	Done     Kind = "done"     // nothing to tell; calls returned 0
	Number   Kind = "number"   // the call returned a number
	Address  Kind = "address"  // the call returned an address
	Loaded   Kind = "bytes"    // bytes were loaded; mincore's answer, a byte for each page
	Refused  Kind = "errno"    // the call was refused
	Faulted  Kind = "signal"   // the access was answered by a signal
	Impaired Kind = "unfilled" // memory is full, and nothing can leave it
)

// An Event is what happened inside a step: see [vmem.EventKind].
type Event struct {
	Kind    vmem.EventKind
	Process string
	Addr    vmem.Addr
	File    string
	Off     int64
	N       int
	Frame   int
	From    int
}

// Left is what a power cut may leave of a page.
type Left struct {
	File     string
	Page     uint64
	Versions []Content // the oldest first: the script goes on with it
}

// A State is everything there is at a moment.
type State struct {
	Processes []Process
	Frames    []Frame
	Files     []File
	Names     []Name // of addresses
	Totals    Totals
}

// Totals are what happened since the script began, by [vmem.EventKind].
type Totals struct {
	Events map[vmem.EventKind]int
	Bytes  map[vmem.EventKind]int64
}

// A Process is one that has not ended.
type Process struct {
	Name   string
	Areas  []Area
	Locked uint64 // bytes
}

// An Area is a row of /proc/PID/maps, with the pages that have an entry in the
// page table.
type Area struct {
	vmem.Area
	File  string // "" for private memory
	Pages []Page
}

// A Name is an address that a script has named. The child of a fork knows those
// of its parent.
type Name struct {
	Name    string
	Process string
	Addr    vmem.Addr
}

// A Page is an entry of a page table.
type Page struct {
	Addr    vmem.Addr
	Entry   vmem.Entry
	Content Content
}

// A Frame is a page of memory.
type Frame struct {
	Number  int
	File    string // whose page it is; "": private to those who show it
	Page    uint64
	State   vmem.State
	Pinned  bool
	Content Content
	Mappers []Mapper // the entries that show it
}

// A Mapper is an entry of a page table, by its process and address.
type Mapper struct {
	Process string
	Addr    vmem.Addr
}

// A File is what a script called so; Disk is what a read of the device gives.
type File struct {
	Name  string
	Size  int64
	Safe  int64 // the size that a power cut can't take away
	Pages []FilePage
}

// A FilePage is a page of a file on the disk.
type FilePage struct {
	Content Content
	Read    Content // what a read gives: memory's bytes, if it has any
	Frame   int     // where it is in memory; 0: nowhere
	Newer   bool    // memory has other bytes than the disk
	Unsafe  bool    // the disk has not been told to make it durable
}

// Content is what a page begins with that is not zero.
type Content struct {
	Off  int    // of the first byte that is not zero
	Head string // some bytes from there on; "": all are zeros
	More bool   // there are more that are not zero
	Hash uint64 // of all, so that two can be compared
}

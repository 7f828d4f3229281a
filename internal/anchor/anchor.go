package anchor

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/memwright/mmap/internal/fault"
	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
)

// Max is how many words can be held at once: as many as the kernel walks
// (ROBUST_LIST_LIMIT, linux/futex.h).
const Max = 2048

// ErrFull: this process holds Max words already.
var ErrFull = errors.New("this process holds 2,048 words already, and the kernel marks no more when it ends")

// waiters tells the kernel that somebody may sleep on the word (FUTEX_WAITERS).
const waiters = 0x80000000

// the is the list of this process.
var the list

type list struct {
	sync.Mutex // guards all of it

	started bool
	tid     uint32
	page    uintptr
	entries uintptr // Max pages, then the page of head
	head    uintptr
	words   uintptr // Max pages; entries and words are one reservation
	free    []int   // places that were used and are free again
	used    int     // places that were ever used
}

// An Entry is one word on the list.
type Entry struct {
	place int
	node  uintptr
}

// Hold puts the word at byte off of the file fd on the list: it stores the number
// of the anchor's thread there, which the kernel replaces when the process ends, and
// wakes all who sleep on what was there before. off is a multiple of 8. fd must be
// open for reading and writing, and may be closed afterwards. It fails with EFAULT
// where the file ends before the word.
func Hold(fd int, off int64) (*Entry, error) {
	l := &the
	l.Lock()
	defer l.Unlock()
	if err := l.start(); err != nil {
		return nil, err
	}
	place := l.used
	switch {
	case len(l.free) > 0:
		place = l.free[len(l.free)-1]
	case place == Max:
		return nil, ErrFull
	}
	// The word first: on the list it must be this thread's.
	if err := l.show(place, fd, off); err != nil {
		// MAP_FIXED takes away what was there before it asks the file, which may
		// refuse: nobody else's memory must come to lie where the next word will.
		return nil, errors.Join(err, l.vacate(place))
	}
	if place == l.used {
		l.used++
	} else {
		l.free = l.free[:len(l.free)-1]
	}
	e := &Entry{place: place, node: l.entries + uintptr(place)*l.page + uintptr(off)%l.page}
	// The entry before the head: the kernel may walk the list after any of these
	// stores.
	next(e.node).Store(next(l.head).Load())
	word.Place("anchor link")
	next(l.head).Store(e.node)
	return e, nil
}

// show maps the page with a word, stores the number of the anchor's thread in the
// word, and wakes all who sleep on it.
func (l *list) show(place, fd int, off int64) (err error) {
	at := l.words + uintptr(place)*l.page
	delta := off % int64(l.page)
	if _, err := sys.Mmap(at, l.page, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED|sys.MAP_FIXED, fd, off-delta); err != nil {
		return err
	}
	armed := fault.Arm()
	defer func() {
		armed.Disarm()
		if _, faulted := fault.Caught(recover(), at, int(l.page)); faulted {
			err = sys.EFAULT
		}
	}()
	word.Place("anchor word")
	w := mem.At[word.U32](mem.Bytes(at, int(l.page)), int(delta))
	w.Store(l.tid | waiters)
	return word.Wake(w, word.All)
}

// Release takes the word off the list. Its value stays.
func (e *Entry) Release() error {
	l := &the
	l.Lock()
	defer l.Unlock()
	for n := l.head; next(n).Load() != l.head; n = next(n).Load() {
		if next(n).Load() == e.node {
			next(n).Store(next(e.node).Load())
			break
		}
	}
	l.free = append(l.free, e.place)
	return l.vacate(e.place)
}

// vacate puts the reservation back where a word was.
func (l *list) vacate(place int) error {
	_, err := sys.Mmap(l.words+uintptr(place)*l.page, l.page, sys.PROT_NONE,
		sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_NORESERVE|sys.MAP_FIXED, -1, 0)
	return err
}

// next is the first word of an entry, or of the head: the address of the next.
func next(node uintptr) *atomic.Uintptr {
	size, _ := mem.Layout[uintptr]()
	return mem.At[atomic.Uintptr](mem.Bytes(node, size), 0)
}

// start makes the list and its thread, once.
func (l *list) start() error {
	if l.started {
		return nil
	}
	l.page = uintptr(os.Getpagesize())
	half := (Max + 1) * l.page
	base, err := sys.Mmap(0, 2*half, sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_NORESERVE, -1, 0)
	if err != nil {
		return err
	}
	if err := sys.Mprotect(base, half, sys.PROT_READ|sys.PROT_WRITE); err != nil {
		return errors.Join(err, sys.Munmap(base, 2*half))
	}
	l.entries, l.head, l.words = base, base+Max*l.page, base+half
	ready := make(chan error)
	go keep(l.head, int(half), &l.tid, ready)
	if err := <-ready; err != nil {
		return errors.Join(err, sys.Munmap(base, 2*half))
	}
	l.started = true
	return nil
}

// keep is the anchor: its thread has the list, and lives as long as the process.
// It ends only where the kernel refuses the list.
func keep(head uintptr, distance int, tid *uint32, ready chan<- error) {
	runtime.LockOSThread()
	err := sys.SetRobustList(head, distance)
	*tid = uint32(sys.Gettid())
	ready <- err
	if err == nil {
		select {}
	}
}

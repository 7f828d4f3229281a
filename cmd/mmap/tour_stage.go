package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/memwright/mmap"
)

// A stage is what a chapter shows its mechanism on: it collects statements
// with their verdicts and the evidence for them, and lends files.
type stage struct {
	*tour
	ctx    context.Context
	result chapterResult

	scratches []string
	meters    []*threadMeter
	helpers   []*helper
}

// told states what the kernel is said to do, and whether it did.
func (s *stage) told(holds bool, en, zh string, args ...any) {
	s.result.Statements = append(s.result.Statements, statement{fmt.Sprintf(s.say(en, zh), args...), &holds})
}

// note adds a remark that is not judged.
func (s *stage) note(en, zh string, args ...any) {
	s.result.Statements = append(s.result.Statements, statement{Text: fmt.Sprintf(s.say(en, zh), args...)})
}

// figure adds a piece of evidence: a value, what it counts, and where it was
// read. A nil value, or mmap.Unknown, is one that the kernel hides.
func (s *stage) figure(id string, value any, u unit, source, en, zh string) {
	switch v := value.(type) {
	case mmap.PageCount:
		if value = int64(v); v == mmap.Unknown {
			value = nil
		}
	case error:
		value = strings.TrimPrefix(v.Error(), "mmap: ")
	case uintptr:
		value = fmt.Sprintf("%#x", v)
	case fmt.Stringer:
		value = v.String()
	}
	s.result.Evidence = append(s.result.Evidence, figure{ID: id, Label: s.say(en, zh), Value: value, Unit: u, Source: source})
}

// anotherWay says why the chapter could not be shown directly.
func (s *stage) anotherWay(en, zh string, args ...any) {
	s.result.Status = statusAnotherWay
	s.because(fmt.Sprintf(s.say(en, zh), args...))
}

// errNotShown ends a chapter whose reason stands in its result.
var errNotShown = errors.New("not shown")

// notShown ends the chapter: it can't be shown here, for this reason.
func (s *stage) notShown(en, zh string, args ...any) error {
	s.because(fmt.Sprintf(s.say(en, zh), args...))
	return errNotShown
}

func (s *stage) because(reason string) {
	if s.result.Reason != "" {
		reason = s.result.Reason + " " + reason
	}
	s.result.Reason = reason
}

// withoutProc ends a chapter that has no other evidence.
func (s *stage) withoutProc(err error) error {
	return s.notShown("The evidence stands in /proc, which can't be read here (%v).", "证据在 /proc 里，而这里读不到它（%v）。", err)
}

// conclude computes the chapter's status from its statements.
func (s *stage) conclude(err error) {
	r := &s.result
	for _, st := range r.Statements {
		if st.Holds != nil && !*st.Holds {
			r.Status = statusFailed
		}
	}
	switch {
	case r.Status == statusFailed:
	case err == errNotShown:
		r.Status = statusNotShown
	case err != nil:
		r.Status = statusFailed
		s.because(strings.TrimPrefix(err.Error(), "mmap: "))
	case r.Status == "":
		r.Status = statusShown
	}
}

// scratch is a new file of n bytes that the chapter may change.
func (s *stage) scratch(n int) (path string, content []byte, err error) {
	path = filepath.Join(s.dir, fmt.Sprintf("%s-%d", s.result.ID, len(s.scratches)))
	content = randomBytes(n)
	s.scratches = append(s.scratches, path)
	s.result.Object = "scratch"
	return path, content, os.WriteFile(path, content, 0o600)
}

// open maps what the tour uses of an object, read-only.
func (s *stage) open(o object) (*mmap.Mapping, error) {
	s.result.Object = o.role
	return mmap.OpenFile(o.path, mmap.Options{Length: o.walked})
}

// meter counts faults of this thread.
func (s *stage) meter() (*threadMeter, error) {
	m, err := newThreadMeter()
	if m != nil {
		s.meters = append(s.meters, m)
	}
	return m, err
}

func (s *stage) cleanUp() {
	for _, m := range s.meters {
		m.close()
	}
	for _, h := range s.helpers {
		h.end()
	}
	for _, path := range s.scratches {
		os.Remove(path)
	}
}

// evict drops an object's pages from the page cache, and tells how many are
// still there and why.
func evict(o object) (stayed mmap.PageCount, why error) {
	if f, err := os.Open(o.path); err == nil {
		f.Sync() // dirty pages can't be dropped; a failure shows as pages that stay
		f.Close()
	}
	m, err := mmap.OpenFile(o.path, mmap.Options{Length: o.walked})
	if err != nil {
		return mmap.Unknown, err
	}
	defer m.Close()
	stayed, why, err = drop(m, 0, m.Len(), o.on.storage() != inMemory)
	if err != nil {
		return mmap.Unknown, err
	}
	return stayed, why
}

// drop drops a range from the page cache, and tells how many pages stayed and
// why. Pages that are being read ahead can't be dropped until the disk has
// answered: with patience it waits for that.
func drop(m *mmap.Mapping, off int64, n int, patience bool) (stayed mmap.PageCount, why, err error) {
	const tries, pause = 50, 5 * time.Millisecond
	for range tries {
		why = m.SyncRange(off, n, mmap.SyncInvalidate)
		r, err := m.Residency(off, n)
		stayed = r.Resident
		if err != nil || stayed == 0 || stayed == mmap.Unknown || !patience {
			return stayed, why, err
		}
		time.Sleep(pause)
	}
	return stayed, why, nil
}

// showEvicted tells what an eviction achieved, and reports whether the file is
// known to be out of memory.
func (s *stage) showEvicted(o object, stayed mmap.PageCount, why error) (cold bool) {
	s.figure("cached_after_eviction", stayed, unitPages, "cachestat, mincore", "in memory after eviction", "清出缓存后仍在内存")
	switch {
	case stayed == 0:
		return true
	case stayed == mmap.Unknown:
		s.anotherWay("The kernel tells only a file's owner, or who may write it, what is in memory.",
			"内核只把“哪些页在内存里”告诉文件的属主，或者可以写它的人。")
	case o.on.storage() == inMemory:
		s.anotherWay("%s is memory itself: a file on it can't leave the page cache.",
			"%s 本身就是内存：它上面的文件无法离开页缓存。", o.on.kind)
	default:
		s.anotherWay("Part of the file can't be dropped from memory (%v).", "文件有一部分无法从内存中清出（%v）。", cause(why))
	}
	return false
}

// cause is an error of the library without the call and the file, which the
// text around it names.
func cause(err error) error {
	var e *mmap.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// showPicture adds a picture of what is in memory of a mapping.
func (s *stage) showPicture(id string, m *mmap.Mapping, en, zh string) {
	var runs []mmap.Range
	for r, err := range m.ResidentRanges(0, m.Len()) {
		if err != nil {
			s.figure(id, nil, unitRanges, "mincore", en, zh)
			return
		}
		runs = append(runs, r)
	}
	s.figure(id, resident{int64(m.Len()), runs}, unitRanges, "mincore", en, zh)
}

// resident is the value of a picture.
type resident struct {
	length int64
	runs   []mmap.Range
}

// MarshalJSON gives pairs of offset and length in bytes.
func (r resident) MarshalJSON() ([]byte, error) {
	b := []byte("[")
	for i, run := range r.runs {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "[%d,%d]", run.Off, run.Len)
	}
	return append(b, ']'), nil
}

// pagesIn is how many pages n bytes are, rounded up.
func pagesIn[T int | int64](n T, pageSize int) int64 {
	return (int64(n) + int64(pageSize) - 1) / int64(pageSize)
}

// load loads one byte, as a program does that holds a pointer: a View of the byte
// would have its page read by a call before. The View of nothing is the guard.
func load(m *mmap.Mapping, off int64) (b byte, err error) {
	all := m.Bytes()
	err = m.View(0, 0, func([]byte) error { b = all[off]; return nil })
	return b, err
}

// store stores one byte in the same way, and syncs nothing.
func store(m *mmap.Mapping, off int64, b byte) error {
	all := m.Bytes()
	return m.View(0, 0, func([]byte) error { all[off] = b; return nil })
}

// readByte reads one byte of a file by a file call.
func readByte(path string, off int64) (byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	return b[0], err
}

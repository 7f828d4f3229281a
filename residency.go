package mmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"

	"github.com/memwright/mmap/internal/page"
	"github.com/memwright/mmap/internal/sys"
)

// PageCount is a number of pages, or Unknown.
type PageCount int64

// Unknown is the count that the kernel hides or this platform can't tell.
const Unknown PageCount = -1

func (c PageCount) String() string {
	if c == Unknown {
		return "unknown"
	}
	return strconv.FormatInt(int64(c), 10)
}

// Residency tells where the pages of a range are. Every count is in pages of
// PageSize bytes.
type Residency struct {
	PageSize int
	Pages    PageCount // in the range
	// Resident pages are in memory: in the page cache, or private copies. They
	// need not be in this mapping's page table yet.
	Resident PageCount
	// Dirty pages of the file have not been written; Writeback pages are being
	// written. File systems that keep large folios count every page of a folio
	// (ext4 and XFS on recent kernels). 0 for private anonymous memory.
	Dirty, Writeback PageCount
	// Private pages are this mapping's own: copied by a store to CopyOnWrite, or
	// anonymous.
	Private PageCount
}

// Residency counts the pages that the n bytes from off touch. What the kernel
// hides is Unknown and never a guess: for a file that the caller neither owns
// nor may write, mincore(2) answers "in memory" for every page (Linux 5.2), and
// cachestat(2) refuses.
func (m *Mapping) Residency(off int64, n int) (Residency, error) {
	s, err := m.enterRange("residency", off, n)
	if err != nil {
		return Residency{}, err
	}
	defer m.gate.leave(s, anAccess)
	r := Residency{
		PageSize: m.pageSize, Pages: PageCount(page.Count(off+int64(m.delta), n, m.pageSize)),
		Resident: Unknown, Dirty: Unknown, Writeback: Unknown, Private: Unknown,
	}
	if n == 0 {
		r.Resident, r.Dirty, r.Writeback, r.Private = 0, 0, 0, 0
		return r, nil
	}
	if m.fd >= 0 {
		m.countCache(off, n, &r)
	} else {
		r.Dirty, r.Writeback = 0, 0
	}
	if m.fd >= 0 && m.opt.Access != CopyOnWrite {
		r.Private = 0
	} else if private, err := m.countPrivate(off, n); err == nil {
		r.Private = private
	}
	// cachestat counts the file's pages; what it can't tell mincore may.
	if r.Resident == Unknown || m.opt.Access == CopyOnWrite {
		if err := m.countResident(off, n, &r); err != nil {
			return r, m.fail("residency", off, n, err)
		}
	}
	return r, nil
}

// countResident counts by mincore, where that tells this caller the truth.
func (m *Mapping) countResident(off int64, n int, r *Residency) error {
	if !m.mincoreIsTrue() {
		return nil
	}
	count := PageCount(0)
	for run, err := range m.residentRuns(off, n) {
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
		count += PageCount(page.Count(run.Off+int64(m.delta), int(run.Len), m.pageSize))
	}
	r.Resident = count
	return nil
}

// countCache asks the page cache itself.
func (m *Mapping) countCache(off int64, n int, r *Residency) {
	if !m.ownCache() {
		return
	}
	span, _ := page.Outward(page.Range{Off: m.opt.Offset + off, Len: int64(n)}, m.pageSize)
	st, err := sys.Cachestat(m.fd, span.Off, span.Len)
	if err != nil {
		return
	}
	r.Resident, r.Dirty, r.Writeback = PageCount(st.Cached), PageCount(st.Dirty), PageCount(st.Writeback)
}

// ownCache reports whether the descriptor's inode is the one whose pages the
// mapping shows. A file of overlayfs has no pages of its own: cachestat and
// sync_file_range on its descriptor see none. The mapping is of the file below,
// and mincore sees that.
func (m *Mapping) ownCache() bool {
	const overlayfs = 0x794c7630 // linux/magic.h
	magic, err := sys.FileSystem(m.fd)
	return err != nil || magic != overlayfs
}

// mincoreIsTrue reports whether mincore tells this caller the truth: the kernel
// answers "in memory" for every page of a file unless the caller owns the file
// or may write it (mm/mincore.c, since Linux 5.2).
func (m *Mapping) mincoreIsTrue() bool {
	return m.fd < 0 || m.sharedAnonymous() || int(m.stat.Uid) == os.Geteuid() || sys.MayWrite(m.fd)
}

// Range is the n bytes of a mapping from Off.
type Range struct {
	Off int64
	Len int64
}

// ResidentRanges yields the parts of the n bytes from off that are in memory,
// in order, as far as pages tell: a part begins and ends at page boundaries or
// at the ends of the range. It fails with errors.ErrUnsupported where the kernel
// hides the answer; see Residency.
func (m *Mapping) ResidentRanges(off int64, n int) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		// The loop's body runs outside of the gate: it may Resize or Close.
		runs, err := m.residentNow(off, n)
		for _, r := range runs {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(Range{}, err)
		}
	}
}

func (m *Mapping) residentNow(off int64, n int) (runs []Range, err error) {
	s, err := m.enterRange("residency", off, n)
	if err != nil {
		return nil, err
	}
	defer m.gate.leave(s, anAccess)
	if !m.mincoreIsTrue() {
		return nil, m.fail("residency", off, n, because(errors.ErrUnsupported, "the kernel tells only the file's owner, or who may write it, which pages are in memory"))
	}
	for r, err := range m.residentRuns(off, n) {
		if err != nil {
			return runs, m.fail("residency", off, n, err)
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// mincorePages is how many pages one mincore answers for.
const mincorePages = 1 << 16

// residentRuns is ResidentRanges inside the gate.
func (m *Mapping) residentRuns(off int64, n int) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		base, length := m.pages(off, n)
		vec := make([]byte, min(mincorePages, int(length)/m.pageSize))
		first := page.Down(off+int64(m.delta), m.pageSize) - int64(m.delta)
		end := off + int64(n)
		run := Range{Off: -1}
		emit := func(to int64) bool {
			if run.Off < 0 {
				return true
			}
			run.Len = min(to, end) - run.Off
			ok := yield(run, nil)
			run.Off = -1
			return ok
		}
		for done := 0; done < int(length); {
			piece := min(len(vec)*m.pageSize, int(length)-done)
			// The kernel's vec counts base pages, whatever ours are.
			if err := m.mincore(base+uintptr(done), piece, vec); err != nil {
				yield(Range{}, err)
				return
			}
			for i := range piece / m.pageSize {
				at := first + int64(done+i*m.pageSize)
				switch resident := vec[i]&1 != 0; {
				case resident && run.Off < 0:
					run.Off = max(at, off)
				case !resident:
					if !emit(at) {
						return
					}
				}
			}
			done += piece
		}
		emit(end)
	}
}

// mincore fills one byte of vec for each of the mapping's pages.
func (m *Mapping) mincore(addr uintptr, length int, vec []byte) error {
	small := os.Getpagesize()
	if m.pageSize == small {
		return hidden(sys.Mincore(addr, uintptr(length), vec))
	}
	one := make([]byte, m.pageSize/small)
	for i := range length / m.pageSize {
		if err := sys.Mincore(addr+uintptr(i*m.pageSize), uintptr(m.pageSize), one); err != nil {
			return hidden(err)
		}
		vec[i] = one[0]
	}
	return nil
}

// hidden says what an EPERM of mincore means: the call itself has no such answer,
// so a filter gave it (seccomp).
func hidden(err error) error {
	if err == error(sys.EPERM) {
		return fmt.Errorf("mincore is refused (%w): %w", err, errors.ErrUnsupported)
	}
	return err
}

// countPrivate counts the pages of the page table that are not the file's, by
// /proc/self/pagemap: present or swapped, and not "file page or shared"
// (Documentation/admin-guide/mm/pagemap.rst; bits 63, 62, 61).
func (m *Mapping) countPrivate(off int64, n int) (PageCount, error) {
	const present, swapped, filePage = 1 << 63, 1 << 62, 1 << 61
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return Unknown, err
	}
	defer f.Close()
	small := os.Getpagesize()
	base, length := m.pages(off, n)
	buf := make([]byte, 8*min(mincorePages, int(length)/small))
	count := PageCount(0)
	for done := 0; done < int(length); {
		piece := buf[:min(len(buf), (int(length)-done)/small*8)]
		if _, err := f.ReadAt(piece, int64((base+uintptr(done))/uintptr(small))*8); err != nil && err != io.EOF {
			return Unknown, err
		}
		for i := 0; i < len(piece); i += 8 {
			entry := binary.NativeEndian.Uint64(piece[i:])
			if entry&(present|swapped) != 0 && entry&filePage == 0 {
				count++
			}
		}
		done += len(piece) / 8 * small
	}
	return count / PageCount(m.pageSize/small), nil
}

package probe

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"

	"github.com/memwright/mmap/internal/sys"
)

// The features that mappings use.
var (
	// Mremap grows, shrinks and moves mappings.
	Mremap = &Feature{Name: "mremap", Since: "1.3.78", try: tryMremap}
	// Mincore tells which pages are in memory.
	Mincore = &Feature{Name: "mincore", Since: "2.3.99", try: tryMincore}
	// SyncFileRange starts writing dirty pages and does not wait.
	SyncFileRange = &Feature{Name: "sync_file_range", Since: "2.6.17", try: withMemfd(func(fd int) error {
		return sys.WriteOut(fd, 0, int64(pageSize))
	})}
	// HugeTLB maps pages from the pool of the default huge page size.
	HugeTLB = &Feature{Name: "MAP_HUGETLB", Since: "2.6.32", try: tryHugeTLB}
	// HugePageAdvice asks for transparent huge pages.
	HugePageAdvice = &Feature{Name: "MADV_HUGEPAGE", Since: "2.6.38", try: onPages(1, advise(sys.MADV_HUGEPAGE))}
	// MemfdCreate makes an anonymous file.
	MemfdCreate = &Feature{Name: "memfd_create", Since: "3.17", try: withMemfd(func(fd int) error {
		if st, err := sys.Fstat(fd); err != nil || st.Size != int64(pageSize) {
			return errors.Join(err, noEffect("the file has another size"))
		}
		return nil
	})}
	// ReopenByProc opens the object of a descriptor anew, for an open file
	// description of its own.
	ReopenByProc = &Feature{Name: "open of /proc/self/fd", Since: "2.2", try: withMemfd(tryReopen)}
	// Userfaultfd serves page faults of the whole process from a thread.
	Userfaultfd = &Feature{Name: "userfaultfd", Since: "4.3", try: tryUserfaultfd(false)}
	// UserfaultfdUser serves those of user code only, and needs no privilege.
	UserfaultfdUser = &Feature{Name: "userfaultfd, UFFD_USER_MODE_ONLY", Since: "5.11", try: tryUserfaultfd(true)}
	// Mlock2 locks pages as they are touched.
	Mlock2 = &Feature{Name: "mlock2", Since: "4.4", try: onPages(1, tryMlock2)}
	// MadviseFree lets private pages be dropped lazily.
	MadviseFree = &Feature{Name: "MADV_FREE", Since: "4.5", try: onPages(1, advise(sys.MADV_FREE))}
	// MemfdHugeTLB makes an anonymous file of huge pages.
	MemfdHugeTLB = &Feature{Name: "memfd_create, MFD_HUGETLB", Since: "4.14", try: tryMemfdHuge}
	// ReadNow reads from the page cache without waiting for a disk.
	ReadNow = &Feature{Name: "preadv2, RWF_NOWAIT", Since: "4.14", try: tryReadNow}
	// FixedNoReplace maps at an address or refuses.
	FixedNoReplace = &Feature{Name: "MAP_FIXED_NOREPLACE", Since: "4.17", try: onPages(1, tryFixedNoReplace)}
	// Cold makes pages the first to be reclaimed.
	Cold = &Feature{Name: "MADV_COLD", Since: "5.4", try: onPages(1, advise(sys.MADV_COLD))}
	// PageOut reclaims pages now.
	PageOut = &Feature{Name: "MADV_PAGEOUT", Since: "5.4", try: onPages(1, advise(sys.MADV_PAGEOUT))}
	// PopulateRead brings pages in and reports failures.
	PopulateRead = &Feature{Name: "MADV_POPULATE_READ", Since: "5.14", try: onPages(1, tryPopulateRead)}
	// MemfdSecret makes memory that the kernel itself does not map.
	MemfdSecret = &Feature{Name: "memfd_secret", Since: "5.14", try: tryMemfdSecret}
	// Collapse makes huge pages of a range now.
	Collapse = &Feature{Name: "MADV_COLLAPSE", Since: "6.1", try: tryCollapse}
	// Cachestat counts cached, dirty and written pages of a file.
	Cachestat = &Feature{Name: "cachestat", Since: "6.5", try: withMemfd(tryCachestat)}
	// PagemapScan finds pages by their state.
	PagemapScan = &Feature{Name: "PAGEMAP_SCAN", Since: "6.7", try: onPages(2, tryPagemapScan)}
	// Mseal makes a mapping immutable.
	Mseal = &Feature{Name: "mseal", Since: "6.10", try: tryMseal}
	// GuardInstall makes guard pages without an area of their own.
	GuardInstall = &Feature{Name: "MADV_GUARD_INSTALL", Since: "6.13", try: onPages(1, tryGuardInstall)}
	// Pagemap is a readable page table.
	Pagemap = &Feature{Name: "/proc/self/pagemap", Since: "2.6.25", try: onPages(1, tryPagemap)}
	// FrameNumbers are the physical frames in it.
	FrameNumbers = &Feature{Name: "frame numbers in /proc/self/pagemap", Since: "2.6.25", try: onPages(1, tryFrameNumbers)}
)

// All is every feature, in the order of the releases that brought them.
func All() []*Feature {
	return []*Feature{
		Mremap, ReopenByProc, Mincore, SyncFileRange, Pagemap, FrameNumbers, HugeTLB, HugePageAdvice, MemfdCreate,
		Userfaultfd, Mlock2, MadviseFree, MemfdHugeTLB, ReadNow, FixedNoReplace, Cold, PageOut, UserfaultfdUser,
		PopulateRead, MemfdSecret, Collapse, Cachestat, PagemapScan, Mseal, GuardInstall,
	}
}

var pageSize = uintptr(os.Getpagesize())

const (
	readWrite = sys.PROT_READ | sys.PROT_WRITE
	anonymous = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS
)

// onPages tries with n pages of fresh private memory.
func onPages(n uintptr, try func(addr, length uintptr) error) func() error {
	return func() error {
		addr, err := sys.Mmap(0, n*pageSize, readWrite, anonymous, -1, 0)
		if err != nil {
			return err
		}
		return errors.Join(try(addr, n*pageSize), sys.Munmap(addr, n*pageSize))
	}
}

func advise(advice int) func(addr, length uintptr) error {
	return func(addr, length uintptr) error { return sys.Madvise(addr, length, advice) }
}

// touch brings pages in for a store, from inside the kernel: mlock(2) does
// where it may, and MADV_POPULATE_WRITE where there is one. The memory must be
// private.
func touch(addr, length uintptr) error {
	if sys.Madvise(addr, length, sys.MADV_POPULATE_WRITE) == nil {
		return nil
	}
	if err := sys.Mlock(addr, length); err != nil {
		return err
	}
	return sys.Munlock(addr, length)
}

func resident(addr uintptr) (bool, error) {
	var vec [1]byte
	err := sys.Mincore(addr, pageSize, vec[:])
	return vec[0]&1 != 0, err
}

// expect turns an observation into an error: got must be want.
func expect(got bool, err error, want bool, otherwise noEffect) error {
	if err == nil && got != want {
		return otherwise
	}
	return err
}

func withMemfd(try func(fd int) error) func() error {
	return func() error {
		fd, err := sys.Memfd("probe", false, 0)
		if err != nil {
			return err
		}
		defer sys.Close(fd)
		if err := sys.Truncate(fd, int64(pageSize)); err != nil {
			return err
		}
		return try(fd)
	}
}

// tryReadNow reads what every kernel with such reads can give without waiting.
// What a file's own system can do is another question.
func tryReadNow() error {
	fd, err := sys.OpenFile("/dev/zero", sys.OpenRead, 0)
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	n, err := sys.PreadNow(fd, make([]byte, 1), 0)
	return expect(n == 1, err, true, "it reads nothing")
}

func tryMremap() error {
	addr, err := sys.Mmap(0, pageSize, readWrite, anonymous, -1, 0)
	if err != nil {
		return err
	}
	grown, err := sys.Mremap(addr, pageSize, 2*pageSize, sys.MREMAP_MAYMOVE, 0)
	if err != nil {
		return errors.Join(err, sys.Munmap(addr, pageSize))
	}
	return sys.Munmap(grown, 2*pageSize)
}

// tryMincore wants the page that is there told from the one that is not.
func tryMincore() error {
	return onPages(2, func(addr, _ uintptr) error {
		if err := touch(addr, pageSize); err != nil {
			return err
		}
		for i, want := range []bool{true, false} {
			got, err := resident(addr + uintptr(i)*pageSize)
			if err := expect(got, err, want, "it does not tell present pages from absent ones"); err != nil {
				return err
			}
		}
		return nil
	})()
}

// tryHugeTLB takes a page and gives it back untouched. An empty pool is ENOMEM,
// which says nothing about the kernel.
func tryHugeTLB() error {
	const size = 2 << 20 // a mapping of less than a page is rounded up to one
	addr, err := sys.Mmap(0, size, readWrite, anonymous|sys.MAP_HUGETLB, -1, 0)
	if err != nil {
		return err
	}
	if err := sys.Munmap(addr, size); err == nil {
		return nil
	}
	// The default page is larger: munmap wants whole ones (munmap(2), NOTES).
	for larger := uintptr(size) << 1; larger <= 1<<30; larger <<= 1 {
		if sys.Munmap(addr, larger) == nil {
			return nil
		}
	}
	return noEffect("the page can't be unmapped")
}

func tryReopen(fd int) error {
	again, err := sys.Reopen(fd, sys.OpenReadWrite)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errors.ErrUnsupported // no /proc
		}
		return err
	}
	defer sys.Close(again)
	a, errA := sys.Fstat(fd)
	b, errB := sys.Fstat(again)
	return expect(a.Dev == b.Dev && a.Ino == b.Ino, errors.Join(errA, errB), true, "it opened another object")
}

func tryUserfaultfd(userOnly bool) func() error {
	return func() error {
		fd, err := sys.Userfaultfd(userOnly)
		if err == nil {
			sys.Close(fd)
		}
		return err
	}
}

// tryMlock2 wants an untouched page to stay out.
func tryMlock2(addr, length uintptr) error {
	if err := sys.Mlock2(addr, length, sys.MLOCK_ONFAULT); err != nil {
		return err
	}
	in, err := resident(addr)
	return errors.Join(expect(in, err, false, "the page was brought in"), sys.Munlock(addr, length))
}

// tryMemfdHuge needs no page in the pool: an empty file takes none.
func tryMemfdHuge() error {
	fd, err := sys.Memfd("probe", false, 21)
	if err == nil {
		sys.Close(fd)
	}
	return err
}

// tryFixedNoReplace asks for an occupied address. A kernel that does not know
// the flag maps elsewhere.
func tryFixedNoReplace(addr, length uintptr) error {
	got, err := sys.Mmap(addr, length, sys.PROT_NONE, anonymous|sys.MAP_FIXED_NOREPLACE, -1, 0)
	if errors.Is(err, sys.EEXIST) {
		return nil
	}
	if err == nil {
		return errors.Join(noEffect("the memory lies elsewhere"), sys.Munmap(got, length))
	}
	return err
}

func tryPopulateRead(addr, length uintptr) error {
	if err := sys.Madvise(addr, length, sys.MADV_POPULATE_READ); err != nil {
		return err
	}
	in, err := resident(addr)
	return expect(in, err, true, "the page is not in memory")
}

func tryMemfdSecret() error {
	fd, err := sys.MemfdSecret()
	if err == nil {
		sys.Close(fd)
	}
	return err
}

// tryCollapse makes a huge page of a range with one page in it. Linux has huge
// pages of other sizes with larger base pages; there the answer stays open.
func tryCollapse() error {
	const huge = 2 << 20
	if pageSize != 4<<10 {
		return sys.ENOMEM
	}
	addr, err := sys.Mmap(0, 2*huge, readWrite, anonymous, -1, 0)
	if err != nil {
		return err
	}
	start := (addr + huge - 1) &^ (huge - 1)
	err = touch(start, pageSize)
	if err == nil {
		err = sys.Madvise(start, huge, sys.MADV_COLLAPSE)
	}
	if err == nil {
		in, e := resident(start + huge - pageSize)
		err = expect(in, e, true, "the range is not one page")
	}
	return errors.Join(err, sys.Munmap(addr, 2*huge))
}

func tryCachestat(fd int) error {
	if _, err := sys.Pwrite(fd, []byte("x"), 0); err != nil {
		return err
	}
	st, err := sys.Cachestat(fd, 0, int64(pageSize))
	return expect(st.Cached == 1, err, true, "it does not count the one page that is cached")
}

func tryPagemapScan(addr, length uintptr) error {
	if err := touch(addr+pageSize, pageSize); err != nil {
		return err
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := sys.PagemapScanPresent(int(f.Fd()), addr, addr+length)
	return expect(n == pageSize, err, true, "it does not find the one page that is present")
}

// tryMseal seals page 0, where nothing is mapped: a kernel that looks at the
// range answers ENOMEM. A real seal could not be taken back.
func tryMseal() error {
	err := sys.Mseal(0, pageSize)
	if errors.Is(err, sys.ENOMEM) {
		return nil
	}
	if err == nil {
		return noEffect("it sealed what is not mapped")
	}
	return err
}

func tryGuardInstall(addr, length uintptr) error {
	if err := sys.Madvise(addr, length, sys.MADV_GUARD_INSTALL); err != nil {
		return err
	}
	if err := sys.Madvise(addr, length, sys.MADV_POPULATE_READ); !errors.Is(err, sys.EFAULT) {
		return noEffect("the page can still be read")
	}
	return nil
}

// entry is addr's entry in the page table (Documentation/admin-guide/mm/pagemap.rst).
func entry(addr uintptr) (uint64, error) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [8]byte
	_, err = f.ReadAt(b[:], int64(addr/pageSize)*8)
	return binary.NativeEndian.Uint64(b[:]), err
}

func tryPagemap(addr, length uintptr) error {
	if err := touch(addr, length); err != nil {
		return err
	}
	e, err := entry(addr)
	return expect(e>>63 == 1, err, true, "it does not show the page that is present")
}

// tryFrameNumbers: bits 0 to 54 are the frame, and 0 for whoever lacks
// CAP_SYS_ADMIN (since Linux 4.2).
func tryFrameNumbers(addr, length uintptr) error {
	if err := touch(addr, length); err != nil {
		return err
	}
	e, err := entry(addr)
	if err == nil && e&(1<<55-1) == 0 {
		return sys.EPERM
	}
	return err
}

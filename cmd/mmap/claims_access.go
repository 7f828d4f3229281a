package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/raw"
)

// Claims about what happens when a mapping is loaded from and stored to.

var proofMemoryIsFile = &proof{claimTrue,
	text{"A store through a shared mapping is what read(2) sees next, and a write(2) is what the mapping shows next: both are the page cache.", "通过共享映射的写入，下一次 read(2) 就能看到；write(2) 的内容映射里也立即可见：二者都是页缓存。"},
	text{"ReadAt, WriteAt, View and WriteView are loads and stores whose faults become errors; Bytes is the bare memory.", "ReadAt、WriteAt、View、WriteView 是加载与存储，出错变成 error；Bytes 是裸内存。"},
	[]string{"raw.TestSharedStoreReachesTheFileAndPrivateStoreDoesNot", "raw.TestFileChangedByWriteIsSeenInTheMapping", "mmap.TestTwoMappingsOfAFileAreCoherent"},
	func(e *exhibit) error {
		m, err := e.mapped(pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		m.Bytes()[0] = 'H'
		got, err := readByte(m.Name(), 0)
		if err != nil {
			return err
		}
		e.saw(got == 'H', "'H' stored at 0: read(2) gives %q", got)
		f, err := os.OpenFile(m.Name(), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("W"), 1); err != nil {
			return err
		}
		e.saw(m.Bytes()[1] == 'W', "'W' written at 1: a load gives %q", m.Bytes()[1])
		b, err := load(m, 1)
		e.lib(err == nil && b == 'W', "View: %q", b)
		return nil
	}}

var proofReadIsACopy = &proof{claimTrue,
	text{"read(2) fills the caller's buffer with a copy.", "read(2) 把副本放进调用者的缓冲区。"},
	text{"View and Bytes are the page cache itself; ReadAt copies, as io.ReaderAt must.", "View 与 Bytes 就是页缓存；ReadAt 按 io.ReaderAt 的约定复制。"},
	[]string{"raw.TestReadAndWriteCallsMayUseTheMappingOfTheirOwnFile"},
	func(e *exhibit) error {
		return bufferIsACopy(e)
	}}

func bufferIsACopy(e *exhibit) error {
	m, err := e.mapped(pageBytes)
	if err != nil {
		return err
	}
	defer m.Close()
	content, err := os.ReadFile(m.Name())
	if err != nil {
		return err
	}
	content[0] = 'X'
	got, err := readByte(m.Name(), 0)
	e.saw(got != 'X', "a store to read's buffer: the file has %d there, not %d", got, 'X')
	return err
}

// diskReads is what a thread fetches from storage to read one page of a file
// of n bytes by pread: cold, and again.
func diskReads(e *exhibit, n int) (cold, warm int64, err error) {
	if err := e.needDisk(); err != nil {
		return 0, 0, err
	}
	path, err := e.coldFile(n)
	if err != nil {
		return 0, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	p := make([]byte, pageBytes)
	c, err := e.charged(func() { f.ReadAt(p, 0) })
	if err != nil {
		return 0, 0, err
	}
	w, err := e.charged(func() { f.ReadAt(p, 0) })
	return c.readBytes, w.readBytes, err
}

// coldFile is a new file of n bytes that is not in memory.
func (e *exhibit) coldFile(n int) (string, error) {
	m, err := e.mapped(n)
	if err != nil {
		return "", err
	}
	defer m.Close()
	if err := m.SyncRange(0, n, mmap.SyncInvalidate); err != nil {
		return "", cannot{"the file can't be dropped from memory here: " + err.Error(), "这里无法把文件清出内存：" + err.Error()}
	}
	return m.Name(), nil
}

// charged runs fn on one thread and tells what the kernel charged to it.
func (e *exhibit) charged(fn func()) (charges, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	meter, err := newThreadMeter()
	if err != nil {
		return charges{}, err
	}
	defer meter.close()
	c, err := meter.during(fn)
	if err == nil && c.ioErr != nil {
		return c, cannot{"/proc/thread-self/io can't be read: " + c.ioErr.Error(), "读不到 /proc/thread-self/io：" + c.ioErr.Error()}
	}
	return c, err
}

var proofTwoCopies = &proof{claimConditional,
	text{"Both happen on a cold buffered read. What is cached is not fetched again, and the transfer from the disk is the device's own.", "冷的带缓冲读取两者都有。已缓存的不会再取，从磁盘的传输由设备完成。"},
	text{"`mmap compare` counts what each way costs here.", "`mmap compare` 会在本机计量每种方式的代价。"},
	[]string{"main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		cold, warm, err := diskReads(e, 1<<20)
		if err != nil {
			return err
		}
		e.saw(cold > 0, "first read of a page: %d bytes from the disk", cold)
		e.saw(warm > 0, "second read: %d bytes from the disk", warm)
		return bufferIsACopy(e)
	}}

var proofDiskToKernel = &proof{claimConditional,
	text{"Only when the page is not cached yet.", "仅当该页尚未缓存时。"},
	proofTwoCopies.ours, proofTwoCopies.tests,
	func(e *exhibit) error {
		cold, warm, err := diskReads(e, 1<<20)
		e.saw(cold > 0, "first read of a page: %d bytes from the disk", cold)
		e.saw(warm > 0, "second read: %d bytes from the disk", warm)
		return err
	}}

var proofOneCopy = &proof{claimConditional,
	text{"The mapped page is the page cache's own frame. A cold page is fetched once; a cached one is not fetched at all.", "映射的页就是页缓存自己的页框。冷页取一次；已缓存的一次也不取。"},
	text{"Open and View add none.", "Open 与 View 不增加拷贝。"},
	[]string{"raw.TestPrivateStoreReplacesTheFilesFrameByAnOwnOne", "main.TestTourShowsFramesWhereTheyCanBeRead", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		if err := e.needDisk(); err != nil {
			return err
		}
		path, err := e.coldFile(1 << 20)
		if err != nil {
			return err
		}
		m, err := mmap.Open(path)
		if err != nil {
			return err
		}
		defer m.Close()
		p := m.Bytes()
		cold, err := e.charged(func() { sunk = p[0] })
		if err != nil {
			return err
		}
		e.saw(cold.readBytes > 0, "first load: %d bytes from the disk", cold.readBytes)
		other, err := mmap.Open(path)
		if err != nil {
			return err
		}
		defer other.Close()
		q := other.Bytes()
		warm, err := e.charged(func() { sunk = q[0] })
		if err != nil {
			return err
		}
		e.saw(warm.readBytes > 0, "first load through a second mapping: %d bytes from the disk", warm.readBytes)
		return sameFrame(e, m, other)
	}}

// sameFrame shows that two mappings have the same frame, where frames are told.
func sameFrame(e *exhibit, a, b *mmap.Mapping) error {
	x, errX := pageEntryOf(a.Addr())
	y, errY := pageEntryOf(b.Addr())
	if errX == nil && errY == nil && x.frame() != 0 {
		e.saw(x.frame() == y.frame(), "both mappings show frame %#x", x.frame())
	}
	return nil
}

var proofNoUserCopy = &proof{claimConditional,
	text{"A shared mapping copies nothing. A private one copies each page at the first store to it.", "共享映射不复制。私有映射在首次写入某页时复制该页。"},
	text{"Residency.Private counts the copies.", "Residency.Private 数出这些副本。"},
	[]string{"raw.TestPrivateStoreReplacesTheFilesFrameByAnOwnOne", "mmap.TestCopyOnWriteStaysHere", "mmap.TestResidencyCountsPrivatePages"},
	func(e *exhibit) error {
		path, err := e.file(8 * pageBytes)
		if err != nil {
			return err
		}
		for _, access := range []mmap.Access{mmap.ReadWrite, mmap.CopyOnWrite} {
			m, err := mmap.OpenFile(path, mmap.Options{Access: access})
			if err != nil {
				return err
			}
			defer m.Close()
			m.Bytes()[0] = 'x'
			copied, err := figureOf(m, "Anonymous")
			if err != nil {
				return err
			}
			e.saw(copied == 0, "%v, one store: %d bytes of its own", access, copied)
			if r, err := m.Residency(0, m.Len()); err == nil && r.Private != mmap.Unknown {
				e.lib(int64(r.Private)*int64(r.PageSize) == copied, "Residency.Private = %v", r.Private)
			}
		}
		return nil
	}}

var proofCheaper = &proof{claimConditional,
	text{"Copies and calls are saved, and page faults are paid for them: one for each stretch of pages not yet in the page table. Cached and touched again and again it wins; cold and random, or beyond memory with many threads, read wins. There is no fixed size at which it turns.", "省下拷贝和调用，代价是缺页：每一段尚未进入页表的页一次。已缓存且反复触碰时占优；冷的随机访问，或数据超过内存且线程很多时，read 占优。没有固定的转折大小。"},
	text{"`mmap compare` measures both here. Populate brings a range in by system calls, and ReadAt copies.", "`mmap compare` 在本机测量两者。Populate 用系统调用载入一段，ReadAt 则复制。"},
	[]string{"raw.TestMmapPopulateBringsPagesIn", "mmap.TestPopulateBringsEverythingIn", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		path, err := e.file(256 * pageBytes)
		if err != nil {
			return err
		}
		m, err := mmap.Open(path)
		if err != nil {
			return err
		}
		defer m.Close()
		pass := func() (grew int64, err error) {
			before, err := figureOf(m, "Rss")
			if err != nil {
				return 0, err
			}
			for at := 0; at < m.Len(); at += pageBytes {
				sunk = m.Bytes()[at]
			}
			after, err := figureOf(m, "Rss")
			return after - before, err
		}
		first, err := pass()
		if err != nil {
			return err
		}
		second, err := pass()
		if err != nil {
			return err
		}
		e.saw(first == 0, "first pass over %d cached bytes: faults put %d bytes into the page table", m.Len(), first)
		e.saw(second == 0, "second pass: %d bytes; no call, no copy, no fault", second)
		return nil
	}}

var proofThreshold = &proof{claimConditional,
	proofCheaper.kernel, proofCheaper.ours, proofCheaper.tests,
	func(e *exhibit) error {
		return cannot{"it takes a measurement over sizes, block sizes and cache states: run `mmap compare`", "需要在各种大小、块大小和缓存状态下测量：请运行 `mmap compare`"}
	}}

var proofLazy = &proof{claimTrue,
	text{"Nothing is in the page table after mmap, unless MAP_POPULATE asked for it.", "mmap 之后页表里什么也没有，除非用了 MAP_POPULATE。"},
	text{"Options.Populate and Populate bring pages in, and report what fails.", "Options.Populate 与 Populate 载入页，并报告失败。"},
	[]string{"raw.TestMmapPopulateBringsPagesIn", "mmap.TestPopulateBringsEverythingIn"},
	func(e *exhibit) error {
		m, err := e.mapped(64 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		rss, err := figureOf(m, "Rss")
		if err != nil {
			return err
		}
		e.saw(rss == 0, "%d bytes mapped: Rss %d", m.Len(), rss)
		if err := m.Populate(context.Background(), 0, m.Len()); err != nil {
			return err
		}
		rss, err = figureOf(m, "Rss")
		e.lib(rss == int64(m.Len()), "Populate: Rss %d", rss)
		return err
	}}

// touched maps a cached file, touches its first page and tells the next one's
// entry before and after.
func touched(e *exhibit) (own, next [2]pageEntry, rss int64, err error) {
	m, err := e.mapped(64 * pageBytes)
	if err != nil {
		return own, next, 0, err
	}
	defer m.Close()
	for i := range 2 {
		if own[i], err = pageEntryOf(m.Addr()); err != nil {
			return own, next, 0, cannot{"/proc/self/pagemap can't be read: " + err.Error(), "读不到 /proc/self/pagemap：" + err.Error()}
		}
		if next[i], err = pageEntryOf(m.Addr() + uintptr(pageBytes)); err != nil {
			return own, next, 0, err
		}
		sunk = m.Bytes()[0]
	}
	rss, err = figureOf(m, "Rss")
	return own, next, rss, err
}

func entryState(e pageEntry) string {
	if e.present() {
		return "present"
	}
	return "absent"
}

var proofFirstTouch = &proof{claimConditional,
	text{"The first touch of an absent page faults. The fault maps the cached pages around it too (64 KiB, or whole folios), so their first touch does not.", "首次触碰不在页表里的页会缺页。这次缺页会把周围已缓存的页一并映射（64 KiB 或整个 folio），所以那些页的首次触碰不会缺页。"},
	text{"Populate takes all faults at once, in system calls that hold up no goroutine.", "Populate 用系统调用一次付清所有缺页，不拖住任何 goroutine。"},
	[]string{"raw.TestMincoreSaysCachedAndNotMapped", "main.TestClaimsHoldHere", "main.TestTourOnDisk"},
	func(e *exhibit) error {
		own, next, _, err := touched(e)
		if err != nil {
			return err
		}
		e.saw(!own[0].present() && own[1].present(), "touched page: %s before, %s after", entryState(own[0]), entryState(own[1]))
		if !next[1].present() {
			return cannot{"this file system maps one page at a fault", "这个文件系统一次缺页只映射一页"}
		}
		e.saw(!next[1].present(), "the next page, not touched: %s before, %s after", entryState(next[0]), entryState(next[1]))
		return nil
	}}

var proofFaultEach = &proof{claimFalse, proofFirstTouch.kernel, proofFirstTouch.ours, proofFirstTouch.tests,
	func(e *exhibit) error {
		_, _, rss, err := touched(e)
		if err == nil && rss == int64(pageBytes) {
			return cannot{"this file system maps one page at a fault", "这个文件系统一次缺页只映射一页"}
		}
		e.saw(rss == int64(pageBytes), "one load of a cached file: %d pages in the page table", rss/int64(pageBytes))
		return err
	}}

var proofEntry = &proof{claimTrue,
	text{"The entry becomes present, and the access goes on as if nothing had happened.", "表项变为存在，访问继续，好像什么也没发生。"},
	text{"A fault that can't be satisfied is an error of View, ReadAt and WriteAt instead.", "无法满足的缺页则成为 View、ReadAt、WriteAt 的错误。"},
	[]string{"raw.TestMincoreSaysCachedAndNotMapped", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		own, _, _, err := touched(e)
		if err != nil {
			return err
		}
		e.saw(!own[0].present() && own[1].present(), "the page's entry in /proc/self/pagemap: %s, then %s", entryState(own[0]), entryState(own[1]))
		e.saw(sunk == 1, "the load gave the file's byte, %d", sunk)
		return nil
	}}

var proofChecked = &proof{claimTrue,
	text{"An access outside of every area, or against the area's protection, is SIGSEGV.", "不在任何区域内、或违反区域保护的访问得到 SIGSEGV。"},
	text{"In View, ReadAt and WriteAt it is an error; a range outside of the mapping is refused before it is touched.", "在 View、ReadAt、WriteAt 里成为错误；越出映射的范围在触碰前就被拒绝。"},
	[]string{"raw.TestForbiddenAccessRaisesItsSignal", "mmap.TestProtectedPageIsAnError"},
	func(e *exhibit) error {
		m, base, err := arena(3)
		if err != nil {
			return err
		}
		defer m.Close()
		p := m.Bytes()
		err = errors.Join(raw.Munmap(base+uintptr(pageBytes), pageBytes), raw.Mprotect(base, pageBytes, raw.PROT_READ))
		e.saw(!faults(func() { sunk = p[0] }), "a load where PROT_READ is mapped: goes through")
		e.saw(faults(func() { p[0] = 1 }), "a store there: faults")
		e.saw(faults(func() { sunk = p[pageBytes] }), "a load where nothing is mapped: faults")
		_, libErr := m.WriteAt([]byte{1}, 0)
		e.lib(errors.Is(libErr, fs.ErrPermission), "WriteAt: %v", libErr)
		_, libErr = m.WriteAt([]byte{1}, int64(m.Len()))
		e.lib(errors.Is(libErr, mmap.ErrOutOfRange), "WriteAt past the end: %v", libErr)
		return err
	}}

var proofReadsAPage = &proof{claimConditional,
	text{"It reads from the disk only what is not cached, and then more than the page: read-ahead.", "只有未缓存的才从磁盘读，而且读的不止一页：还有预读。"},
	text{"Pattern Random reads little more than the page, Sequential reads further ahead.", "Pattern 为 Random 时几乎只读该页，Sequential 读得更远。"},
	[]string{"raw.TestMincoreShowsReadAheadAfterOneLoadOnDiskAndNoneOnTmpfs", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		if err := e.needDisk(); err != nil {
			return err
		}
		path, err := e.coldFile(4 << 20)
		if err != nil {
			return err
		}
		m, err := mmap.Open(path)
		if err != nil {
			return err
		}
		defer m.Close()
		p := m.Bytes()
		c, err := e.charged(func() { sunk = p[0] })
		if err != nil {
			return err
		}
		e.saw(c.readBytes >= int64(pageBytes), "a cold page touched: %d bytes from the disk", c.readBytes)
		e.saw(c.readBytes == int64(pageBytes), "that is %d pages", c.readBytes/int64(pageBytes))
		other, err := mmap.Open(path)
		if err != nil {
			return err
		}
		defer other.Close()
		q := other.Bytes()
		c, err = e.charged(func() { sunk = q[0] })
		e.saw(c.readBytes > 0, "the same page through another mapping: %d bytes from the disk", c.readBytes)
		return err
	}}

var proofPrivate = &proof{claimTrue,
	text{"A store to a private mapping is seen by nobody else. Pages that were not stored to still show what others do to the file.", "对私有映射的写入别人看不到。没有写过的页仍会显示别人对文件的改动。"},
	text{"CopyOnWrite; Sync on it is an error, because success would be taken for durability.", "CopyOnWrite；对它 Sync 是错误，因为成功会被当成已持久。"},
	[]string{"raw.TestSharedStoreReachesTheFileAndPrivateStoreDoesNot", "raw.TestSharedStoreIsSeenByAnotherProcessAndPrivateStoreIsNot", "mmap.TestCopyOnWriteStaysHere", "mmap.TestSyncPromisesOnlyWhatItCanKeep"},
	func(e *exhibit) error {
		path, err := e.file(pageBytes)
		if err != nil {
			return err
		}
		m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.CopyOnWrite})
		if err != nil {
			return err
		}
		defer m.Close()
		other, err := mmap.Open(path)
		if err != nil {
			return err
		}
		defer other.Close()
		for i, c := range []byte("PQ") { // the first store copies, the second does not
			m.Bytes()[0] = c
			got, err := readByte(path, 0)
			if err != nil {
				return err
			}
			e.saw(got == 1 && other.Bytes()[0] == 1, "store %d of %q: here %q, in the file %d, in another mapping %d", i+1, c, m.Bytes()[0], got, other.Bytes()[0])
		}
		seen, err := askChild(e, "claims-load", path, "0")
		if err != nil {
			return err
		}
		e.saw(seen == "1", "in another process: %s", seen)
		err = m.Sync()
		e.lib(errors.Is(err, mmap.ErrNoFile), "Sync: %v", err)
		return nil
	}}

var proofCopyAtStore = &proof{claimTrue,
	text{"The first store to a page gives the process a frame of its own, and the entry points there.", "首次写入某页时，进程得到自己的页框，表项指向它。"},
	text{"Residency.Private counts such pages.", "Residency.Private 数出这样的页。"},
	[]string{"raw.TestPrivateStoreReplacesTheFilesFrameByAnOwnOne", "mmap.TestResidencyCountsPrivatePages"},
	func(e *exhibit) error {
		path, err := e.file(4 * pageBytes)
		if err != nil {
			return err
		}
		m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.CopyOnWrite})
		if err != nil {
			return err
		}
		defer m.Close()
		sunk = m.Bytes()[0]
		before, err := figureOf(m, "Anonymous")
		if err != nil {
			return err
		}
		was, entryErr := pageEntryOf(m.Addr())
		m.Bytes()[0] = 'x'
		after, err := figureOf(m, "Anonymous")
		e.saw(before == 0 && after == int64(pageBytes), "bytes of its own: %d before the store, %d after", before, after)
		if is, err := pageEntryOf(m.Addr()); err == nil && entryErr == nil && was.frame() != 0 {
			e.saw(was.frame() != is.frame(), "frame %#x before, %#x after", was.frame(), is.frame())
		}
		return err
	}}

var proofPrivateMemory = &proof{claimTrue,
	text{"Every page stored to takes a frame.", "每个写过的页占一个页框。"},
	text{"Discard with DropPrivate gives the copies back.", "Discard 配合 DropPrivate 归还这些副本。"},
	[]string{"mmap.TestResidencyCountsPrivatePages", "mmap.TestDropPrivate"},
	func(e *exhibit) error {
		path, err := e.file(32 * pageBytes)
		if err != nil {
			return err
		}
		m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.CopyOnWrite})
		if err != nil {
			return err
		}
		defer m.Close()
		for at := 0; at < m.Len(); at += pageBytes {
			m.Bytes()[at] = 'x'
		}
		own, err := figureOf(m, "Anonymous")
		if err != nil {
			return err
		}
		e.saw(own == int64(m.Len()), "a store to each of 32 pages: %d bytes of its own", own)
		if err := m.Discard(0, m.Len(), mmap.DropPrivate); err != nil {
			return err
		}
		own, err = figureOf(m, "Anonymous")
		e.lib(own == 0, "Discard: %d bytes", own)
		return err
	}}

// shortened maps a file of three pages and cuts it to half a page under the
// mapping: faults tells the pages that can't be loaded any more.
func shortened(e *exhibit) (tail byte, tailFaults, pageFaults bool, err error) {
	m, err := e.mapped(3 * pageBytes)
	if err != nil {
		return 0, false, false, err
	}
	defer m.Close()
	if err := os.Truncate(m.Name(), int64(pageBytes/2)); err != nil {
		return 0, false, false, err
	}
	p := m.Bytes()
	tailFaults = faults(func() { tail = p[pageBytes-1] })
	pageFaults = faults(func() { sunk = p[2*pageBytes] })
	err = m.View(int64(2*pageBytes), 1, func(p []byte) error { sunk = p[0]; return nil })
	e.lib(errors.Is(err, mmap.ErrPastEnd), "View: %v", err)
	n, err := m.ReadAt(make([]byte, 2*pageBytes), 0)
	e.lib(n == pageBytes && errors.Is(err, mmap.ErrPastEnd), "ReadAt: %d bytes, %v", n, err)
	return tail, tailFaults, pageFaults, nil
}

var truncationTests = []string{"raw.TestTruncationUnderAMapping", "raw.TestForbiddenAccessRaisesItsSignal", "mmap.TestTruncatedUnderTheMapping"}

var truncationLibrary = text{"View, ReadAt and WriteAt give an error with the file's offset and ErrPastEnd in it, and ReadAt the bytes before. A bare slice dies.", "View、ReadAt、WriteAt 返回带文件偏移和 ErrPastEnd 的错误，ReadAt 还给出之前的字节。裸切片会致死。"}

var proofTruncated = &proof{claimConditional,
	text{"Whole pages behind the new end raise SIGBUS. The rest of the last page reads as zero.", "新末尾之后的整页触发 SIGBUS。最后一页的剩余部分读作零。"},
	truncationLibrary, truncationTests,
	func(e *exhibit) error {
		tail, tailFaults, pageFaults, err := shortened(e)
		if err != nil {
			return err
		}
		e.saw(pageFaults, "a load behind the last page: faults")
		e.saw(tailFaults, "a load behind the end, in the last page: %d", tail)
		died, err := childSays(e, "claims-die", "truncated")
		if err != nil {
			return err
		}
		e.saw(strings.Contains(died, "SIGBUS"), "a process that does so without a guard: %s", died)
		return nil
	}}

var proofZerosPastEnd = &proof{claimConditional, proofTruncated.kernel, truncationLibrary, truncationTests,
	func(e *exhibit) error {
		tail, tailFaults, pageFaults, err := shortened(e)
		e.saw(!tailFaults && tail == 0, "a load behind the end, in the last page: %d", tail)
		e.saw(!pageFaults, "a load behind the last page: faults")
		return err
	}}

var proofSimple = &proof{claimConditional,
	text{"An index is enough while the file stays as it is. Where read would tell a short count or an error, a load gets a signal.", "文件不变时下标就够了。read 会给出部分计数或错误的地方，加载得到的是信号。"},
	truncationLibrary, truncationTests,
	func(e *exhibit) error {
		m, err := e.mapped(pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		e.saw(m.Bytes()[100] == 101, "p[100] is the file's byte 100: %d", m.Bytes()[100])
		_, _, pageFaults, err := shortened(e)
		e.saw(!pageFaults, "the file was cut short meanwhile: read gives 0 bytes, a load faults")
		return err
	}}

var proofAfterUnmap = &proof{claimConditional,
	text{"SIGSEGV, as long as nothing else has been mapped there; after that it reads the other mapping.", "只要那里没有映射别的东西就是 SIGSEGV；否则读到的是别的映射。"},
	text{"After Close every method is fs.ErrClosed. Close waits for views; Bytes and Slice can't be guarded.", "Close 之后所有方法返回 fs.ErrClosed。Close 会等待视图；Bytes 与 Slice 无法保护。"},
	[]string{"raw.TestForbiddenAccessRaisesItsSignal", "raw.TestMunmapTakesAwayWholePagesAndOnlyThose", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		died, err := childSays(e, "claims-die", "unmapped")
		if err != nil {
			return err
		}
		e.saw(strings.Contains(died, "SIGSEGV"), "a load after munmap: %s", died)
		m, base, err := arena(3)
		if err != nil {
			return err
		}
		middle := base + uintptr(pageBytes)
		p := m.Bytes()
		if err := raw.Munmap(middle, pageBytes); err != nil {
			return err
		}
		_, err = raw.Mmap(middle, pageBytes, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_FIXED_NOREPLACE, -1, 0)
		if err == nil {
			faulted := faults(func() { sunk = p[pageBytes] })
			e.saw(faulted, "after something else was mapped there: faults = %v", faulted)
		}
		if err := errors.Join(err, m.Close()); err != nil {
			return err
		}
		_, err = m.ReadAt(make([]byte, 1), 0)
		e.lib(errors.Is(err, fs.ErrClosed), "ReadAt after Close: %v", err)
		return nil
	}}

var proofBigBlock = &proof{claimConditional,
	text{"A large block costs nothing until it is touched, and goes back at once. But every new block is zeroed again, page by page, as it is touched.", "大块在触碰之前不花代价，归还也立即完成。但每个新块在触碰时都要逐页重新清零。"},
	text{"Anonymous, with Reserve to grow in place. For memory that is used again and again, keep it.", "Anonymous，配合 Reserve 原地增长。反复使用的内存应当留着。"},
	[]string{"mmap.TestAnonymousIsZeros", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		for range 2 {
			m, err := mmap.Anonymous(16<<20, mmap.Options{})
			if err != nil {
				return err
			}
			before, err := presentIn(m)
			if err != nil {
				return err
			}
			fresh := m.Bytes()[0] == 0
			m.Bytes()[0] = 1
			if len(e.kernel) == 0 {
				e.saw(before == 0, "16 MiB mapped: %d pages in memory", before)
			} else {
				e.saw(before != 0, "used, given back and mapped anew: %d pages are there, the byte is zero again = %v", before, fresh)
			}
			if err := m.Close(); err != nil {
				return err
			}
		}
		return nil
	}}

var proofAdviseRandom = &proof{claimFalse,
	text{"It switches read-ahead off: every cold page is a read of its own.", "它关闭预读：每个冷页都是一次单独的读取。"},
	text{"Pattern Random says so. AdviseNormal takes it back.", "Pattern Random 的文档写明了这点。AdviseNormal 可撤回。"},
	[]string{"raw.TestMadvRandomEndsReadAhead"},
	func(e *exhibit) error {
		if err := e.needDisk(); err != nil {
			return err
		}
		var read [2]int64
		for i, pattern := range []mmap.Pattern{mmap.Normal, mmap.Random} {
			path, err := e.coldFile(4 << 20)
			if err != nil {
				return err
			}
			m, err := mmap.OpenFile(path, mmap.Options{Pattern: pattern})
			if err != nil {
				return err
			}
			defer m.Close()
			p := m.Bytes()
			c, err := e.charged(func() { sunk = p[0] })
			if err != nil {
				return err
			}
			read[i] = c.readBytes
		}
		if read[0] <= int64(pageBytes) {
			return cannot{"the device does not read ahead", "设备没有预读"}
		}
		e.saw(read[1] >= read[0], "a cold page touched: %d bytes from the disk without advice, %d with MADV_RANDOM", read[0], read[1])
		return nil
	}}

var proofAdviseDontNeed = &proof{claimConditional,
	text{"Private anonymous memory turns to zeros. For a shared mapping of a file only page-table entries go: data and cache stay.", "私有匿名内存变成零。对文件的共享映射只去掉页表项：数据与缓存都在。"},
	text{"Discard is apart from Advise, and refuses shared mappings.", "Discard 与 Advise 分开，并拒绝共享映射。"},
	[]string{"raw.TestMadvDontneed", "raw.TestMadvDontneedLeavesTheFilesPagesInTheCache", "mmap.TestDiscardRefuses", "mmap.TestAdviceIsHarmless"},
	func(e *exhibit) error {
		m, base, err := arena(1)
		if err != nil {
			return err
		}
		defer m.Close()
		f, err := e.mapped(pageBytes)
		if err != nil {
			return err
		}
		defer f.Close()
		m.Bytes()[0], f.Bytes()[0] = 'A', 'A'
		addr, n := f.Span()
		if err := errors.Join(raw.Madvise(base, pageBytes, raw.MADV_DONTNEED), raw.Madvise(addr, n, raw.MADV_DONTNEED)); err != nil {
			return err
		}
		e.saw(m.Bytes()[0] == 0, "private memory: 'A' became %d", m.Bytes()[0])
		e.saw(f.Bytes()[0] == 0, "shared mapping of a file: 'A' is still %q", f.Bytes()[0])
		err = f.Discard(0, f.Len(), mmap.DropPrivate)
		e.lib(errors.Is(err, fs.ErrInvalid), "Discard of a shared mapping: %v", err)
		return nil
	}}

var proofAdviseWillNeed = &proof{claimFalse,
	text{"It starts reading in, does not wait and maps nothing.", "它只启动读取，不等待，也不映射。"},
	text{"AdviseWillNeed is that hint; Populate brings in, maps and reports.", "AdviseWillNeed 就是这个提示；Populate 才会载入、映射并报告。"},
	[]string{"raw.TestMadvWillneedReadsIntoTheCacheAndMapsNothing", "mmap.TestAdviseWillNeedReadsAhead"},
	func(e *exhibit) error {
		m, err := e.mapped(16 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		addr, n := m.Span()
		if err := raw.Madvise(addr, n, raw.MADV_WILLNEED); err != nil {
			return err
		}
		rss, err := figureOf(m, "Rss")
		e.saw(rss > 0, "MADV_WILLNEED of a cached file: Rss %d", rss)
		return err
	}}

var proofPopulate = &proof{claimConditional,
	text{"It brings in what it can and swallows what fails.", "它能载入的就载入，失败则被吞掉。"},
	text{"Options.Populate and Populate use MADV_POPULATE_READ (5.14): a page that can't be had is an error.", "Options.Populate 与 Populate 使用 MADV_POPULATE_READ（5.14）：得不到的页是错误。"},
	[]string{"raw.TestMapPopulateAndMapLockedSwallowFailures", "raw.TestMmapPopulateBringsPagesIn", "mmap.TestPopulateTellsThePageThatCanNotBeHad"},
	func(e *exhibit) error {
		for _, size := range []int{4 * pageBytes, pageBytes} {
			f, err := e.opened(size, os.O_RDWR)
			if err != nil {
				return err
			}
			defer f.Close()
			addr, err := raw.Mmap(0, 4*pageBytes, raw.PROT_READ, raw.MAP_SHARED|raw.MAP_POPULATE, int(f.Fd()), 0)
			if err != nil {
				return err
			}
			areas, err := areasOf(addr, 4*pageBytes)
			if err = errors.Join(err, raw.Munmap(addr, 4*pageBytes)); err != nil {
				return err
			}
			rss := sum(areas, "Rss") / int64(pageBytes)
			e.saw(rss == 4, "4 pages of a file of %d: success, %d pages in memory", size/pageBytes, rss)
		}
		m, err := e.mapped(4 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		if err := os.Truncate(m.Name(), int64(pageBytes)); err != nil {
			return err
		}
		err = m.Populate(context.Background(), 0, m.Len())
		e.lib(errors.Is(err, mmap.ErrPastEnd), "Populate of 4 pages of a file of 1: %v", err)
		return nil
	}}

var proofReadWriteShares = &proof{claimFalse,
	text{"Files are shared by read and write as well: both see one page cache. Neither way orders accesses.", "read/write 同样共享文件：两边看到的是同一页缓存。两种方式都不保证次序。"},
	text{"A mapping and file calls agree on local file systems; between processes use atomics on Slice.", "在本地文件系统上映射与文件调用一致；进程之间请在 Slice 上使用原子操作。"},
	[]string{"raw.TestFileChangedByWriteIsSeenInTheMapping", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		f, err := e.opened(pageBytes, os.O_RDWR)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{77}, 0); err != nil {
			return err
		}
		seen, err := askChild(e, "claims-read", f.Name(), "0")
		e.saw(seen != "77", "77 written by write(2) here, read by read(2) in another process: %s", seen)
		return err
	}}

var proofMincore = &proof{claimConditional,
	text{"It tells the file's owner, and who may write it. To everyone else it answers \"in memory\" for every page (5.2).", "只告诉文件属主和可写者。对其他人它对每一页都答“在内存里”（5.2）。"},
	text{"Residency answers unknown instead of the kernel's guess.", "Residency 会答未知，而不是转述内核的假话。"},
	[]string{"raw.TestMincoreTellsStrangersThatEverythingIsInMemory", "mmap.TestResidencyUnknownToStrangers"},
	func(e *exhibit) error {
		if err := e.needDisk(); err != nil {
			return err
		}
		path, err := e.coldFile(16 * pageBytes)
		if err != nil {
			return err
		}
		if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(e.dir, 0o755)); err != nil {
			return err
		}
		own, err := askChild(e, "claims-mincore", path)
		if err != nil {
			return err
		}
		e.saw(strings.HasPrefix(own, "0 "), "the owner asks about a cold file of 16 pages: %s", firstWord(own))
		other, err := askNobody(e, "claims-mincore", path)
		if err != nil {
			return err
		}
		e.saw(strings.HasPrefix(other, "0 "), "nobody asks: %s", firstWord(other))
		e.lib(strings.HasSuffix(other, " unknown"), "Residency, asked by nobody: %s", strings.TrimPrefix(other, firstWord(other)+" "))
		return nil
	}}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

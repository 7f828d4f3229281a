package main

import (
	"bytes"
	"cmp"
	"os"
	"sync/atomic"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/raw"
)

// Chapters about stores: private, shared with another process, written out,
// and shared with no file behind them.

func showPrivateStore(s *stage) error {
	page := os.Getpagesize()
	path, content, err := s.scratch(4 * page)
	if err != nil {
		return err
	}
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.CopyOnWrite})
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := load(m, 0); err != nil {
		return err
	}
	before, err := pageEntryOf(m.Addr())
	stored := content[0] + 1
	if err := store(m, 0, stored); err != nil {
		return err
	}
	after, errAfter := pageEntryOf(m.Addr())
	if err = cmp.Or(err, errAfter); err != nil {
		s.anotherWay("The page table can't be read here (%v).", "这里读不到页表信息（%v）。", err)
	} else {
		s.told(before.ofFile() && !after.ofFile(),
			"Before the store the page was the file's; after it, it is the process's own.",
			"写入之前这一页属于文件；写入之后它是进程自己的。")
		s.figure("file_frame_before", before.ofFile(), unitTruth, "pagemap bit 61", "file's frame before", "写入前是文件的页框")
		s.figure("file_frame_after", after.ofFile(), unitTruth, "pagemap bit 61", "file's frame after", "写入后是文件的页框")
		if before.frame() == 0 {
			s.anotherWay("Frame numbers need CAP_SYS_ADMIN.", "读取页框号需要 CAP_SYS_ADMIN。")
		} else {
			s.told(before.frame() != after.frame(), "The page moved to another frame: the kernel copied it.", "这一页换了页框：内核复制了它。")
			s.figure("frame_before", before.frame(), unitFrame, "pagemap", "frame before the store", "写入前的页框")
			s.figure("frame_after", after.frame(), unitFrame, "pagemap", "frame after the store", "写入后的页框")
		}
	}
	base, span := m.Span()
	if areas, err := areasOf(base, span); err == nil {
		private := sum(areas, "Anonymous")
		s.told(private == int64(page), "One page was copied, for one byte.", "只为一个字节，就复制了一整页。")
		s.figure("private_bytes", private, unitBytes, "smaps Anonymous", "private copies", "私有副本")
	}
	inFile, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	inMemory, err := load(m, 0)
	if err != nil {
		return err
	}
	s.told(inMemory == stored && bytes.Equal(inFile, content),
		"The mapping holds the new byte; the file is as it was.", "映射里是新字节；文件没有变。")
	s.figure("in_mapping", inMemory, unitNumber, "", "byte in the mapping", "映射里的字节")
	s.figure("in_file", inFile[0], unitNumber, "read", "byte in the file", "文件里的字节")
	return nil
}

func showSharedStore(s *stage) error {
	path, _, err := s.scratch(os.Getpagesize())
	if err != nil {
		return err
	}
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return err
	}
	defer m.Close()
	words, err := mmap.Slice[uint64](m, 0, answerWords)
	if err != nil {
		return err
	}
	for i := range words {
		atomic.StoreUint64(&words[i], 0)
	}
	h, err := s.startHelper(helperAnswer, nil, path)
	if err != nil {
		return s.notShown("No other process can be started here (%v).", "这里无法启动另一个进程（%v）。", err)
	}
	const question = 41
	atomic.StoreUint64(&words[wordQuestion], question)
	answered := waitWhile(&words[wordAnswer], 0)
	answer := atomic.LoadUint64(&words[wordAnswer])
	mine, pageErr := pageEntryOf(m.Addr())
	atomic.StoreUint64(&words[wordSeen], 1)
	var report answerReport
	if err := h.wait(&report); err != nil {
		return err
	}
	s.told(report.Saw == question, "This process stored a number in its mapping; another process, which maps the same file, loaded it.",
		"本进程把一个数写入自己的映射；映射同一文件的另一个进程读到了它。")
	s.told(answered && answer == question+1 && report.Acknowledged, "It stored its answer, and this process loaded that, while both ran and with no call in between.",
		"对方写入回答，本进程随即读到：双方都在运行，其间没有任何系统调用。")
	if pageErr == nil && mine.frame() != 0 {
		s.told(mine.frame() == report.Frame, "Both page tables name the same frame.", "两个进程的页表指向同一个页框。")
	}
	s.figure("this_process", os.Getpid(), unitProcess, "", "this process", "本进程")
	s.figure("other_process", report.Pid, unitProcess, "", "the other process", "另一个进程")
	s.figure("stored_here", question, unitNumber, "", "stored here", "本进程写入")
	s.figure("seen_there", report.Saw, unitNumber, "", "loaded there", "对方读到")
	s.figure("answer_seen_here", answer, unitNumber, "", "answer loaded here", "本进程读到的回答")
	if pageErr == nil && mine.frame() != 0 {
		s.figure("frame_here", mine.frame(), unitFrame, "pagemap", "frame here", "本进程的页框")
		s.figure("frame_there", report.Frame, unitFrame, "pagemap", "frame there", "对方的页框")
	}
	return nil
}

func showMsync(s *stage) error {
	page := os.Getpagesize()
	path, content, err := s.scratch(256 * page)
	if err != nil {
		return err
	}
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Sync(); err != nil {
		return err
	}
	clean, err := m.Residency(0, m.Len())
	if err != nil {
		return err
	}
	base, span := m.Span()
	var dirty, async mmap.Residency
	// Others may sync at any moment (sync(2), the kernel's own writers): what
	// MS_ASYNC does is judged by the try that left most.
	for range 3 {
		content[0]++
		if err := store(m, 0, content[0]); err != nil {
			return err
		}
		if dirty, err = m.Residency(0, m.Len()); err != nil {
			return err
		}
		if err := raw.Msync(base, span, raw.MS_ASYNC); err != nil {
			return err
		}
		if async, err = m.Residency(0, m.Len()); err != nil {
			return err
		}
		if async.Dirty > 0 {
			break
		}
	}
	if err := m.SyncRange(0, m.Len(), mmap.SyncStart); err != nil {
		return err
	}
	started, err := m.Residency(0, m.Len())
	if err != nil {
		return err
	}
	if err := m.Sync(); err != nil {
		return err
	}
	after, err := m.Residency(0, m.Len())
	if err != nil {
		return err
	}

	if dirty.Dirty == mmap.Unknown {
		return s.showMsyncBySmaps(m, content[0]+1)
	}
	s.figure("dirty_at_start", clean.Dirty, unitPages, "cachestat", "dirty at the start", "开始时的脏页")
	s.figure("dirty_stored", dirty.Dirty, unitPages, "cachestat", "dirty after a store of a byte", "写入一个字节之后的脏页")
	s.figure("dirty_async", async.Dirty, unitPages, "cachestat", "dirty after msync(MS_ASYNC)", "msync(MS_ASYNC) 之后的脏页")
	s.figure("dirty_started", started.Dirty, unitPages, "cachestat", "dirty after SyncStart", "SyncStart 之后的脏页")
	s.figure("writeback_started", started.Writeback, unitPages, "cachestat", "being written after SyncStart", "SyncStart 之后正在写出")
	s.figure("dirty_synced", after.Dirty, unitPages, "cachestat", "dirty after Sync", "Sync 之后的脏页")
	s.figure("writeback_synced", after.Writeback, unitPages, "cachestat", "being written after Sync", "Sync 之后正在写出")
	if s.sample.on.storage() == inMemory {
		return s.notShown("%s has no disk behind it, so nothing on it counts as dirty.", "%s 背后没有磁盘，它上面没有脏页可言。", s.sample.on.kind)
	}
	s.told(dirty.Dirty > 0, "A store makes its page dirty: newer in memory than on the disk.", "写入使这一页变脏：内存里的内容比磁盘上的新。")
	if dirty.Dirty > 1 {
		s.note("The file system keeps the file in folios of several pages; a folio is dirty as a whole.", "文件系统以多页的 folio 缓存文件；一个 folio 整个算脏。")
	}
	s.told(async.Dirty > 0, "MS_ASYNC starts nothing.", "MS_ASYNC 什么也不启动。")
	s.told(started.Dirty < async.Dirty, "The library's SyncStart does start writing.", "本库的 SyncStart 才真正启动写出。")
	s.told(after.Dirty == 0 && after.Writeback == 0, "After Sync, which is msync(MS_SYNC), no page is dirty and none is being written.", "Sync 即 msync(MS_SYNC)，之后没有脏页，也没有正在写出的页。")
	return nil
}

// showMsyncBySmaps asks the page table, where the kernel hides the page cache's
// counters: cachestat is Linux 6.5, containers may filter it, and on overlayfs it
// looks at an inode that has no pages.
func (s *stage) showMsyncBySmaps(m *mmap.Mapping, b byte) error {
	s.anotherWay("The page cache's counters can't be seen here (cachestat: Linux 6.5, no filter, no overlay): the page table is asked.",
		"这里看不到页缓存的计数（cachestat：需 Linux 6.5，未被过滤，且不是 overlay），改看页表。")
	base, span := m.Span()
	dirtyBytes := func() (int64, error) {
		areas, err := areasOf(base, span)
		return sum(areas, "Shared_Dirty") + sum(areas, "Private_Dirty"), err
	}
	if err := store(m, 0, b); err != nil {
		return err
	}
	before, err := dirtyBytes()
	if err != nil {
		return s.withoutProc(err)
	}
	if err := m.Sync(); err != nil {
		return err
	}
	after, err := dirtyBytes()
	if err != nil {
		return s.withoutProc(err)
	}
	s.figure("dirty_bytes_stored", before, unitBytes, "smaps", "dirty after a store", "写入之后的脏数据")
	s.figure("dirty_bytes_synced", after, unitBytes, "smaps", "dirty after Sync", "Sync 之后的脏数据")
	s.told(before > 0 && after == 0, "A store makes its page dirty, and Sync makes it clean.", "写入使页变脏，Sync 使它干净。")
	return nil
}

func showAnonymous(s *stage) error {
	s.result.Object = "memory"
	m, err := mmap.Anonymous(os.Getpagesize(), mmap.Options{Sharing: mmap.Shared})
	if err != nil {
		return err
	}
	defer m.Close()
	words, err := mmap.Slice[uint64](m, 0, 1)
	if err != nil {
		return err
	}
	memory, err := m.File()
	if err != nil {
		return err
	}
	defer memory.Close()
	h, err := s.startHelper(helperCount, []*os.File{memory})
	if err != nil {
		return s.notShown("No other process can be started here (%v).", "这里无法启动另一个进程（%v）。", err)
	}
	mine := countTurns(&words[0], 0)
	mineEntry, pageErr := pageEntryOf(m.Addr())
	var report countReport
	if err := h.wait(&report); err != nil {
		return err
	}
	counted := atomic.LoadUint64(&words[0])
	s.told(counted == countTo, "The child stored %d, and the parent reads %d.", "子进程写入 %d，父进程读到 %d。", countTo, counted)
	s.told(mine == countTo/2 && report.Steps == countTo/2, "Each took every second step, told by nothing but the number in memory.", "双方各走一步，轮到谁只看内存里的那个数。")
	if pageErr == nil && mineEntry.frame() != 0 {
		s.told(mineEntry.frame() == report.Frame, "Both page tables name the same frame.", "两个进程的页表指向同一个页框。")
	}
	s.figure("parent", os.Getpid(), unitProcess, "", "parent", "父进程")
	s.figure("child", report.Pid, unitProcess, "", "child", "子进程")
	s.figure("parent_steps", mine, unitTimes, "", "parent counted", "父进程计数")
	s.figure("child_steps", report.Steps, unitTimes, "", "child counted", "子进程计数")
	s.figure("counted", counted, unitNumber, "", "the number in the end", "最后的数")
	base, span := m.Span()
	if areas, err := areasOf(base, span); err == nil && len(areas) > 0 {
		s.figure("object", areas[0].path, unitMessage, "maps", "what is mapped", "映射的对象")
	}
	if pageErr == nil && mineEntry.frame() != 0 {
		s.figure("frame_parent", mineEntry.frame(), unitFrame, "pagemap", "frame in the parent", "父进程里的页框")
		s.figure("frame_child", report.Frame, unitFrame, "pagemap", "frame in the child", "子进程里的页框")
	}
	return nil
}

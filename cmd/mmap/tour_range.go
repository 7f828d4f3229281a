package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/raw"
)

// Chapters about ranges: where one may begin, and how parts of a mapping are
// protected, locked and grown.

func showOffset(s *stage) error {
	page := os.Getpagesize()
	o := s.subject
	if o.walked <= page+1 {
		o = s.sample // too short to have an offset inside its second page
	}
	s.result.Object = o.role
	off := int64(page + min(123, o.walked-page-1))
	n := min(page, o.walked-int(off))
	f, err := os.Open(o.path)
	if err != nil {
		return err
	}
	defer f.Close()
	addr, rawErr := raw.Mmap(0, n, raw.PROT_READ, raw.MAP_SHARED, int(f.Fd()), off)
	if rawErr == nil {
		raw.Munmap(addr, n)
	}
	m, err := mmap.OpenFile(o.path, mmap.Options{Offset: off, Length: n})
	if err != nil {
		return err
	}
	defer m.Close()
	want := make([]byte, n)
	if err := readInto(want, o.path, off); err != nil {
		return err
	}
	var same bool
	if err := m.View(0, n, func(p []byte) error { same = bytes.Equal(p, want); return nil }); err != nil {
		return err
	}
	base, span := m.Span()

	s.told(errors.Is(rawErr, syscall.EINVAL), "The kernel maps from multiples of the page only.", "内核只接受页大小整数倍的偏移。")
	s.told(same && m.Addr() == base+uintptr(off%int64(page)), "The library maps from the page below and begins where asked; the bytes are right.",
		"本库从所在页的起点映射，再从所要的字节开始；内容无误。")
	s.figure("offset", off, unitBytes, "", "offset asked for", "请求的偏移")
	s.figure("raw_answer", rawErr, unitMessage, "mmap", "raw call with it", "直接系统调用的回答")
	if areas, err := areasOf(base, span); err == nil && len(areas) > 0 {
		s.told(areas[0].offset == off/int64(page)*int64(page), "The area begins at the page that holds the byte.", "区域从这个字节所在页的起点开始。")
		s.figure("area_offset", areas[0].offset, unitBytes, "maps", "the area begins at", "区域起始偏移")
	}
	s.figure("base", base, unitAddress, "mmap", "mmap returned", "mmap 返回的地址")
	s.figure("addr", m.Addr(), unitAddress, "", "Addr of the mapping", "映射的 Addr")
	return nil
}

func showProtect(s *stage) error {
	page := os.Getpagesize()
	path, _, err := s.scratch(3 * page)
	if err != nil {
		return err
	}
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return err
	}
	defer m.Close()
	middle := int64(page)
	base, span := m.Span()
	before, err := areasOf(base, span)
	noProc := err
	if err := m.Protect(middle, page, mmap.ProtRead); err != nil {
		return err
	}
	during, err := areasOf(base, span)
	noProc = cmp.Or(noProc, err)
	refused := store(m, middle, 1)
	_, loadErr := load(m, middle)
	beside := store(m, middle-1, 1)
	if err := m.Protect(middle, page, mmap.ProtRead|mmap.ProtWrite); err != nil {
		return err
	}
	again := store(m, middle, 1)

	if noProc != nil {
		s.anotherWay("The areas can't be read here (%v).", "这里读不到地址区域（%v）。", noProc)
	} else {
		s.told(len(before) == 1 && len(during) == 3, "Protecting the middle page split the area in three.", "保护中间一页，把一个区域分成了三个。")
		s.figure("area_before", firstArea(before), unitArea, "maps", "area before", "保护之前的区域")
		for i, a := range during {
			label := text{"areas after", "保护之后的区域"}
			if i > 0 {
				label = text{}
			}
			s.figure(fmt.Sprintf("area_after_%d", i+1), a, unitArea, "maps", label.en, label.zh)
		}
	}
	var fault *mmap.FaultError
	s.told(errors.As(refused, &fault) && fault.Off == middle, "A store to it inside View is an error, and the process goes on.",
		"在 View 里写它得到一个错误，进程照常运行。")
	if noProc == nil { // the library, too, learns the reason there
		s.told(errors.Is(refused, fs.ErrPermission), "The error says why: the page's protection.", "错误写明了原因：这一页的访问权限。")
	}
	s.figure("store_answer", refused, unitMessage, "", "the store", "写入的结果")
	s.told(loadErr == nil && beside == nil, "Loads of it, and stores beside it, still work.", "读它，以及写旁边的页，仍然可以。")
	s.told(again == nil, "With the protection changed back the store works.", "恢复权限后，写入成功。")
	return nil
}

func showLock(s *stage) error {
	limit, err := memlockLimit()
	if err != nil {
		return s.withoutProc(err)
	}
	free, err := mayLockAnything()
	if err != nil {
		return s.withoutProc(err)
	}
	s.figure("limit", limit, unitBytes, "/proc/self/limits", "RLIMIT_MEMLOCK", "RLIMIT_MEMLOCK")
	s.figure("ipc_lock", free, unitTruth, "status CapEff", "CAP_IPC_LOCK: no limit", "CAP_IPC_LOCK：不受限")
	if err := s.showRefusal(free, limit); err != nil {
		return err
	}
	if !free && limit != unlimited && limit < int64(os.Getpagesize()) {
		s.result.Object = "memory"
		return s.notShown("RLIMIT_MEMLOCK is %d: this process may lock no page, so none can be seen to stay.",
			"RLIMIT_MEMLOCK 为 %d：本进程一页也不能锁定，无法展示锁定的页留在内存。", limit)
	}
	return s.showLockedPagesStay(free || limit == unlimited, limit)
}

// showRefusal shows the limit at work: in this process where it binds, else in
// one of nobody's.
func (s *stage) showRefusal(free bool, limit int64) error {
	var r lockReport
	var err error
	switch {
	case limit == unlimited:
		s.note("There is no limit here, so nothing to refuse.", "这里没有上限，也就没有拒绝可看。")
		return nil
	case free:
		if r, err = s.lockAsNobody(); err != nil {
			s.note("The limit binds others; a process that it binds can't be started here (%v).",
				"上限只约束别的进程，而这里无法启动一个受它约束的进程（%v）。", err)
			return nil
		}
	default:
		if r, err = lockPastLimit(); err != nil {
			s.note("A lock past the limit can't be tried here (%v).", "这里无法尝试超限锁定（%v）。", err)
			return nil
		}
	}
	s.told(r.Refused, "Locking one page more than the limit is refused; the error names the limit and who may raise it.",
		"比上限多锁一页即被拒绝；错误写明是哪个上限、谁能提高它。")
	s.figure("refused_user", r.User, unitNumber, "", "user who tried", "尝试者的用户号")
	s.figure("refused_bytes", r.Asked, unitBytes, "", "asked for", "请求锁定")
	s.figure("refused_answer", errors.New(r.Said), unitMessage, "", "the answer", "回答")
	return nil
}

func (s *stage) lockAsNobody() (r lockReport, err error) {
	attr, err := asNobody()
	if err != nil {
		return r, err
	}
	h, err := s.startHelperAs(attr, helperLock, nil)
	if err != nil {
		return r, err
	}
	return r, h.wait(&r)
}

// mostLockedPages is what the chapter locks at most.
const mostLockedPages = 64

func (s *stage) showLockedPagesStay(anything bool, limit int64) error {
	evict(s.sample)
	m, err := s.open(s.sample)
	if err != nil {
		return err
	}
	defer m.Close()
	page := m.PageSize()
	n := mostLockedPages * page
	if !anything {
		n = min(n, int(limit)/page*page)
	}
	locked, free := int64(0), int64(m.Len())/2/int64(page)*int64(page)
	before, err := lockedBytes()
	if err != nil {
		return s.withoutProc(err)
	}
	if err := m.Lock(locked, n, mmap.LockNow); err != nil {
		var limit *mmap.LimitError
		if errors.As(err, &limit) {
			return s.notShown("The lock was refused: %v.", "锁定被拒绝：%v。", limit)
		}
		return err
	}
	if err := m.Populate(context.Background(), free, n); err != nil {
		return err
	}
	after, err := lockedBytes()
	if err != nil {
		return s.withoutProc(err)
	}
	disk := s.sample.on.storage() != inMemory
	freeLeft, freeErr, err := drop(m, free, n, disk)
	if err != nil {
		return err
	}
	lockLeft, lockErr, err := drop(m, locked, n, false)
	if err != nil {
		return err
	}
	if err := m.Unlock(locked, n); err != nil {
		return err
	}
	unlockLeft, _, err := drop(m, locked, n, disk)
	if err != nil {
		return err
	}
	whole := mmap.PageCount(n / page)
	s.told(after-before == int64(n), "The kernel counts the locked range.", "内核把锁定的范围计入 VmLck。")
	s.figure("locked_bytes", after-before, unitBytes, "status VmLck", "locked", "锁定")
	s.told(lockLeft == whole || lockLeft == mmap.Unknown, "Evicting the locked range is refused, and all of it stays in memory.",
		"清出锁定的范围被拒绝，它全部留在内存里。")
	s.figure("locked_left", lockLeft, unitPages, "cachestat, mincore", "left: locked range", "清出后剩余：锁定的范围")
	if lockErr != nil {
		s.figure("locked_answer", cause(lockErr), unitMessage, "", "the answer", "回答")
	}
	s.figure("free_left", freeLeft, unitPages, "cachestat, mincore", "left: a range beside it", "清出后剩余：旁边的范围")
	s.figure("unlocked_left", unlockLeft, unitPages, "cachestat, mincore", "left: once unlocked", "清出后剩余：解锁之后")
	switch {
	case !disk:
		s.anotherWay("%s is memory itself: nothing on it can be evicted, locked or not.", "%s 本身就是内存：不论锁定与否，都无法清出。", s.sample.on.kind)
	case freeLeft == mmap.Unknown:
		s.anotherWay("What is in memory can't be seen here (%v).", "这里看不到哪些页在内存里（%v）。", cause(freeErr))
	default:
		s.told(freeLeft == 0, "The same call emptied a range beside it.", "同样的调用清空了旁边的范围。")
		s.told(unlockLeft == 0, "Once unlocked the range leaves too.", "解锁之后，这段范围也能清出。")
	}
	return nil
}

func showGrowth(s *stage) error {
	page := os.Getpagesize()
	path, content, err := s.scratch(page)
	if err != nil {
		return err
	}
	const grown, reserve = 8 << 20, 64 << 20
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite, Reserve: reserve})
	if err != nil {
		return err
	}
	defer m.Close()
	addr := m.Addr()
	if err := m.Resize(grown); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return s.notShown("The disk is full: %v.", "磁盘已满：%v。", cause(err))
		}
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	first, err := load(m, 0)
	if err != nil {
		return err
	}
	stored := store(m, grown-1, 7)
	last, err := readByte(path, grown-1)
	s.told(m.Len() == grown && info.Size() == grown, "Resize made the mapping and its file longer.", "Resize 同时加长了映射和它的文件。")
	s.told(m.Addr() == addr, "No byte moved: the addresses had been kept by Reserve.", "字节没有搬家：Reserve 事先保留了地址。")
	s.told(first == content[0] && err == nil && stored == nil && last == 7, "The old bytes are there, and a store to the last new one is in the file.",
		"旧的字节还在；写入最后一个新字节，文件里就能读到。")
	s.figure("length_before", page, unitBytes, "", "length before", "之前的长度")
	s.figure("length_after", m.Len(), unitBytes, "", "length after", "之后的长度")
	s.figure("file_size", info.Size(), unitBytes, "stat", "file", "文件大小")
	s.figure("addr_before", addr, unitAddress, "", "address before", "之前的地址")
	s.figure("addr_after", m.Addr(), unitAddress, "", "address after", "之后的地址")
	allocated, err := allocatedBytes(path)
	if err != nil {
		s.anotherWay("The blocks of a file can't be seen here (%v).", "这里看不到文件占用的块（%v）。", err)
		return nil
	}
	s.figure("allocated", allocated, unitBytes, "st_blocks", "blocks of the file", "文件占用的块")
	if !s.sample.on.overwrites() {
		s.anotherWay("%s writes elsewhere than in place or is not known: its blocks promise nothing.", "%s 不在原处写入，或情况不明：它的块不构成保证。", s.fileSystem(s.sample.on))
		return nil
	}
	s.told(allocated >= grown, "Every new byte has a block: a full disk is an error of Resize, and no signal later.",
		"每个新字节都已有块：磁盘满会在 Resize 时报错，而不是以后的信号。")
	return nil
}

package main

import (
	"bytes"
	"cmp"
	"errors"
	"os"

	"github.com/memwright/mmap"
)

// Chapters about reading: what mapping a file does, what the first touch does,
// and whose memory the bytes are in.

func showMapping(s *stage) error {
	var m *mmap.Mapping
	var stayed mmap.PageCount
	var why error
	var after mmap.Residency
	for range 3 { // others may read the file at any moment
		if m != nil {
			m.Close()
		}
		stayed, why = evict(s.subject)
		var err error
		if m, err = s.open(s.subject); err != nil {
			return err
		}
		defer m.Close() // of one that is closed, it does nothing
		if after, err = m.Residency(0, m.Len()); err != nil {
			return err
		}
		if after.Resident <= stayed {
			break
		}
	}
	base, span := m.Span()
	areas, err := areasOf(base, span)
	if err != nil {
		return s.withoutProc(err)
	}
	entries := sum(areas, "Rss") / int64(m.PageSize())
	whole := pagesIn(m.Len(), m.PageSize())

	s.told(len(areas) == 1 && int64(span) == whole*int64(m.PageSize()) && areas[0].start == base,
		"mmap gave a range of addresses, its length rounded up to whole pages.",
		"mmap 只给出一段地址，长度向上取整到整页。")
	s.told(entries == 0,
		"Not one page of it has an entry in the page table.",
		"其中没有一页在页表里有表项。")
	s.figure("length", m.Len(), unitBytes, "", "length asked for", "请求映射的长度")
	s.figure("area", firstArea(areas), unitArea, "maps", "area", "地址区域")
	s.figure("span", whole, unitPages, "", "rounded up to", "取整为")
	s.figure("page_table_entries", entries, unitPages, "smaps Rss", "in the page table", "页表里有表项")
	switch cold := s.showEvicted(s.subject, stayed, why); {
	case cold:
		s.told(after.Resident == 0, "It read nothing of the file: no page of it is in memory.",
			"映射没有读取文件的任何内容：文件没有一页在内存里。")
	case stayed != mmap.Unknown:
		s.told(after.Resident <= stayed, "It read nothing of the file: no more of it is in memory than before.",
			"映射没有读取文件的任何内容：在内存里的页不比之前多。")
	}
	s.figure("cached_after_mapping", after.Resident, unitPages, "cachestat, mincore", "in memory after mapping", "映射之后在内存里")
	s.showPicture("picture", m, "in memory: . nothing, # all of the part", "在内存里的部分：. 没有，# 全部")
	return nil
}

func firstArea(areas []vmArea) any {
	if len(areas) == 0 {
		return nil
	}
	return areas[0]
}

func showFirstTouch(s *stage) error {
	meter, err := s.meter()
	if err != nil {
		return s.withoutProc(err)
	}
	var t touch
	// A read of more than about 10 ms is interrupted by a signal of the Go
	// runtime's scheduler, and the load starts again: the kernel then counts
	// minor faults, since the read was under way. Warmer storage may be faster.
	for range 3 {
		t.close()
		if t, err = s.touchFirst(meter); err != nil {
			return err
		}
		if t.cost.major > 0 || t.before.Resident != 0 {
			break
		}
	}
	defer t.close()
	entries, err := entriesOf(t.m)
	if err != nil {
		return s.withoutProc(err)
	}
	there, err := t.m.Residency(t.at, 1)
	if err != nil {
		return err
	}
	all, err := t.m.Residency(0, t.m.Len())
	if err != nil {
		return err
	}

	s.showEvicted(s.subject, t.stayed, t.why)
	s.figure("offset", t.at, unitBytes, "", "the byte touched is at", "触碰的字节位于")
	s.figure("major_faults", t.cost.major, unitFaults, "thread-self/stat", "major faults", "主缺页（要等读盘）")
	s.figure("minor_faults", t.cost.minor, unitFaults, "thread-self/stat", "minor faults", "次缺页（不必读盘）")
	s.figure("read_bytes", unlessErr(t.cost.readBytes, t.cost.ioErr), unitBytes, "thread-self/io", "read from storage", "从存储读入")
	s.figure("page_table_entries", entries, unitPages, "smaps Rss", "now in the page table", "此刻页表里有表项")
	s.figure("cached_after_touch", all.Resident, unitPages, "cachestat, mincore", "now in memory", "此刻在内存里")
	s.showPicture("picture", t.m, "in memory: . nothing, - some, + half or more, # all of the part",
		"在内存里的部分：. 没有，- 不到一半，+ 一半以上，# 全部")
	switch {
	case t.cost.major > 0:
		s.told(t.cost.major > 0, "The load of one byte stopped in a major fault until its page had been read.",
			"读取一个字节引发主缺页：线程停下，直到它所在的页读入。")
	case t.before.Resident == 0:
		s.told(there.Resident == 1, "The load of one byte brought its page in: it was not in memory before.",
			"读取一个字节把它所在的页带进了内存：此前它不在内存里。")
		s.anotherWay("The read was so slow that a signal of the Go runtime interrupted the fault; the kernel then counts minor faults.",
			"读盘太慢，缺页被 Go 运行时的信号打断，内核于是记为次缺页。")
	case t.before.Resident == mmap.Unknown:
		s.told(t.cost.minor > 0, "The load of one byte cost a minor fault.", "读取一个字节引发了次缺页。")
	default:
		s.told(t.cost.minor > 0, "The page was in memory: the load cost a minor fault, and no read.",
			"这一页已在内存里：读取只引发次缺页，没有读盘。")
		s.anotherWay("A major fault needs a page that is not in memory.", "主缺页需要一个不在内存里的页。")
	}
	if t.before.Resident == 0 && all.Resident > 1 {
		s.note("The kernel read ahead: %s pages came in for one byte.", "内核预读：为一个字节读入了 %s 页。", grouped(int64(all.Resident)))
	}
	if entries == 1 {
		s.told(entries == 1, "The fault put one page into the page table.", "缺页处理把一页填入了页表。")
	} else {
		s.told(entries > 0, "The fault put %s pages into the page table at once (fault-around).", "缺页处理一次把 %s 页填入了页表（fault-around）。", grouped(entries))
	}
	if err := s.showNextTouches(t.m, meter, t.at); err != nil {
		return err
	}
	want, err := readByte(s.subject.path, t.at)
	s.told(err == nil && t.b == want, "The byte is the one that read gives.", "读到的字节与 read 得到的一致。")
	return nil
}

// A touch is the first load from a new mapping of a file that has been evicted.
type touch struct {
	m      *mmap.Mapping
	at     int64
	b      byte // what was loaded
	stayed mmap.PageCount
	why    error
	before mmap.Residency // of the page
	cost   charges
}

func (t touch) close() {
	if t.m != nil {
		t.m.Close()
	}
}

func (s *stage) touchFirst(meter *threadMeter) (t touch, err error) {
	t.stayed, t.why = evict(s.subject)
	if t.m, err = s.open(s.subject); err != nil {
		return t, err
	}
	page := int64(t.m.PageSize())
	t.at = int64(t.m.Len()) / 2 / page * page
	if t.before, err = t.m.Residency(t.at, 1); err == nil {
		var loadErr error
		t.cost, err = meter.during(func() { t.b, loadErr = load(t.m, t.at) })
		err = errors.Join(err, loadErr)
	}
	if err != nil {
		t.close()
		t.m = nil
	}
	return t, err
}

// showNextTouches touches the next byte of the page, and the next page.
func (s *stage) showNextTouches(m *mmap.Mapping, meter *threadMeter, at int64) error {
	if at+1 >= int64(m.Len()) {
		s.note("There is no next byte.", "没有下一个字节了。")
		return nil
	}
	// The Go runtime may fault on this thread at any moment. A fault that the
	// byte itself costs would come back each time.
	next := int64(-1)
	for range 5 {
		c, err := meter.during(func() { load(m, at+1) })
		if err != nil {
			return err
		}
		if n := c.minor + c.major; next < 0 || n < next {
			next = n
		}
	}
	s.told(next == 0, "The next byte of that page costs no fault.", "同一页的下一个字节不再引发缺页。")
	s.figure("next_byte_faults", next, unitFaults, "thread-self/stat", "faults of the next byte", "下一个字节的缺页")

	neighbour := at + int64(m.PageSize())
	if neighbour >= int64(m.Len()) {
		return nil
	}
	cached, err := m.Residency(neighbour, 1)
	if err != nil || cached.Resident != 1 {
		return err
	}
	entries, err := entriesOf(m)
	if err != nil {
		return err
	}
	c, err := meter.during(func() { load(m, neighbour) })
	if err != nil {
		return err
	}
	more, err := entriesOf(m)
	if err != nil {
		return err
	}
	s.told(c.major == 0, "The next page was in memory already: touching it read nothing.", "下一页已在内存里：触碰它不用读盘。")
	if more > entries+1 {
		s.note("Its minor fault mapped %s pages around it at once (fault-around).", "这次次缺页一并映射了周围共 %s 页（fault-around）。", grouped(more-entries))
	}
	s.figure("next_page_faults", c.minor, unitFaults, "thread-self/stat", "faults of the next page", "下一页的缺页")
	s.figure("page_table_entries_next", more, unitPages, "smaps Rss", "then in the page table", "之后页表里有表项")
	return nil
}

func unlessErr(v int64, err error) any {
	if err != nil {
		return nil
	}
	return v
}

// entriesOf is how many pages of a mapping have page-table entries.
func entriesOf(m *mmap.Mapping) (int64, error) {
	base, span := m.Span()
	areas, err := areasOf(base, span)
	return sum(areas, "Rss") / int64(m.PageSize()), err
}

func showOneFrame(s *stage) error {
	a, err := s.open(s.subject)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := s.open(s.subject)
	if err != nil {
		return err
	}
	defer b.Close()
	buffer, err := anonymousPage()
	if err != nil {
		return err
	}
	defer buffer.Close()
	at := int64(a.Len()) / 2 / int64(a.PageSize()) * int64(a.PageSize())
	if err := readInto(buffer.Bytes(), s.subject.path, at); err != nil {
		return err
	}
	for _, m := range []*mmap.Mapping{a, b} {
		if _, err := load(m, at); err != nil {
			return err
		}
	}
	inA, inB, inBuffer, err := entriesAt(a.Addr()+uintptr(at), b.Addr()+uintptr(at), buffer.Addr())
	switch {
	case err != nil:
		s.anotherWay("The page table can't be read here (%v).", "这里读不到页表信息（%v）。", err)
	case inA.frame() == 0:
		s.anotherWay("Frame numbers need CAP_SYS_ADMIN.", "读取页框号需要 CAP_SYS_ADMIN。")
		s.told(inA.ofFile() && inB.ofFile() && !inBuffer.ofFile(),
			"Both mappings show a frame of the file's own; read filled a frame of the process's own.",
			"两个映射看到的都是属于文件的页框；read 填的是进程自己的页框。")
		s.figure("file_frame_a", inA.ofFile(), unitTruth, "pagemap bit 61", "first mapping: file's frame", "第一个映射：文件的页框")
		s.figure("file_frame_b", inB.ofFile(), unitTruth, "pagemap bit 61", "second mapping: file's frame", "第二个映射：文件的页框")
		s.figure("file_frame_buffer", inBuffer.ofFile(), unitTruth, "pagemap bit 61", "read's buffer: file's frame", "read 缓冲区：文件的页框")
	default:
		s.told(inA.frame() == inB.frame(), "Two mappings of the file show the same frame of memory.", "文件的两个映射看到的是内存中同一个页框。")
		s.told(inBuffer.frame() != inA.frame(), "read copied the same bytes to a frame of its own.", "read 把同样的字节拷贝到了另一个页框。")
		s.figure("frame_a", inA.frame(), unitFrame, "pagemap", "frame, first mapping", "页框：第一个映射")
		s.figure("frame_b", inB.frame(), unitFrame, "pagemap", "frame, second mapping", "页框：第二个映射")
		s.figure("frame_buffer", inBuffer.frame(), unitFrame, "pagemap", "frame, read's buffer", "页框：read 的缓冲区")
	}
	return s.showSeenThroughBoth(buffer.Bytes())
}

// entriesAt looks three pages up. A page may be moved between two looks: then
// all are looked up again.
func entriesAt(a, b, c uintptr) (ea, eb, ec pageEntry, err error) {
	for range 3 {
		var errs [3]error
		ea, errs[0] = pageEntryOf(a)
		eb, errs[1] = pageEntryOf(b)
		ec, errs[2] = pageEntryOf(c)
		if err = cmp.Or(errs[:]...); err != nil || ea.frame() == eb.frame() {
			break
		}
	}
	return ea, eb, ec, err
}

// showSeenThroughBoth needs no look at frames: a store through one mapping
// would not show in the other if either had a copy.
func (s *stage) showSeenThroughBoth(buffer []byte) error {
	object := s.result.Object
	path, content, err := s.scratch(len(buffer))
	if err != nil {
		return err
	}
	s.result.Object = object
	var maps [2]*mmap.Mapping
	for i := range maps {
		if maps[i], err = mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite}); err != nil {
			return err
		}
		defer maps[i].Close()
	}
	if err := readInto(buffer, path, 0); err != nil {
		return err
	}
	stored := content[0] + 1
	if err := store(maps[0], 0, stored); err != nil {
		return err
	}
	seen, err := load(maps[1], 0)
	if err != nil {
		return err
	}
	s.told(seen == stored && buffer[0] == content[0] && bytes.Equal(buffer, content),
		"A store through one mapping is in the other with no call between; the buffer of an earlier read keeps the old byte.",
		"通过一个映射写入，另一个映射立即看到，其间没有任何系统调用；先前 read 的缓冲区仍是旧字节。")
	s.figure("stored", stored, unitNumber, "", "stored through the first", "通过第一个映射写入")
	s.figure("seen", seen, unitNumber, "", "loaded through the second", "通过第二个映射读到")
	s.figure("in_buffer", buffer[0], unitNumber, "", "still in read's buffer", "read 的缓冲区里仍是")
	return nil
}

// anonymousPage is a page of private memory, in memory.
func anonymousPage() (*mmap.Mapping, error) {
	m, err := mmap.Anonymous(os.Getpagesize(), mmap.Options{})
	if err != nil {
		return nil, err
	}
	if err := store(m, 0, 1); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// readInto fills buf from the file by a file call, as far as the file goes.
func readInto(buf []byte, path string, off int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.ReadAt(buf, off)
	if n > 0 {
		return nil
	}
	return err
}

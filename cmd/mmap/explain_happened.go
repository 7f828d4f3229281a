package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// happened tells what a step did, a sentence for each event, faults before what
// they brought about.
func (d describer) happened(m *script.Moment) []string {
	var list []string
	for _, e := range inOrder(m.Events) {
		if s := d.sentence(e); s != "" {
			list = append(list, s)
		}
	}
	for _, left := range m.Crash {
		var versions []string
		for _, c := range left.Versions {
			versions = append(versions, d.content(c, 20))
		}
		list = append(list, fmt.Sprintf(d.say("page %d of %s may be any of: %s", "%[2]s 第 %[1]d 页可能是其中之一：%[3]s"),
			left.Page, left.File, strings.Join(versions, d.say(", ", "、"))))
	}
	return list
}

// inOrder puts each fault before the bytes that moved for it: the engine tells
// a fault when it is resolved.
func inOrder(events []script.Event) []script.Event {
	events = slices.Clone(events)
	for i, e := range events {
		if e.Kind > vmem.FaultBus {
			continue
		}
		brought := func(b script.Event) bool { // about by this fault
			return b.Kind >= vmem.BytesIn && b.Kind != vmem.BytesCopied && (e.Kind == vmem.FaultMajor || b.Frame == e.Frame)
		}
		for j := i; j > 0 && brought(events[j-1]); j-- {
			events[j-1], events[j] = events[j], events[j-1]
		}
	}
	return events
}

func (d describer) sentence(e script.Event) string {
	at := d.where(e.Process, e.Addr)
	page := fmt.Sprintf(d.say("page %d of %s", "%[2]s 第 %[1]d 页"), e.Off/vmem.PageSize, d.fileName(e.File))
	say := func(en, zh string, args ...any) string { return fmt.Sprintf(d.say(en, zh), args...) }
	bytes := d.bytes(int64(e.N))
	switch e.Kind {
	case vmem.FaultMinor:
		if anonymous(e.File) {
			return say("fault at %s: %s is frame %d; the entry was missing", "%s 处缺页：%s是页框 %d，缺少表项", at, page, e.Frame)
		}
		return say("minor fault at %s: %s is in memory, in frame %d; only the entry was missing",
			"%s 处次缺页：%s已在内存的页框 %d 里，只缺表项", at, page, e.Frame)
	case vmem.FaultMajor:
		return say("major fault at %s: %s is not in memory, and must be read", "%s 处主缺页：%s不在内存里，必须读盘", at, page)
	case vmem.FaultZero:
		return say("fault at %s: nothing was stored here yet; the entry shows the page of zeros", "%s 处缺页：这里还没有写入过；表项指向全零页", at)
	case vmem.FaultFresh:
		return say("fault at %s: there is no page yet; frame %d is taken for it", "%s 处缺页：还没有页；为它取页框 %d", at, e.Frame)
	case vmem.FaultCopy:
		whose := say("others have frame %d too", "页框 %d 还有别人在用", e.From)
		if e.File != "" {
			whose = say("frame %d is %s, which a private store must not change", "页框 %d 是 %s，私有写入不能改动它", e.From, page)
		}
		return say("copy-on-write fault at %s: %s", "%s 处写时复制缺页：%s", at, whose)
	case vmem.FaultReuse:
		return say("fault at %s: nobody else has frame %d any more; the entry becomes writable", "%s 处缺页：页框 %d 已没有别人在用；表项变为可写", at, e.Frame)
	case vmem.FaultNotify:
		return say("fault at %s: the first store to a clean page; it is dirty now, its entry writable", "%s 处缺页：对干净页的第一次写入；它现在是脏页，表项变为可写", at)
	case vmem.BytesIn:
		return say("%s copied: disk, %s -> frame %d", "拷贝 %s：磁盘 %s -> 页框 %d", bytes, page, e.Frame)
	case vmem.BytesOut:
		return say("%s copied: frame %[3]d -> disk, %[2]s", "拷贝 %s：页框 %[3]d -> 磁盘 %[2]s", bytes, page, e.Frame)
	case vmem.BytesCopied:
		return say("%s copied: frame %d -> frame %d", "拷贝 %s：页框 %d -> 页框 %d", bytes, e.From, e.Frame)
	case vmem.BytesRead:
		return say("%s copied: frame %d, %s -> the buffer of read", "拷贝 %s：页框 %d（%s）-> read 的缓冲区", bytes, e.Frame, page)
	case vmem.BytesWritten:
		return say("%s copied: the buffer of write -> frame %d, %s", "拷贝 %s：write 的缓冲区 -> 页框 %d（%s）", bytes, e.Frame, page)
	case vmem.BytesZeroed:
		return say("frame %d is filled with zeros", "页框 %d 清零", e.Frame)
	case vmem.Evicted:
		return say("%s leaves memory; frame %d is free", "%s离开内存；页框 %d 空出", page, e.Frame)
	case vmem.Synced:
		return say("the disk is told to make %s durable", "通知磁盘使 %s 持久", e.File)
	}
	return "" // a signal: it is the step's outcome
}

// outcome is what a step returned, "" where there is nothing to tell.
func (d describer) outcome(m *script.Moment) string {
	o := m.Outcome
	switch o.Kind {
	case script.Number:
		return "= " + grouped(o.Value)
	case script.Address:
		return fmt.Sprintf("= 0x%x", uint64(o.Addr))
	case script.Loaded:
		if m.Call == "mincore" {
			return fmt.Sprint("= ", o.Bytes)
		}
		if strings.Trim(string(o.Bytes), "\x00") == "" {
			return "= " + d.say("zeros", "全零")
		}
		return "= " + d.brief(string(o.Bytes))
	case script.Refused:
		return "= " + o.Errno.Name() + d.say(": ", "：") + o.Errno.Error()
	case script.Faulted:
		return fmt.Sprintf(d.say("%s at %s: %s. Without a handler the process would end here.",
			"%s，位于 %s：%s。没有处理函数的进程到此为止。"), signalName(o), d.where(m.Process, o.Addr), d.signalMeans(o))
	case script.Impaired:
		return d.say("memory is full, and nothing can leave it: a kernel would end a process now", "内存已满，没有页可以离开：内核此时会杀死一个进程")
	}
	return ""
}

// brief is a text in quotes, cut where it is too long for a line.
func (d describer) brief(s string) string {
	const most = 60
	if len(s) > most {
		return quoted(s[:most]) + "..."
	}
	return quoted(s)
}

func signalName(o script.Outcome) string {
	if o.Signal == vmem.SIGBUS {
		return "SIGBUS"
	}
	return "SIGSEGV"
}

func (d describer) signalMeans(o script.Outcome) string {
	switch {
	case o.Signal == vmem.SIGBUS:
		return d.say("an area, and nothing behind it", "有区域，但后面没有内容")
	case o.Code == vmem.MAPERR:
		return d.say("no area", "没有区域")
	}
	return d.say("the area forbids it", "区域不允许")
}

// copied are the copies that are counted, by where from and where to.
var copied = []struct {
	kind vmem.EventKind
	id   string
	name text
}{
	{vmem.BytesIn, "disk_to_page", text{"disk -> page", "磁盘 -> 页"}},
	{vmem.BytesRead, "page_to_reader", text{"page -> read's buffer", "页 -> read 的缓冲区"}},
	{vmem.BytesWritten, "writer_to_page", text{"write's buffer -> page", "write 的缓冲区 -> 页"}},
	{vmem.BytesCopied, "page_to_page", text{"page -> page", "页 -> 页"}},
	{vmem.BytesOut, "page_to_disk", text{"page -> disk", "页 -> 磁盘"}},
}

// totals are the bytes copied since the beginning.
func (d describer) totals() string {
	var list []string
	for _, c := range copied {
		if n := d.state.Totals.Bytes[c.kind]; n > 0 {
			list = append(list, d.say(c.name.en, c.name.zh)+" "+grouped(n))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return d.say("bytes copied so far: ", "至此拷贝的字节：") + strings.Join(list, d.say(", ", "，"))
}

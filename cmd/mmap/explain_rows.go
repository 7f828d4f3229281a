package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// A row is a line of the picture of a moment. Rows with the same key at two
// moments are the same thing: where their text differs, it has changed.
type row struct {
	key  string // "": never marked
	text string
}

// A block is the rows under one heading.
type block struct {
	title row
	rows  []row
}

// A describer puts a state into rows. Its widths are those of a terminal.
type describer struct {
	*console
	state script.State
}

func (c *console) blocks(s script.State) []block {
	d := describer{c, s}
	var list []block
	for _, p := range s.Processes {
		list = append(list, d.process(p))
	}
	list = append(list, d.memory())
	for _, f := range s.Files {
		list = append(list, d.file(f))
	}
	return list
}

// process is its areas and, under each, its page table.
func (d describer) process(p script.Process) block {
	title := d.say("process ", "进程 ") + p.Name
	if p.Locked > 0 {
		title += d.say(", ", "，") + d.say("locked ", "已锁定 ") + d.bytes(int64(p.Locked))
	}
	b := block{title: row{"p/" + p.Name, title}}
	if len(p.Areas) == 0 {
		b.rows = append(b.rows, row{"", d.say("no areas", "没有区域")})
	}
	for _, a := range p.Areas {
		key := fmt.Sprintf("/%s/%x", p.Name, uint64(a.Start))
		b.rows = append(b.rows, row{"a" + key, d.area(a)})
		next := a.Start
		gap := func(to vmem.Addr) {
			if n := int64(to-next) / vmem.PageSize; n > 0 {
				b.rows = append(b.rows, row{"", fmt.Sprintf("  %-10s -- %s", d.where(p.Name, next), d.noEntries(n))})
			}
		}
		for _, page := range a.Pages {
			gap(page.Addr)
			b.rows = append(b.rows, row{fmt.Sprintf("e/%s/%x", p.Name, uint64(page.Addr)), d.entry(p.Name, page)})
			next = page.Addr + vmem.PageSize
		}
		gap(a.End)
	}
	return b
}

func (d describer) noEntries(n int64) string {
	if n == 1 {
		return d.say("no entry", "没有表项")
	}
	return fmt.Sprintf(d.say("no entries for %s pages", "%s 页没有表项"), grouped(n))
}

// area is a row of /proc/PID/maps.
func (d describer) area(a script.Area) string {
	s := fmt.Sprintf("%x-%x %s ", uint64(a.Start), uint64(a.End), perms(a))
	switch {
	case a.Object == nil:
		s += d.say("private memory", "私有内存")
	case anonymous(a.File):
		s += d.say("shared memory", "共享内存")
	default:
		s += fmt.Sprintf(d.say("%s from byte %s", "%s 自第 %s 字节"), a.File, grouped(a.Offset))
	}
	for _, f := range []struct {
		on   bool
		what text
	}{
		{a.Locked, text{"locked", "已锁定"}}, {a.DontFork, text{"not forked", "不随 fork"}},
		{a.WipeOnFork, text{"wiped on fork", "fork 时清零"}}, {a.Random, text{"random", "随机读"}},
		{a.Sequential, text{"sequential", "顺序读"}},
	} {
		if f.on {
			s += d.say(", ", "，") + d.say(f.what.en, f.what.zh)
		}
	}
	return s
}

// where names an address of a process by the nearest name before it that is the
// process's.
func (d describer) where(process string, at vmem.Addr) string {
	const near = 1 << 30
	best := fmt.Sprintf("%x", uint64(at))
	var from vmem.Addr
	for _, n := range d.state.Names {
		if n.Process == process && n.Addr <= at && n.Addr >= from && at-n.Addr < near {
			best, from = n.Name, n.Addr
			if at > n.Addr {
				best += "+" + strconv.FormatUint(uint64(at-n.Addr), 10)
			}
		}
	}
	return best
}

// entry is an entry of a page table, and what is seen through it.
func (d describer) entry(process string, p script.Page) string {
	frame := d.say("frame ", "页框 ") + strconv.Itoa(p.Entry.Frame)
	if p.Entry.Frame == 0 {
		frame = d.say("zeros", "全零页")
	}
	right := d.say("read-only", "只读")
	switch {
	case p.Entry.Bits&vmem.Present == 0:
		right = d.say("hidden", "隐藏")
	case p.Entry.Bits&vmem.Writable != 0:
		right = d.say("writable", "可写")
	}
	var bits []string
	for _, b := range []struct {
		bit  vmem.Bits
		what text
	}{
		{vmem.Accessed, text{"accessed", "已访问"}}, {vmem.Dirty, text{"dirty", "脏"}}, {vmem.Private, text{"own", "私有"}},
	} {
		if p.Entry.Bits&b.bit != 0 {
			bits = append(bits, d.say(b.what.en, b.what.zh))
		}
	}
	return fmt.Sprintf("  %s -> %s %s %s %s", pad(d.where(process, p.Addr), 10), pad(frame, 9), pad(right, 9),
		pad(strings.Join(bits, " "), 18), d.content(p.Content, 24))
}

// memory is the frames.
func (d describer) memory() block {
	b := block{title: row{"", d.say("memory", "内存")}}
	for _, f := range d.state.Frames {
		whose := d.say("private", "私有")
		if f.File != "" {
			whose = fmt.Sprintf(d.say("page %d of %s", "%[2]s 第 %[1]d 页"), f.Page, d.fileName(f.File))
			switch f.State {
			case vmem.StateDirty:
				whose += d.say(", dirty", "，脏")
			case vmem.StatePoisoned:
				whose += d.say(", unreadable", "，读取失败")
			}
			if f.Pinned {
				whose += d.say(", locked", "，已锁定")
			}
		}
		name := pad(d.say("frame ", "页框 ")+strconv.Itoa(f.Number), 9)
		b.rows = append(b.rows, row{"f/" + strconv.Itoa(f.Number),
			fmt.Sprintf("%s %s %s %s", name, pad(d.content(f.Content, 18), 18), pad(whose, 20), d.shownBy(f))})
	}
	if len(b.rows) == 0 {
		b.rows = []row{{"", d.say("no frame is in use", "没有使用中的页框")}}
	}
	return b
}

// shownBy lists the entries that show a frame: those that several processes have
// under one name together.
func (d describer) shownBy(f script.Frame) string {
	if len(f.Mappers) == 0 {
		return d.say("no entry shows it", "没有表项指向它")
	}
	var processes, entries, both []string
	for i, m := range f.Mappers {
		at := d.where(m.Process, m.Addr)
		entries = append(entries, at)
		if i > 0 && m.Process == f.Mappers[i-1].Process {
			both[len(both)-1] += " " + at
			continue
		}
		processes = append(processes, m.Process)
		both = append(both, m.Process+" "+at)
	}
	if len(processes) > 1 && len(processes) == len(entries) && len(slices.Compact(entries)) == 1 {
		return "<- " + strings.Join(processes, ", ") + ": " + entries[0]
	}
	return "<- " + strings.Join(both, ", ")
}

// fileName is a file's name, of shared anonymous memory what it is.
func (d describer) fileName(name string) string {
	if anonymous(name) {
		return d.say("shared memory", "共享内存")
	}
	return name
}

// anonymous tells whether an object is no script's file: those have plain names.
func anonymous(name string) bool { return strings.HasPrefix(name, "/") }

// file is what the disk has of it. Pages in a row that are zeros and nowhere in
// memory are one row.
func (d describer) file(f script.File) block {
	title := fmt.Sprintf(d.say("file %s on the disk, %s", "磁盘上的文件 %s，%s"), f.Name, d.bytes(f.Size))
	if f.Safe != f.Size {
		title += fmt.Sprintf(d.say(" (after a power cut maybe %s)", "（断电后可能是 %s）"), grouped(f.Safe))
	}
	b := block{title: row{"d/" + f.Name, title}}
	for i := 0; i < len(f.Pages); i++ {
		p := f.Pages[i]
		last := i
		for last+1 < len(f.Pages) && p == (script.FilePage{Content: p.Content, Read: p.Read}) && p.Content.Zeros() && f.Pages[last+1] == p {
			last++
		}
		name := fmt.Sprintf(d.say("page %d", "第 %d 页"), i)
		if last > i {
			name = fmt.Sprintf(d.say("pages %d to %d", "第 %d 至 %d 页"), i, last)
		}
		var notes []string
		if p.Unsafe {
			notes = append(notes, d.say("written, not yet safe from a power cut", "已写出，断电仍可能丢失"))
		}
		if p.Newer {
			notes = append(notes, fmt.Sprintf(d.say("frame %d is newer", "页框 %d 更新"), p.Frame))
		}
		b.rows = append(b.rows, row{fmt.Sprintf("d/%s/%d", f.Name, i),
			strings.TrimRight(fmt.Sprintf("%s %s %s", pad(name, 9), pad(d.content(p.Content, 18), 18), strings.Join(notes, d.say("; ", "；"))), " ")})
		i = last
	}
	return b
}

// content shows what a page begins with, in at most n columns.
func (d describer) content(c script.Content, n int) string {
	if c.Zeros() {
		return d.say("zeros", "全零")
	}
	at := ""
	if c.Off > 0 {
		at = "+" + strconv.Itoa(c.Off) + " "
	}
	more := ""
	if c.More {
		more = "..."
	}
	head := c.Head
	for {
		s := at + quoted(head) + more
		if displayWidth(s) <= n || head == "" {
			return s
		}
		head, more = head[:len(head)-1], "..."
	}
}

// quoted is a text in quotes; what is no plain character is a dot.
func quoted(s string) string {
	plain := []byte(s)
	for i, c := range plain {
		if c < ' ' || c > '~' {
			plain[i] = '.'
		}
	}
	return `"` + string(plain) + `"`
}

// bytes is an amount of bytes with its unit.
func (c *console) bytes(n int64) string {
	if n == 1 {
		return c.say("1 byte", "1 字节")
	}
	return grouped(n) + c.say(" bytes", " 字节")
}

// pad fills a text up to n columns.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-displayWidth(s)))
}

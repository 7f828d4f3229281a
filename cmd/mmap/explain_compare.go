package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/kernel"
	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// compare tells what differs after a step: what it came to, the areas of every
// process, what is locked, which pages are a process's own and which of these
// another one has too, the bytes in pages that the engine has an entry for, the
// files, and that what was synced is on the disk.
func (k *kernelRun) compare(m *script.Moment, answer *script.Outcome) (differs string, err error) {
	d := describer{k.console, m.State}
	if answer != nil && !sameOutcome(m, *answer) {
		of := *m
		of.Outcome = *answer
		return fmt.Sprintf(k.say("the kernel answered %s", "内核的回答是 %s"), cmp.Or(d.outcome(&of), string(answer.Kind))), nil
	}
	for _, p := range m.State.Processes {
		for _, compare := range []func(describer, script.Process) (string, error){k.compareAreas, k.compareEntries, k.comparePages} {
			if differs, err = compare(d, p); differs != "" || err != nil {
				return differs, err
			}
		}
	}
	for _, f := range m.State.Files {
		if differs, err = k.compareFile(d, f, m.Line == k.last); differs != "" || err != nil {
			return differs, err
		}
	}
	return k.compareSynced(m), nil
}

// sameOutcome compares the engine's answer and the kernel's. What the engine
// has in memory the kernel has too; it may have more.
func sameOutcome(m *script.Moment, b script.Outcome) bool {
	a := m.Outcome
	sameBytes := bytes.Equal(a.Bytes, b.Bytes)
	if m.Call == "mincore" && len(a.Bytes) == len(b.Bytes) {
		sameBytes = true
		for i := range a.Bytes {
			sameBytes = sameBytes && a.Bytes[i]&1 <= b.Bytes[i]&1
		}
	}
	return a.Kind == b.Kind && a.Value == b.Value && a.Addr == b.Addr && sameBytes &&
		a.Errno == b.Errno && a.Signal == b.Signal && a.Code == b.Code
}

func (k *kernelRun) compareAreas(d describer, p script.Process) (differs string, err error) {
	var want, there []string
	for _, a := range p.Areas {
		want = append(want, areaLine(uint64(a.Start), uint64(a.End), perms(a), uint64(a.Offset), k.machine.Path(a.File)))
	}
	areas, err := k.machine.Areas(p.Name)
	if err != nil {
		return "", err
	}
	for _, a := range areas {
		there = append(there, areaLine(a.Start, a.End, a.Perms, a.Offset, a.Path))
	}
	if !slices.Equal(want, there) {
		return fmt.Sprintf(k.say("the areas of %s are %s on the kernel", "内核上 %s 的区域是 %s"), p.Name,
			cmp.Or(strings.Join(there, "; "), k.say("none", "无"))), nil
	}
	locked, err := k.machine.Locked(p.Name)
	if err == nil && locked != p.Locked {
		return fmt.Sprintf(k.say("%s has %s locked on the kernel", "内核上 %s 锁定了 %s"), p.Name, k.bytes(int64(locked))), nil
	}
	return "", err
}

func areaLine(start, end uint64, perms string, offset uint64, path string) string {
	return strings.TrimSpace(fmt.Sprintf("%x-%x %s %x %s", start, end, perms, offset, path))
}

// The most that is compared after a step: entries of an area, pages of a
// process; and how many of the latter are told of.
const (
	mostEntries  = 4096
	mostCompared = 256
	mostTold     = 6
)

// compareEntries compares which pages are a process's own, and which of them
// another process has too: copy-on-write is nothing else.
func (k *kernelRun) compareEntries(d describer, p script.Process) (differs string, err error) {
	shownBy := map[int]int{}
	for _, f := range d.state.Frames {
		shownBy[f.Number] = len(f.Mappers)
	}
	var private []string
	for _, a := range p.Areas {
		n := min(int64(a.End-a.Start)/vmem.PageSize, mostEntries)
		there, err := k.machine.Entries(p.Name, a.Start, int(n))
		if err != nil {
			return "", err
		}
		engine := map[vmem.Addr]vmem.Entry{}
		for _, page := range a.Pages {
			engine[page.Addr] = page.Entry
		}
		for i, e := range there {
			at := a.Start + vmem.Addr(i)*vmem.PageSize
			entry := engine[at]
			if why := k.compareEntry(entry, e, shownBy[entry.Frame]); why != "" {
				return fmt.Sprintf(why, d.where(p.Name, at)), nil
			}
			if entry.Frame > 0 && e.Private() && e.Present() && len(private) < mostTold {
				private = append(private, d.where(p.Name, at)+" "+k.shared(!e.Exclusive()))
			}
		}
	}
	if len(private) > 0 {
		k.private[1] = append(k.private[1], p.Name+" "+strings.Join(private, k.say(", ", "，")))
	}
	return "", nil
}

func (k *kernelRun) shared(yes bool) string {
	if yes {
		return k.say("shared", "共享")
	}
	return k.say("unshared", "未共享")
}

func (k *kernelRun) compareEntry(engine vmem.Entry, there kernel.Entry, shownBy int) (differs string) {
	own := engine.Bits&vmem.Private != 0
	switch {
	case own && !there.Private():
		return k.say("%s has no page of its own on the kernel", "内核上 %s 没有私有页")
	case !own && there.Private():
		return k.say("%s has a page of its own on the kernel", "内核上 %s 有私有页")
	case !own || engine.Frame == 0 || !there.Present():
		return ""
	case shownBy == 1 && !there.Exclusive():
		return k.say("somebody else has the page at %s too, on the kernel", "内核上 %s 处的页还有别人在用")
	case shownBy > 1 && there.Exclusive():
		return k.say("nobody else has the page at %s, on the kernel", "内核上 %s 处的页没有别人在用")
	}
	return ""
}

func (k *kernelRun) comparePages(d describer, p script.Process) (differs string, err error) {
	left := mostCompared
	for _, a := range p.Areas {
		for _, page := range a.Pages {
			if !comparable(a, page) {
				continue
			}
			if left--; left < 0 {
				return "", nil
			}
			switch content, readable, err := k.machine.Page(p.Name, page.Addr); {
			case err != nil:
				return "", err
			case !readable:
				return fmt.Sprintf(k.say("%s can't be read on the kernel", "内核上读不到 %s"), d.where(p.Name, page.Addr)), nil
			case content != page.Content:
				return fmt.Sprintf(k.say("%s is %s on the kernel", "内核上 %s 是 %s"), d.where(p.Name, page.Addr), d.content(content, 40)), nil
			}
		}
	}
	return "", nil
}

// comparable tells whether the bytes of a page are determined, and can be read:
// those of a file's last page that lie behind its end are not.
func comparable(a script.Area, p script.Page) bool {
	if a.Prot&(vmem.ProtRead|vmem.ProtWrite) == 0 || p.Entry.Bits&vmem.Present == 0 {
		return false
	}
	end := a.Offset + int64(p.Addr-a.Start) + vmem.PageSize
	return a.Object == nil || p.Entry.Bits&vmem.Private != 0 || end <= a.Object.Size()
}

// compareFile compares what reads give. What is not in memory is left there
// until the last step: to read it would bring it in.
func (k *kernelRun) compareFile(d describer, f script.File, last bool) (differs string, err error) {
	there, err := k.machine.File(f.Name, last)
	if err != nil {
		return "", err
	}
	if there.Size != f.Size {
		return fmt.Sprintf(k.say("%s has %s on the kernel", "内核上 %s 有 %s"), f.Name, k.bytes(there.Size)), nil
	}
	for i, p := range f.Pages[:min(len(f.Pages), len(there.Pages))] {
		if there.Pages[i] == nil {
			continue
		}
		if got := script.ContentOf(there.Pages[i]); got != p.Read {
			return fmt.Sprintf(k.say("page %d of %s is %s on the kernel", "内核上 %[2]s 第 %[1]d 页是 %[3]s"), i, f.Name, d.content(got, 40)), nil
		}
	}
	return "", nil
}

// compareSynced looks whether the disk has what a step has synced, where the
// kernel tells.
func (k *kernelRun) compareSynced(m *script.Moment) (differs string) {
	if m.Outcome.Kind != script.Done {
		return ""
	}
	span := fileSpan{file: k.fileOf(m)}
	switch m.Call {
	case "fsync", "writeback":
	case "msync":
		if vmem.SyncFlags(m.Args[2].Num)&vmem.SyncNow == 0 {
			return ""
		}
		if span, _ = spanOf(m); span.file == "" {
			return ""
		}
	default:
		return ""
	}
	if _, dirty, known := k.machine.Cached(span.file, span.off, span.end-span.off); known && dirty > 0 {
		return fmt.Sprintf(k.say("%d pages of %s are not on the disk, on the kernel", "内核上 %[2]s 有 %[1]d 页不在磁盘上"), dirty, span.file)
	}
	return ""
}

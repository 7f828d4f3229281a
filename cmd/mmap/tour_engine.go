package main

import (
	"fmt"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// An engineShow is a chapter's steps on the engine of package vmem: a script,
// what is true of its moments if the engine does as the chapter tells, and the
// sentence that says so.
type engineShow struct {
	script string
	holds  func(m []*script.Moment) bool
	says   text
}

// engineResult is what the engine did. Agrees is nil where the kernel showed
// nothing to agree with, or where the chapter is about more than the engine has.
type engineResult struct {
	Text   string `json:"text"`
	Agrees *bool  `json:"agrees,omitempty"`
}

// engineShows are the chapters that the engine has a part in.
var engineShows = map[string]engineShow{
	"mapping": {`
file f 10000
a = mmap(NULL, 10000, PROT_READ, MAP_SHARED, f, 0)`,
		func(m []*script.Moment) bool {
			a := m[1].State.Processes[0].Areas
			return len(a) == 1 && a[0].End-a[0].Start == 12288 && len(a[0].Pages) == 0 && len(m[1].Events) == 0
		},
		text{"an area of whole pages, no entry in the page table, nothing read.", "一个取整到整页的区域，页表里没有表项，没有读任何数据。"}},
	"first-touch": {`
file f 8192
a = mmap(NULL, 8192, PROT_READ, MAP_SHARED, f, 0)
load a
load a+1`,
		func(m []*script.Moment) bool {
			return count(m[2], vmem.FaultMajor) == 1 && count(m[2], vmem.BytesIn) == 1 && len(m[3].Events) == 0
		},
		text{"one major fault and one page read; none for the next byte.", "一次主缺页，读入一页；下一个字节不再缺页。"}},
	"one-frame": {`
file f 4096 "x"
a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 0)
c = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
pread(f, c, 1, 0)
load b
store a "y"
load b
load c`,
		func(m []*script.Moment) bool {
			f := m[8].State.Frames
			return len(f) == 2 && len(f[0].Mappers) == 2 && string(m[7].Outcome.Bytes) == "y" && string(m[8].Outcome.Bytes) == "x"
		},
		text{"both entries show one frame; the buffer of read is another.", "两个表项指向同一个页框；read 的缓冲区是另一个。"}},
	"private-store": {`
file f 4096 "x"
a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
load a
store a "y"`,
		func(m []*script.Moment) bool {
			return count(m[3], vmem.FaultCopy) == 1 && m[3].State.Totals.Bytes[vmem.BytesCopied] == vmem.PageSize &&
				m[3].State.Files[0].Pages[0].Read.Head == "x"
		},
		text{"one copy-on-write fault copied one page; the file is as it was.", "一次写时复制缺页复制了一页；文件没有变。"}},
	"shared-store": {`
file f 4096
p: a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
q: b = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
p: store a ")"
q: load b
q: store b "*"
p: load a`,
		func(m []*script.Moment) bool {
			return string(m[4].Outcome.Bytes) == ")" && string(m[6].Outcome.Bytes) == "*" && len(m[6].State.Frames) == 1
		},
		text{"each process loaded what the other stored, in one frame.", "每个进程都读到对方写入的内容，在同一个页框里。"}},
	"msync": {`
file f 4096
a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
store a "x"
msync(a, 4096, MS_ASYNC)
msync(a, 4096, MS_SYNC)`,
		func(m []*script.Moment) bool {
			dirty := func(i int) bool { return m[i].State.Files[0].Pages[0].Newer }
			return dirty(2) && dirty(3) && !dirty(4) && count(m[4], vmem.Synced) == 1
		},
		text{"the page was dirty after the store and after MS_ASYNC, clean after MS_SYNC.", "写入之后、MS_ASYNC 之后都是脏页，MS_SYNC 之后干净。"}},
	"anonymous": {`
p: a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
q = fork(p)
q: store a "d"
p: load a`,
		func(m []*script.Moment) bool { return string(m[3].Outcome.Bytes) == "d" && len(m[3].State.Frames) == 1 },
		text{"after a fork the parent loaded what the child stored.", "fork 之后，父进程读到子进程写入的内容。"}},
	"offset": {`
file f 8192 at 4096 "x"
mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 4219)
a = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 4096)
load a`,
		func(m []*script.Moment) bool {
			return m[1].Outcome.Errno == vmem.EINVAL && string(m[3].Outcome.Bytes) == "x"
		},
		text{"EINVAL inside a page; a page's border is mapped.", "页内偏移得到 EINVAL；页边界可以映射。"}},
	"mprotect": {`
a = mmap(NULL, 12288, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mprotect(a+4096, 4096, PROT_READ)
store a+4096 "x"
mprotect(a+4096, 4096, PROT_READ|PROT_WRITE)
store a+4096 "x"`,
		func(m []*script.Moment) bool {
			o := m[2].Outcome
			return len(m[1].State.Processes[0].Areas) == 3 && o.Signal == vmem.SIGSEGV && o.Code == vmem.ACCERR &&
				m[4].Outcome.Kind == script.Done && len(m[4].State.Processes[0].Areas) == 1
		},
		text{"one area became three and one again; the store was a SIGSEGV in between.", "一个区域变成三个，又合为一个；其间的写入得到 SIGSEGV。"}},
	"mlock": {`
frames 2
file f 16384
a = mmap(NULL, 16384, PROT_READ, MAP_SHARED, f, 0)
mlock(a, 4096)
load a+4096
load a+8192
load a+12288
b = mmap(NULL, 8392704, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
mlock(b, 8392704)`,
		func(m []*script.Moment) bool {
			locked := m[5].State.Files[0].Pages[0].Frame > 0 && count(m[5], vmem.Evicted) == 1
			return locked && m[7].Outcome.Errno == vmem.ENOMEM
		},
		text{"with memory full others left and the locked page stayed; past the limit: ENOMEM.", "内存已满时别的页离开，锁定的页留下；超过上限得到 ENOMEM。"}},
	"growth": {`
file f 4096 "x"
a = mmap(0x600000000000, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
truncate(f, 8192)
b = mremap(a, 4096, 8192, 0)
store b+8191 "y"
load b`,
		func(m []*script.Moment) bool {
			return m[3].Outcome.Addr == m[1].Outcome.Addr && m[4].Outcome.Kind == script.Done && string(m[5].Outcome.Bytes) == "x" &&
				m[5].State.Files[0].Pages[1].Read.Off == 4095
		},
		text{"the area grew in place, and the last new byte reached the file.", "区域原地增长，最后一个新字节到达文件。"}},
	"truncation": {`
file f 12288 "x"
a = mmap(NULL, 12288, PROT_READ, MAP_SHARED, f, 0)
load a+8192
truncate(f, 4096)
load a+8192
load a`,
		func(m []*script.Moment) bool {
			return m[4].Outcome.Signal == vmem.SIGBUS && m[4].Outcome.Addr == m[1].Outcome.Addr+8192 && string(m[5].Outcome.Bytes) == "x"
		},
		text{"SIGBUS at the page past the end; the rest could be loaded.", "末尾之后的页得到 SIGBUS；其余照常可读。"}},
	"close": {`
file f 4096
a = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 0)
munmap(a, 4096)
load a`,
		func(m []*script.Moment) bool {
			return len(m[2].State.Processes[0].Areas) == 0 && m[3].Outcome.Signal == vmem.SIGSEGV && m[3].Outcome.Code == vmem.MAPERR
		},
		text{"the area is gone after munmap, and a load there is a SIGSEGV.", "munmap 之后区域消失，再读得到 SIGSEGV。"}},
}

// count is how often something happened in a step.
func count(m *script.Moment, kind vmem.EventKind) (n int) {
	for _, e := range m.Events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// run runs the chapter's steps on the engine, and tells whether it does as told.
func (e engineShow) run(name string) (bool, error) {
	s, err := script.Parse(name, e.script)
	if err != nil {
		return false, err
	}
	var moments []*script.Moment
	for m, err := range s.Run() {
		if err != nil {
			return false, err
		}
		moments = append(moments, m)
	}
	return e.holds(moments), nil
}

// onEngine is a chapter's line about the engine, beside what the kernel showed.
func (t *tour) onEngine(r chapterResult) *engineResult {
	show, ok := engineShows[r.ID]
	if !ok {
		return nil
	}
	did, err := show.run(r.ID)
	says := t.say(show.says.en, show.says.zh)
	switch {
	case err != nil:
		says = err.Error()
	case !did:
		says = t.say("it did something else than is told.", "它的做法与所述不同。")
	}
	if did && r.Status == statusNotShown {
		return &engineResult{Text: fmt.Sprintf(t.say("Shown on the engine instead: %s", "改在引擎上展示：%s"), says)}
	}
	agrees := did && r.Status != statusFailed
	verdict := t.say("Agrees.", "一致。")
	if !agrees {
		verdict = t.say("DOES NOT AGREE.", "不一致。")
	}
	return &engineResult{fmt.Sprintf(t.say("The engine for the same steps: %s %s", "引擎做同样的步骤：%s%s"), says, verdict), &agrees}
}

// judgeEngine adds that line. An engine that does not do as told fails the
// chapter: one of the two is wrong.
func (s *stage) judgeEngine() {
	s.result.Engine = s.onEngine(s.result)
	if e := s.result.Engine; e != nil && e.Agrees != nil && !*e.Agrees {
		s.result.Status = statusFailed
	}
}

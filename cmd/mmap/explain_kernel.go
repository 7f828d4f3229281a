package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/kernel"
	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// A stepVerdict is how a step went on the kernel beside the engine.
type stepVerdict string

const (
	stepAgrees       stepVerdict = "agrees"
	stepDiffers      stepVerdict = "differs"
	stepUndetermined stepVerdict = "undetermined" // a kernel may do either
	stepNotShown     stepVerdict = "not-shown"
)

// An agreement is the verdict, and why it is not "agrees".
type agreement struct {
	Verdict stepVerdict `json:"verdict"`
	Reason  string      `json:"reason,omitempty"`
	Saw     string      `json:"saw,omitempty"` // which private pages are shared now, where that has changed
}

// A kernelRun runs a script's steps on the kernel, each after the engine did
// it, and compares. Once the two have gone different ways, or a step can't be
// done here that later ones build on, nothing more is shown.
type kernelRun struct {
	*console
	machine *kernel.Machine
	dir     string
	refused error           // why the kernel can't be asked at all
	over    string          // why nothing more is shown; "": all is well
	tails   map[string]bool // files that may have bytes behind their end
	frames  int             // that the engine has
	last    int             // the line of the last step
	private [2][]string     // which private pages are shared: after the step before, and now
}

func newKernelRun(ctx context.Context, c *console, s *script.Script) *kernelRun {
	k := &kernelRun{console: c, tails: map[string]bool{}, frames: s.Config.Frames, last: s.Steps[len(s.Steps)-1].Line}
	if k.dir, k.refused = makeSampleDir(sampleDirs()); k.refused == nil {
		k.machine, k.refused = kernel.Start(ctx, k.dir)
	}
	if k.refused != nil {
		k.over = k.say("this system does not let it be asked: ", "此系统不允许询问它：") + k.refused.Error()
	}
	return k
}

// end ends the processes and removes the files.
func (k *kernelRun) end() {
	if k.machine != nil {
		k.machine.Close()
	}
	if k.dir != "" {
		os.RemoveAll(k.dir)
	}
}

// step does on the kernel what the engine has done, and compares.
func (k *kernelRun) step(m *script.Moment) agreement {
	if k.over != "" {
		return agreement{Verdict: stepNotShown, Reason: k.over}
	}
	k.private = [2][]string{k.private[1], nil}
	either := k.undetermined(m)
	answer, notShown, err := k.try(m)
	differs := ""
	if err == nil && notShown == "" {
		differs, err = k.compare(m, answer)
	}
	switch {
	case errors.Is(err, kernel.ErrElsewhere):
		k.over = k.say("it is beside the addresses that can be compared here", "它在此处能够比较的地址之外")
		return agreement{Verdict: stepNotShown, Reason: k.over}
	case err != nil:
		k.over = k.say("it can't be done here: ", "在此无法进行：") + err.Error()
		return agreement{Verdict: stepNotShown, Reason: k.over}
	case notShown != "":
		return agreement{Verdict: stepNotShown, Reason: notShown}
	case differs == "":
		if why := k.freely(m, answer); why != "" {
			return agreement{Verdict: stepUndetermined, Reason: why}
		}
		return agreement{Verdict: stepAgrees, Saw: k.saw()}
	}
	k.over = k.say("engine and kernel have gone different ways", "引擎与内核已走上不同的路")
	if either != "" {
		return agreement{Verdict: stepUndetermined, Reason: either}
	}
	return agreement{Verdict: stepDiffers, Reason: differs}
}

// saw tells which private pages are shared, where that has changed.
func (k *kernelRun) saw() string {
	if slices.Equal(k.private[0], k.private[1]) {
		return ""
	}
	return strings.Join(k.private[1], k.say("; ", "；"))
}

// nothingMore ends the showing.
func (k *kernelRun) nothingMore(en, zh string) (*script.Outcome, string, error) {
	k.over = k.say(en, zh)
	return nil, k.over, nil
}

// try does the step. The answer is nil where nobody was asked anything, and
// notShown tells why the step can't be shown.
func (k *kernelRun) try(m *script.Moment) (answer *script.Outcome, notShown string, err error) {
	switch m.Call {
	case "file":
		content := make([]byte, m.Args[0].Num)
		for _, text := range m.Args[1:] {
			copy(content[text.Num:], text.Text)
		}
		return nil, "", k.machine.MakeFile(m.Args[0].Name, content)
	case "powercut":
		clear(k.tails)
		return nil, k.say("nobody cuts this machine's power; its files are given what the engine's disk has",
			"没有人会切断这台机器的电源；它的文件被写成引擎的磁盘上的内容"), k.machine.Restart(m.Disks)
	}
	full := len(m.State.Frames) == k.frames && (m.Outcome.Errno == vmem.ENOMEM || m.Outcome.Errno == vmem.EAGAIN)
	if full || m.Outcome.Kind == script.Impaired {
		return k.nothingMore("the kernel's memory is not full", "内核的内存并没有满")
	}
	for _, p := range m.State.Processes {
		if p.Locked > k.machine.MayLock {
			return k.nothingMore("this system lets a process lock no more than "+grouped(int64(k.machine.MayLock))+" bytes",
				"此系统允许一个进程锁定的内存不超过 "+grouped(int64(k.machine.MayLock))+" 字节")
		}
	}
	o, err := k.machine.Do(m)
	return &o, "", err
}

// undetermined tells what about a step a kernel may do either way, so that a
// difference is none.
func (k *kernelRun) undetermined(m *script.Moment) string {
	span, shown := fileSpan{}, false // what the step's memory is a part of
	switch m.Call {
	case "load", "store", "pread", "pwrite":
		span, shown = spanOf(m)
	}
	tail := shown && span.end > span.size && span.off < roundUp(span.size)
	if tail && (m.Call == "store" || m.Call == "pread") {
		k.tails[span.file] = true
	}
	file := k.fileOf(m)
	switch {
	case tail && k.tails[span.file],
		(m.Call == "truncate" || m.Call == "pwrite") && k.tails[file]:
		return k.say("what is stored behind the end of a file is gone once its page is written, which may be at any time",
			"写在文件末尾之后的内容，一旦所在的页被写出就会消失，而这随时可能发生")
	case m.Call == "pwrite" && m.Outcome.Kind == script.Refused:
		return k.say("a write that fails behind the end may have made the file longer", "在末尾之后失败的写入，可能已使文件变长")
	case shown && span.file == file && span.off < m.Args[3].Num+m.Args[2].Num && m.Args[3].Num < span.end:
		return k.say("bytes are copied over themselves", "字节被拷贝到自己身上")
	}
	return ""
}

// fileOf is the file that a call is about, by the name of its line; "" is none.
func (k *kernelRun) fileOf(m *script.Moment) string {
	switch m.Call {
	case "truncate", "pread", "pwrite", "fsync", "writeback", "evict":
		return k.machine.FileOf(m.Args[0].Name)
	}
	return ""
}

// A fileSpan is a part of a file.
type fileSpan struct {
	file     string
	off, end int64
	size     int64 // of the file
}

// spanOf is the part of a file that a step's memory shows, if it does.
func spanOf(m *script.Moment) (s fileSpan, ok bool) {
	n := int64(0)
	switch m.Call {
	case "load":
		n = m.Args[1].Num
	case "store":
		n = int64(len(m.Args[1].Text))
	case "pread", "pwrite":
		n = m.Args[2].Num
	case "msync":
		n = m.Args[1].Num
	}
	for _, p := range m.State.Processes {
		for _, a := range p.Areas {
			from, to := max(m.At, a.Start), min(m.At+vmem.Addr(n), a.End)
			if p.Name != m.Process || a.Object == nil || anonymous(a.File) || from >= to {
				continue
			}
			off := a.Offset + int64(from-a.Start)
			part := fileSpan{a.File, off, off + int64(to-from), a.Object.Size()}
			if !ok {
				s, ok = part, true
			} else if s.file == part.file {
				s.off, s.end = min(s.off, part.off), max(s.end, part.end)
			}
		}
	}
	return s, ok
}

func roundUp(n int64) int64 { return (n + vmem.PageSize - 1) / vmem.PageSize * vmem.PageSize }

// freely tells of a step that agrees as far as it is determined where the kernel
// has chosen otherwise than the engine.
func (k *kernelRun) freely(m *script.Moment, answer *script.Outcome) string {
	switch m.Call {
	case "mincore":
		for i, b := range answer.Bytes {
			if b&1 == 1 && m.Outcome.Bytes[i]&1 == 0 {
				return k.say("the kernel has more pages in memory: what it reads ahead is its choice", "内核有更多的页在内存里：预读什么由它决定")
			}
		}
	case "evict":
		switch pages, _, known := k.machine.Cached(m.Args[0].Name, m.Args[1].Num*vmem.PageSize, vmem.PageSize); {
		case !known:
			return k.say("it was advised to, and does not tell whether the page has left", "已建议它这样做，但它不告知该页是否已离开")
		case pages > 0:
			return k.say("the kernel keeps the page: it evicts when it likes", "内核保留了该页：何时驱逐由它决定")
		}
	}
	return ""
}

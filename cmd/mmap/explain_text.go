package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
)

// explainText prints moments for a terminal.
type explainText struct {
	*console
	cols   int
	steps  int
	number int
	reason string            // that was told last
	before []row             // those of the moment before
	was    map[string]string // their texts by key
}

const (
	paneIndent = "    "
	rowIndent  = "      "
)

// mostRows is how many rows of a block are printed that have not changed.
const mostRows = 16

func (e *explainText) head(s *script.Script, kernel bool) {
	title := e.remark(s.Title)
	if title == "" {
		title = s.Name
	}
	e.lines("", title, e.bold)
	e.lines("", e.say("Each step: what it returned, what is told about it, ! what happened, and all that there is then; * marks what has changed, - what is gone.",
		"每一步：返回值、说明、! 发生了什么，以及此刻的全貌；* 标出变化，- 标出消失的内容。"), nil)
	fmt.Fprintln(e.out)
	e.lines("", e.say("A process has areas, ranges of addresses that it may use, and below each the entries of its page table: name -> frame. "+
		"A frame is 4,096 bytes of memory; <- are the entries that show it. Accessed and dirty: the processor has loaded or stored there. Own: no file's page.",
		"进程有若干区域，即它可以使用的地址范围；每个区域下面是页表的表项：名字 -> 页框。页框是 4,096 字节的内存；<- 是指向它的表项。"+
			"已访问、脏：处理器在那里读过、写过。私有：不是文件的页。"), nil)
	if kernel {
		e.lines("", e.say("Each step is done by processes of this kernel too. It agrees if it answers the same, and has the same areas, locks, private and shared pages, bytes and files.",
			"每一步也由本机内核上的进程执行。回答相同，并且区域、锁定、私有与共享的页、字节和文件都相同，才算一致。"), nil)
	}
	fmt.Fprintln(e.out)
}

// step prints a moment: the step, what it came to, its remark, what happened,
// and the picture.
func (e *explainText) step(m *script.Moment, a *agreement) {
	e.number++
	d := describer{e.console, m.State}
	e.lines(fmt.Sprintf("[%d/%d] ", e.number, e.steps), m.Text, e.bold)
	if o := d.outcome(m); o != "" {
		e.lines(paneIndent, o, e.bold)
	}
	if r := e.remark(m.Remark); r != "" {
		e.lines(paneIndent, r, nil)
	}
	for _, s := range d.happened(m) {
		e.lines("  ! ", s, e.coloured)
	}
	if a != nil {
		if told := e.reason; a.Verdict == stepNotShown && told == a.Reason {
			a = &agreement{Verdict: stepNotShown, Reason: e.say("as above", "同上")}
		} else {
			e.reason = a.Reason
		}
		e.lines(paneIndent, e.onKernel(*a), e.bold)
	}
	fmt.Fprintln(e.out)
	now := []row{}
	for _, b := range e.blocks(m.State) {
		e.block(b)
		now = append(append(now, b.title), b.rows...)
	}
	if t := d.totals(); t != "" {
		now = append(now, row{"totals", t})
		e.row(row{"totals", t}, "  ")
	}
	e.keep(now)
	fmt.Fprintln(e.out)
}

// onKernel tells how the step went there.
func (c *console) onKernel(a agreement) string {
	switch a.Verdict {
	case stepAgrees:
		if a.Saw != "" {
			return c.say("this kernel agrees; its page tables: ", "本机内核与此一致；它的页表：") + a.Saw
		}
		return c.say("this kernel agrees", "本机内核与此一致")
	case stepDiffers:
		return c.say("THIS KERNEL DIFFERS: ", "本机内核与此不同：") + a.Reason
	case stepUndetermined:
		return c.say("a kernel may do either: ", "内核可以这样，也可以那样：") + a.Reason
	}
	return c.say("not shown on this kernel: ", "本机内核上未展示：") + a.Reason
}

// agreement counts the verdicts.
func (e *explainText) agreement(count map[stepVerdict]int) {
	e.lines("", fmt.Sprintf(e.say("On this kernel: %d steps agree, %d differ, %d undetermined, %d not shown.", "在本机内核上：%d 步一致，%d 步不同，%d 步不确定，%d 步未展示。"),
		count[stepAgrees], count[stepDiffers], count[stepUndetermined], count[stepNotShown]), e.bold)
}

func (e *explainText) block(b block) {
	e.row(b.title, "  ")
	left, unchanged := 0, 0
	for _, r := range b.rows {
		if !e.changed(r) {
			if unchanged++; unchanged > mostRows {
				left++
				continue
			}
		}
		e.row(r, "    ")
	}
	if left > 0 {
		e.row(row{"", fmt.Sprintf(e.say("... and %d rows more, unchanged", "……另有 %d 行，没有变化"), left)}, "    ")
	}
}

// changed tells whether the step before made a row what it is.
func (e *explainText) changed(r row) bool {
	was, ok := e.was[r.key]
	return r.key != "" && (!ok || was != r.text)
}

func (e *explainText) row(r row, indent string) {
	mark := "  " + indent
	how := func(s string) string { return s }
	if e.changed(r) {
		mark, how = "* "+indent, e.coloured
	}
	e.lines(mark, r.text, how)
}

// keep remembers the rows of this moment, and prints those of the moment before
// that are gone.
func (e *explainText) keep(now []row) {
	texts := map[string]string{}
	for _, r := range now {
		texts[r.key] = r.text
	}
	for _, r := range e.before {
		if _, there := texts[r.key]; !there {
			e.lines("-     ", strings.TrimSpace(r.text), e.coloured)
		}
	}
	e.before, e.was = now, texts
}

// lines prints a text, wrapped, behind a mark on its first line.
func (e *explainText) lines(mark, text string, how func(string) string) {
	for i, line := range wrap(text, e.cols-displayWidth(mark)) {
		if i > 0 {
			mark = strings.Repeat(" ", displayWidth(mark))
		}
		line = mark + line
		if how != nil {
			line = how(line)
		}
		fmt.Fprintln(e.out, line)
	}
}

func (e *explainText) bold(s string) string     { return e.styled("1", s) }
func (e *explainText) coloured(s string) string { return e.styled("36", s) }

// styled adds a style where a person is watching who did not forbid it
// (no-color.org).
func (e *explainText) styled(style, s string) string {
	w := e.out
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	if !isTerminal(w) || os.Getenv("NO_COLOR") != "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

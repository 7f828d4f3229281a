package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unicode"
)

const (
	mostColumns  = 80
	labelColumns = 30
	textIndent   = "    "
	labelIndent  = "      "
)

// An output remembers the first error of writing, so that the tour can end, and
// remove its sample, when nobody reads it any more.
type output struct {
	io.Writer
	err    error
	broken chan os.Signal
	of     *console
}

// watchOutput puts an output before the console's. Without a listener for it,
// the signal of a closed pipe would kill the process (os/signal, SIGPIPE).
func watchOutput(c *console) *output {
	o := &output{Writer: c.out, broken: make(chan os.Signal, 1), of: c}
	signal.Notify(o.broken, syscall.SIGPIPE)
	c.out = o
	return o
}

func (o *output) stop() {
	o.of.out = o.Writer
	signal.Stop(o.broken)
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// finish prints what stands at the end: the whole document, or the count.
func (t *tour) finish(doc tourDocument) {
	if t.json {
		t.printJSON(doc)
		return
	}
	count := map[status]int{}
	for _, ch := range doc.Chapters {
		count[ch.Status]++
	}
	total := t.say("chapters", "章")
	if len(doc.Chapters) == 1 {
		total = t.say("chapter", "章")
	}
	t.sentence("%d %s: %d shown, %d shown another way, %d not shown, %d failed.",
		"共 %d %s：已展示 %d，换一种方式展示 %d，未能展示 %d，不符 %d。",
		len(doc.Chapters), total, count[statusShown], count[statusAnotherWay], count[statusNotShown], count[statusFailed])
	t.sentence("The sample has been removed.", "样本文件已删除。")
}

func (t *tour) printHead(doc tourDocument) {
	if t.json {
		return
	}
	t.sentence("A tour of memory mapping: kernel %s, %s, pages of %s, user %d.",
		"内存映射导览：内核 %s，%s，每页 %s，用户 %d。",
		cmp.Or(doc.System.Kernel, "?"), doc.System.Platform, t.amount(int64(doc.System.PageBytes), unitBytes), doc.System.User)
	if f := doc.File; f != nil {
		t.sentence("File: %s, %s on %s. It is not changed.", "文件：%s，%s，位于 %s。导览不会改动它。",
			f.Path, t.amount(f.Bytes, unitBytes), t.fileSystem(fileSystem{f.FileSystem, f.Source}))
		if f.Bytes == 0 {
			t.sentence("It is empty: there is no byte to touch, so the sample is used instead.",
				"它是空文件，没有可触碰的字节，因此改用样本文件。")
		} else if f.Bytes > int64(f.Walked) {
			t.sentence("The tour uses its first %s.", "导览只使用它开头的 %s。", t.amount(int64(f.Walked), unitBytes))
		}
	}
	t.sentence("Sample: %s, %s on %s. It is removed at the end.", "样本：%s，%s，位于 %s，结束时删除。",
		doc.Sample.Path, t.amount(doc.Sample.Bytes, unitBytes), t.fileSystem(fileSystem{doc.Sample.FileSystem, doc.Sample.Source}))
	fmt.Fprintln(t.out)
}

// fileSystem names a file system, known or not.
func (t *tour) fileSystem(f fileSystem) string {
	return cmp.Or(f.String(), t.say("an unknown file system", "未知的文件系统"))
}

// printChapter prints a chapter: its title and status, what is told, and the
// evidence.
func (t *tour) printChapter(r chapterResult) {
	if t.json {
		return
	}
	title := fmt.Sprintf("%2d  %s%s", r.Number, r.Title, t.onWhat(r.Object))
	st := t.say(r.Status.text().en, r.Status.text().zh)
	gap := max(2, t.cols-displayWidth(title)-displayWidth(st))
	fmt.Fprintln(t.out, title+strings.Repeat(" ", gap)+st)
	for _, st := range r.Statements {
		mark := ""
		if st.Holds != nil && !*st.Holds {
			mark = t.say("NOT AS TOLD: ", "与所述不符：")
		}
		t.paragraph(textIndent, mark+st.Text)
	}
	if r.Reason != "" {
		t.paragraph(textIndent, "("+r.Reason+")")
	}
	for _, f := range r.Evidence {
		t.printFigure(f)
	}
	if r.Engine != nil {
		t.paragraph(textIndent, r.Engine.Text)
	}
	fmt.Fprintln(t.out)
}

// onWhat tells what a chapter used, where that may be in doubt: when FILE was
// given.
func (t *tour) onWhat(object string) string {
	if t.file == "" || object == "" {
		return ""
	}
	names := map[string]text{
		"file": {"FILE", "文件"}, "sample": {"the sample", "样本"},
		"scratch": {"a file of its own", "临时文件"}, "memory": {"memory", "内存"},
	}
	return " (" + t.say(names[object].en, names[object].zh) + ")"
}

func (t *tour) printFigure(f figure) {
	if picture, ok := f.Value.(resident); ok || f.Unit == unitRanges {
		fmt.Fprintln(t.out, labelIndent+f.Label+t.source(f))
		cells := t.cols - len(labelIndent) - 2
		strip := unknownStrip(cells)
		if ok {
			strip = residencyStrip(picture.length, picture.runs, cells)
		}
		fmt.Fprintln(t.out, labelIndent+"["+strip+"]")
		return
	}
	label := labelIndent + f.Label + strings.Repeat(" ", max(1, labelColumns-displayWidth(f.Label)))
	lines := wrap(t.value(f)+t.source(f), t.cols-displayWidth(label))
	for i, line := range lines {
		if i > 0 {
			label = strings.Repeat(" ", displayWidth(label))
		}
		fmt.Fprintln(t.out, label+line)
	}
}

func (t *tour) source(f figure) string {
	if f.Source == "" {
		return ""
	}
	return "  [" + f.Source + "]"
}

// value spells a figure's value in the console's language.
func (t *tour) value(f figure) string {
	n, isNumber := integer(f.Value)
	switch {
	case f.Value == nil && f.Unit == unitMessage:
		return t.say("no error", "没有错误")
	case f.Value == nil:
		return t.say("hidden by the kernel", "内核未透露")
	case f.Unit == unitTruth:
		if f.Value == true {
			return t.say("yes", "是")
		}
		return t.say("no", "否")
	case !isNumber:
		return strings.ReplaceAll(fmt.Sprint(f.Value), t.dir+string(os.PathSeparator), "")
	case f.Unit == unitFrame:
		return fmt.Sprintf("%#x", n)
	case f.Unit == unitProcess || f.Unit == unitNumber:
		return strconv.FormatInt(n, 10)
	case f.Unit == unitBytes && n == unlimited:
		return t.say("unlimited", "无限制")
	}
	return t.amount(n, f.Unit)
}

// amount spells n with its unit.
func (t *tour) amount(n int64, u unit) string {
	name := map[unit]text{
		unitBytes: {" byte", " 字节"}, unitPages: {" page", " 页"}, unitFaults: {" fault", " 次"}, unitTimes: {" time", " 次"},
	}[u]
	if n != 1 && name.en != "" {
		name.en += "s"
	}
	return grouped(n) + t.say(name.en, name.zh)
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint64:
		return int64(v), true
	case byte:
		return int64(v), true
	}
	return 0, false
}

// grouped spells n with separators: 16,777,339.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// sentence prints a sentence of the console's language, wrapped.
func (t *tour) sentence(en, zh string, args ...any) {
	t.paragraph("", fmt.Sprintf(t.say(en, zh), args...))
}

// paragraph prints a text, wrapped and indented.
func (t *tour) paragraph(indent, text string) {
	for _, line := range wrap(text, t.cols-len(indent)) {
		fmt.Fprintln(t.out, indent+line)
	}
}

// wrap breaks a text into lines of at most width columns where it can: at
// spaces, and on either side of a wide character, except before punctuation
// that closes and after punctuation that opens.
func wrap(s string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, piece := range pieces(s) {
		w := displayWidth(strings.TrimRight(piece, " "))
		if used > 0 && used+w > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line, used = "", 0
			piece = strings.TrimLeft(piece, " ")
		}
		line += piece
		used += displayWidth(piece)
	}
	return append(lines, strings.TrimRight(line, " "))
}

// pieces splits a text where a line may end. Spaces stay behind their word.
func pieces(s string) []string {
	var list []string
	start := 0
	var last rune
	for i, r := range s {
		canBreak := last == ' ' && r != ' ' || last != 0 && r != ' ' && (runeWidth(r) == 2 || runeWidth(last) == 2)
		if canBreak && !strings.ContainsRune("，。；：、）”！？", r) && !strings.ContainsRune("（“", last) {
			list = append(list, s[start:i])
			start = i
		}
		last = r
	}
	return append(list, s[start:])
}

func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is the columns of a rune in a terminal, for what this command
// prints: Chinese text and its punctuation are wide.
func runeWidth(r rune) int {
	if unicode.Is(unicode.Han, r) || r >= 0x3000 && r <= 0x303F || r >= 0xFF00 && r <= 0xFFEF || r == '“' || r == '”' {
		return 2
	}
	return 1
}

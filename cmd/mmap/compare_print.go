package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// print writes the comparison for people, at most as wide as the console.
func (c *comparison) print(out *console) {
	c.printHead(out)
	c.printClaims(out)
	c.printBlocks(out)
	c.printSizes(out)
	c.printLegend(out)
}

func (c *comparison) printHead(out *console) {
	size, what := bytesText(int64(c.File.Measured)), c.File.Path
	if c.File.Sample {
		what = fmt.Sprintf(out.say("a sample of %s in %s, removed now", "%[2]s 中 %[1]s 的样本，现已删除"), size, filepath.Dir(filepath.Dir(c.File.Path)))
	} else {
		what = fmt.Sprintf(out.say("%s of %s", "%[2]s 的 %[1]s"), size, what)
	}
	on := c.File.FileSystem
	if on == "" {
		on = out.say("file system unknown", "文件系统未知")
	}
	paragraph(out, "", out.say("mmap compare: %s (%s)", "mmap compare：%s（%s）"), what, on)
	paragraph(out, "", out.say("Kernel %s, %s, pages of %d bytes, %d processors. %d whole rounds in %.1f s.",
		"内核 %s，%s，页 %d 字节，%d 个处理器。%.1[6]f 秒内完成 %[5]d 整轮。"),
		c.System.Kernel, c.System.Platform, c.System.PageBytes, c.System.Processors, c.Rounds, c.Seconds)
	if c.Interrupted {
		paragraph(out, "", "%s", out.say("Interrupted: this is what was measured until then.", "已中断：以下为此前测得的结果。"))
	}
	if c.File.Bytes > int64(c.File.Measured) {
		paragraph(out, "", out.say("Only the first %s of %s are measured.", "只测量了前 %s（共 %s）。"), bytesText(int64(c.File.Measured)), bytesText(c.File.Bytes))
	}
}

func (c *comparison) printClaims(out *console) {
	fmt.Fprintf(out.out, "\n%s\n", out.say("THE DOCUMENT'S SIX ROWS, MEASURED HERE", "文档第七节的六行，在本机实测"))
	for i, v := range c.Claims {
		fmt.Fprintf(out.out, "\n%d. %s%s%s\n", i+1, v.Title, out.say(": ", "："), out.verdictText(v.Verdict))
		paragraph(out, "   ", out.say("Said: mmap %s; read/write %s.", "文档：mmap %s；read/write %s。"), v.SaidMmap, v.SaidRead)
		for _, line := range v.Measured {
			paragraph(out, "   ", "%s", line)
		}
	}
}

func (c *console) verdictText(v rowVerdict) string {
	switch v {
	case holds:
		return c.say("holds here", "在此成立")
	case partly:
		return c.say("holds in part", "部分成立")
	case failsHere:
		return c.say("does not hold here", "在此不成立")
	}
	return c.say("not measured", "未测量")
}

// cellColumns are the widths of a table's columns.
var cellColumns = []int{-10, -17, 7, 7, 6, 10, 7, 7, 7}

// printBlocks prints a table for each group of block cells.
func (c *comparison) printBlocks(out *console) {
	for _, g := range c.groups {
		if g.bySize {
			continue
		}
		fmt.Fprintf(out.out, "\n%s\n", g.name(out.lang))
		if why, all := g.unmeasured(); all {
			paragraph(out, "", out.say("not measured: %s", "未测量：%s"), why)
			continue
		}
		printRow(out, cellColumns, out.say("way", "方式"), out.say("median, quartiles", "中位数 四分位"), out.say("again", "再读"), "GiB/s",
			out.say("calls", "调用"), out.say("faults", "缺页"), out.say("copied", "拷贝"), out.say("mapped", "映射"), out.say("own", "自有"))
		for _, cell := range g.cells {
			c.printCell(out, g.result(cell))
		}
	}
}

// unmeasured is why no way of the group was measured, if none was.
func (g *group) unmeasured() (why string, all bool) {
	for _, cell := range g.cells {
		res := g.result(cell)
		if res.NS != nil {
			return "", false
		}
		if why == "" {
			why = res.NotMeasured
		}
	}
	return why, true
}

func (c *comparison) printCell(out *console, res cellResult) {
	if res.NS == nil {
		for i, line := range wrap(res.Method+": "+out.say("not measured: ", "未测量：")+res.NotMeasured, out.width()-2) {
			fmt.Fprintf(out.out, "%s%s\n", strings.Repeat(" ", 2*min(i, 1)), line)
		}
		return
	}
	calls := "?"
	if res.ReadCalls != nil {
		calls = fmt.Sprint(*res.ReadCalls + *res.OtherCalls)
	}
	name := res.Method
	if !res.Verified {
		name += "*"
	}
	copied := *res.CopiedKernel + *res.CopiedProgram
	again := "-"
	if res.AgainNS != nil {
		again = timeText(res.AgainNS.Median)
	}
	printRow(out, cellColumns, name, spreadText(res.NS), again,
		fmt.Sprintf("%.2f", float64(res.ReadBytes)/res.NS.Median*1e9/(1<<30)), calls,
		plainText(res.MinorFaults)+"+"+plainText(res.MajorFaults), shortBytes(copied), shortCount(res.MappedMemory), shortCount(res.OwnMemory))
}

var sizeColumns = []int{-9, -18, -18, -18, -17}

// printSizes prints whole files by size, and marks the fastest.
func (c *comparison) printSizes(out *console) {
	for _, cold := range []bool{false, true} {
		var lines [][]string
		for _, g := range c.groups {
			if !g.bySize || g.cold != cold {
				continue
			}
			cells := []string{bytesText(int64(g.of.size))}
			best := g.fastest()
			for _, name := range bySizeMethods {
				cells = append(cells, g.sizeCell(name, name == best))
			}
			lines = append(lines, cells)
		}
		if len(lines) == 0 {
			continue
		}
		state := out.say("warm", "热")
		if cold {
			state = out.say("cold", "冷")
		}
		fmt.Fprintf(out.out, "\n"+out.say("Whole files by size, %s: open, read all, close (> fastest)",
			"按大小读整个文件，%s：打开、读完、关闭（> 最快）")+"\n", state)
		printRow(out, sizeColumns, out.say("size", "大小"), " slice", " View", " read", " ReadFile")
		for _, l := range lines {
			printRow(out, sizeColumns, l...)
		}
	}
}

// fastest is the way with the smallest median, "" where none was measured.
func (g *group) fastest() (name string) {
	best := 0.0
	for _, c := range g.cells {
		if s := spreadOf(slices.Sorted(slices.Values(c.ns))); s != nil && (name == "" || s.Median < best) {
			name, best = c.method.name, s.Median
		}
	}
	return name
}

func (g *group) sizeCell(name string, fastest bool) string {
	for _, c := range g.cells {
		if s := spreadOf(slices.Sorted(slices.Values(c.ns))); c.method.name == name && s != nil {
			mark := " "
			if fastest {
				mark = ">"
			}
			return mark + spreadText(s)
		}
	}
	return " -"
}

func (c *comparison) printLegend(out *console) {
	fmt.Fprintln(out.out)
	paragraph(out, "", "%s", out.say(
		"A time is the whole job: open, every block once, close; again is every block once more before closing, when a mapping has its page table filled. slice is the mapping's bare memory, View and ReadAt are this library's guarded ways. "+
			"calls: read calls as the kernel counts them for this thread (/proc/thread-self/io), or else the program; and mmap, munmap, lseek as the program makes them; open and close are left out. "+
			"faults: minor+major, of this thread. copied: bytes that read calls copied (the kernel's count) and that ReadAt copied; View and ReadAt have pages read by a call when they don't know them to be in memory. "+
			"mapped, own: growth of the process's memory in the first run, pages of files and of its own (/proc/self/smaps_rollup); a small buffer may come from memory that the heap held already. "+
			"Every byte was touched and the sums were right. K, M, G are powers of 1024.",
		"时间是整个过程：打开、每块读一次、关闭；再读是关闭前每块再读一次，此时映射的页表已填好。slice 是映射的裸内存，View 和 ReadAt 是本库的受保护方式。"+
			"调用：内核为本线程计的读调用（/proc/thread-self/io），否则由程序自计；加上程序所做的 mmap、munmap、lseek；不含打开和关闭。"+
			"缺页：本线程的次缺页+主缺页。拷贝：读调用拷贝的字节（内核计数）和 ReadAt 拷贝的字节；View 和 ReadAt 对不知道是否在内存中的页先用读调用载入。"+
			"映射、自有：首次运行时进程内存的增长，分文件页和自有页（/proc/self/smaps_rollup）；小缓冲区可能取自堆中已有的内存。"+
			"每个字节都已触及，校验和都正确。K、M、G 为 1024 的幂。"))
	if slices.ContainsFunc(c.Cells, func(r cellResult) bool { return r.NS != nil && !r.Verified }) {
		paragraph(out, "", "%s", out.say("* The kernel hides from this user which pages are in memory: warm is likely and was not verified.",
			"* 内核不向此用户透露哪些页在内存中：大概是热的，但未经验证。"))
	}
}

// printRow prints cells in columns; a negative width aligns to the left.
func printRow(out *console, widths []int, cells ...string) {
	var b strings.Builder
	for i, w := range widths {
		pad := strings.Repeat(" ", max(0, max(w, -w)-displayWidth(cells[i])))
		if w < 0 {
			b.WriteString(cells[i] + pad)
		} else {
			b.WriteString(pad + cells[i])
		}
	}
	fmt.Fprintln(out.out, strings.TrimRight(b.String(), " "))
}

func paragraph(out *console, indent, format string, args ...any) {
	for _, line := range wrap(fmt.Sprintf(format, args...), out.width()-len(indent)) {
		fmt.Fprintln(out.out, indent+line)
	}
}

// bytesText spells bytes exactly where a unit divides them: 64 KiB, 4097 B.
func bytesText(n int64) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n > 0 && n%(1<<u.shift) == 0 && n>>u.shift < 1024 {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	if n >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d B", n)
}

func countText(n *int64) string {
	if n == nil {
		return "?"
	}
	return bytesText(*n)
}

// shortBytes spells bytes for a narrow column: 64M, 1.5K, 0.
func shortBytes(n int64) string {
	v, unit := float64(n), ""
	for _, u := range []string{"K", "M", "G", "T"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + unit
}

func shortCount(n *int64) string {
	if n == nil {
		return "?"
	}
	return shortBytes(*n)
}

func plainText(n *int64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

// timeText spells nanoseconds with three digits and a unit.
func timeText(ns float64) string {
	unit, name := timeUnit(ns)
	return digits3(ns/unit) + name
}

// spreadText spells a median, and the quartiles in the same unit.
func spreadText(s *spread) string {
	unit, name := timeUnit(s.Median)
	return fmt.Sprintf("%s%s %s-%s", digits3(s.Median/unit), name, digits3(s.Q1/unit), digits3(s.Q3/unit))
}

func timeUnit(ns float64) (unit float64, name string) {
	switch {
	case ns >= 1e9:
		return 1e9, "s"
	case ns >= 1e6:
		return 1e6, "ms"
	case ns >= 1e3:
		return 1e3, "µs"
	}
	return 1, "ns"
}

func digits3(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

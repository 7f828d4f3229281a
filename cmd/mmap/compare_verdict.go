package main

import (
	"fmt"
	"strings"

	"github.com/memwright/mmap"
)

// A claimVerdict is a row of the document's table: what it says of mmap and of
// read and write, what was measured here, and whether it holds.
type claimVerdict struct {
	ID       string     `json:"id"`
	Title    string     `json:"title"`
	SaidMmap string     `json:"said_of_mmap"`
	SaidRead string     `json:"said_of_read_write"`
	Measured []string   `json:"measured"`
	Verdict  rowVerdict `json:"verdict"`
}

// A rowVerdict is what the measurements say of a claim.
type rowVerdict string

const (
	holds       rowVerdict = "holds"
	partly      rowVerdict = "partly"
	failsHere   rowVerdict = "not-here"
	notMeasured rowVerdict = "not-measured"
)

// judge holds the six rows against what was measured.
func (c *comparison) judge(say *console) []claimVerdict {
	return []claimVerdict{
		c.judgeCopies(say), c.judgeSize(say), c.judgeComplexity(say),
		c.judgeSharing(say), c.judgeMemory(say), c.judgeSync(say),
	}
}

// add appends a sentence in the console's language.
func (v *claimVerdict) add(say *console, en, zh string, args ...any) {
	v.Measured = append(v.Measured, fmt.Sprintf(say.say(en, zh), args...))
}

func (v *claimVerdict) unmeasured(say *console, why string) claimVerdict {
	v.Verdict = notMeasured
	v.add(say, "not measured: %s", "未测量：%s", why)
	return *v
}

func (c *comparison) judgeCopies(say *console) claimVerdict {
	v := claimVerdict{ID: "copies", Title: say.say("Copies of the data", "数据拷贝次数"),
		SaidMmap: say.say("1 (disk to mapping)", "1次（磁盘→映射区域）"),
		SaidRead: say.say("2 (disk to kernel buffer to user buffer)", "2次（磁盘→内核缓冲区→用户缓冲区）")}
	slice, read := c.find("slice", "warm", "sequential"), c.find("read", "warm", "sequential")
	readAt, view := c.find("ReadAt", "warm", "sequential"), c.find("View", "warm", "sequential")
	if slice == nil || read == nil || readAt == nil || view == nil {
		return v.unmeasured(say, say.say("its cells were not reached", "相应项目未测到"))
	}
	total := slice.ReadBytes
	v.add(say, "Of %s the kernel copied to the program: slice %s, read %s.", "%s 中内核拷贝给程序的字节：切片 %s，read %s。",
		bytesText(total), countText(slice.CopiedKernel), countText(read.CopiedKernel))
	v.add(say, "The mapping's ReadAt copies too, in the program: %s. View copies nothing, but has what it does not know to be in memory read once: %s.",
		"映射的 ReadAt 也拷贝（在程序内）：%s；View 不拷贝，但对不知道是否在内存中的部分会先读一次：%s。", countText(readAt.CopiedProgram), countText(view.CopiedKernel))
	if slice.CopiesAgree == nil {
		v.add(say, "The kernel hides its own count here: these are the program's.", "此处内核不透露计数，以上为程序自计。")
	}
	coldSlice, coldRead := c.find("slice", "cold", "sequential"), c.find("read", "cold", "sequential")
	if coldSlice != nil && coldRead != nil && coldSlice.Fetched != nil && coldRead.Fetched != nil {
		v.add(say, "Cold, the disk's own transfer into the page cache is the same for both: slice %s, read %s.",
			"冷态时，磁盘到页缓存的传输两者相同：切片 %s，read %s。", countText(coldSlice.Fetched), countText(coldRead.Fetched))
	}
	v.Verdict = partly
	switch {
	case *slice.CopiedKernel == 0 && *slice.CopiedProgram == 0 && *read.CopiedKernel == total:
		v.Verdict = holds
	case *slice.CopiedKernel >= *read.CopiedKernel:
		v.Verdict = failsHere
	}
	return v
}

// saidMegabyte is where the document draws the line between small and large.
const saidMegabyte = 1 << 20

func (c *comparison) judgeSize(say *console) claimVerdict {
	v := claimVerdict{ID: "file-size", Title: say.say("Suitable file size", "适用文件大小"),
		SaidMmap: say.say("large files (1 MB and more) are faster", "大文件（≥1MB）效率更高"),
		SaidRead: say.say("small files (below 1 MB) are more flexible", "小文件（<1MB）更灵活")}
	won, lost := 0, 0 // pairs that went as told, and that did not
	largeLost, compared := false, false
	for _, x := range c.Crossovers {
		against := x.Against
		if against == "read" {
			against = say.say("read with a reused buffer", "read（重用缓冲区）")
		}
		cache := say.say(x.Cache, map[string]string{"warm": "热", "cold": "冷"}[x.Cache])
		switch {
		case x.From == nil:
			v.add(say, "%s: the mapping does not beat %s for good up to %s, the largest measured.", "%s：直到测过的最大文件 %[3]s，映射没有稳定快于 %[2]s。", cache, against, bytesText(int64(x.Largest)))
		case *x.From == x.Smallest:
			v.add(say, "%s: the mapping beats %s at every size measured, from %s.", "%s：从 %[3]s 起，所测各种大小映射都快于 %[2]s。", cache, against, bytesText(int64(x.Smallest)))
		default:
			v.add(say, "%s: the mapping beats %s from %s.", "%s：从 %[3]s 起映射快于 %[2]s。", cache, against, bytesText(int64(*x.From)))
		}
		if x.From == nil && len(x.Ahead) > 0 {
			v.add(say, "(It was ahead at %s, and not at larger ones.)", "（在 %s 处领先，更大时则否。）", sizeList(x.Ahead))
		}
		if x.From != nil && !x.Clear {
			v.add(say, "(There the quartiles overlap: about even.)", "（该处四分位区间重叠，大致持平。）")
		}
		for _, p := range x.Pairs {
			compared = true
			if (p.Slice < p.Other) == (p.FileBytes >= saidMegabyte) {
				won++
			} else {
				lost++
				largeLost = largeLost || p.FileBytes >= saidMegabyte
			}
		}
	}
	if !compared {
		if c.NoSizes != "" {
			return v.unmeasured(say, c.NoSizes)
		}
		return v.unmeasured(say, say.say("no file sizes were reached", "未测到任何文件大小"))
	}
	v.add(say, "%d of %d comparisons by size went as the document says.", "按大小的 %[2]d 次比较中有 %[1]d 次与文档相符。", won, won+lost)
	switch {
	case lost == 0:
		v.Verdict = holds
	case largeLost && won <= lost:
		v.Verdict = failsHere
	default:
		v.Verdict = partly
	}
	return v
}

func (c *comparison) judgeComplexity(say *console) claimVerdict {
	v := claimVerdict{ID: "complexity", Title: say.say("Complexity of the operation", "操作复杂度"),
		SaidMmap: say.say("simple (pointers)", "简单（指针操作）"),
		SaidRead: say.say("complex (partial reads, buffers)", "复杂（需处理部分读取、缓冲区管理）")}
	slice, read := c.find("slice", "warm", "sequential"), c.find("read", "warm", "sequential")
	if slice == nil || read == nil || slice.ReadCalls == nil || read.ReadCalls == nil {
		return v.unmeasured(say, say.say("its cells were not reached", "相应项目未测到"))
	}
	v.add(say, "Calls for %s in blocks of %s: mapping %d (and %d faults), read %d, of which %d brought less than asked for.",
		"以每块 %[2]s 读 %[1]s 的调用：映射 %[3]d 次（另有缺页 %[4]d 次），read %[5]d 次，其中 %[6]d 次少于所求。",
		bytesText(slice.ReadBytes), bytesText(int64(slice.BlockBytes)), *slice.ReadCalls+*slice.OtherCalls, faultSum(slice), *read.ReadCalls+*read.OtherCalls, *read.ShortReads)
	if c.Trial.TruncatedView == "" {
		v.Verdict = partly
		return v
	}
	v.add(say, "When the file was truncated meanwhile, read answered: %s. A bare pointer would have met SIGBUS; View answered: %s.",
		"文件中途被截断时，read 的回答：%s；裸指针会遇到 SIGBUS，View 的回答：%s", c.Trial.TruncatedRead, c.Trial.TruncatedView)
	v.Verdict = partly // simpler until a page can't be had: then a pointer has no error to return
	if *slice.ReadCalls+*slice.OtherCalls >= *read.ReadCalls+*read.OtherCalls {
		v.Verdict = failsHere
	}
	return v
}

// faultSum is the faults of a cell, unknownCount where they are hidden.
func faultSum(res *cellResult) int64 {
	if res.MinorFaults == nil || res.MajorFaults == nil {
		return unknownCount
	}
	return *res.MinorFaults + *res.MajorFaults
}

func (c *comparison) judgeSharing(say *console) claimVerdict {
	v := claimVerdict{ID: "sharing", Title: say.say("Sharing", "共享能力"),
		SaidMmap: say.say("several processes share (MAP_SHARED)", "支持多进程共享（MAP_SHARED）"),
		SaidRead: say.say("needs IPC besides, such as a pipe", "需额外IPC机制（如管道）")}
	t := c.Trial
	if t.SharedMemory == nil || t.Pipe == nil || t.FileCalls == nil {
		return v.unmeasured(say, whyNot(t, say))
	}
	v.add(say, "A number to another process and back: shared mapping %s, pipe %s (medians of %d and %d).",
		"数字传到另一进程并返回：共享映射 %s，管道 %s（%d 和 %d 次的中位数）。",
		timeText(t.SharedMemory.Median), timeText(t.Pipe.Median), t.SharedMemory.Runs, t.Pipe.Runs)
	v.add(say, "pwrite and pread of a file share as well, without a pipe: %s. What both sides of a file lack is being woken: here they look again and again.",
		"对同一文件 pwrite、pread 也能共享，无需管道：%s。两种方式都没有唤醒，这里靠反复查看。", timeText(t.FileCalls.Median))
	v.Verdict = partly // the mapping shares, and so do read and write
	if t.SharedMemory.Median >= t.Pipe.Median {
		v.Verdict = failsHere
	}
	return v
}

func whyNot(t trial, say *console) string {
	if t.Reason != "" {
		return t.Reason
	}
	return say.say("the time was over", "时间已到")
}

func (c *comparison) judgeMemory(say *console) claimVerdict {
	v := claimVerdict{ID: "memory", Title: say.say("Memory", "内存占用"),
		SaidMmap: say.say("may waste a little by page alignment", "可能因页对齐浪费少量内存"),
		SaidRead: say.say("must keep user buffers", "需维护用户缓冲区")}
	if c.Trial.OddSpan == 0 {
		return v.unmeasured(say, whyNot(c.Trial, say))
	}
	waste := c.Trial.OddSpan - c.Trial.OddLength
	v.add(say, "A file of %d bytes takes %d bytes of addresses: %d wasted.", "%d 字节的文件占 %d 字节地址：浪费 %d 字节。", c.Trial.OddLength, c.Trial.OddSpan, waste)
	v.Verdict = partly
	slice, read, whole := c.find("slice", "warm", "sequential"), c.find("read", "warm", "sequential"), c.find("ReadFile", "warm", "sequential")
	if slice == nil || read == nil {
		return v
	}
	if waste > 0 && waste < c.System.PageBytes && *slice.Buffer == 0 && *read.Buffer > 0 {
		v.Verdict = holds
	}
	v.add(say, "Reading %s, the slice needs no buffer, read one of %s.", "读 %s 时切片无需缓冲区，read 需要 %s。", bytesText(slice.ReadBytes), bytesText(*read.Buffer))
	v.add(say, "A mapping's pages count as the process's memory too, %s here, but are the page cache's and can be taken back.",
		"映射的页也计入进程内存（此处 %s），但它们属于页缓存，可被回收。", countText(slice.MappedMemory))
	if whole != nil {
		v.add(say, "ReadFile took %s of the process's own.", "ReadFile 占用进程自有内存 %s。", countText(whole.OwnMemory))
	}
	return v
}

func (c *comparison) judgeSync(say *console) claimVerdict {
	v := claimVerdict{ID: "sync", Title: say.say("Reliability of sync", "同步可靠性"),
		SaidMmap: say.say("msync by hand, to be sure (MAP_SHARED)", "需手动 msync 保证（MAP_SHARED）"),
		SaidRead: say.say("a write is in the kernel's buffer at once (flushed late)", "写入即进入内核缓冲区（延迟刷盘）")}
	t := c.Trial
	if t.Msync == nil || t.Fsync == nil {
		return v.unmeasured(say, whyNot(t, say))
	}
	v.add(say, "A stored byte was seen by pread before any sync: %s. Pages waiting to be written: after the store %v, after msync %v.",
		"存入的字节在同步前即可被 pread 看到：%s。等待写出的页：存入后 %v，msync 后 %v。", yesNo(say, t.StoreSeenByPread), t.DirtyAfterStore, t.DirtyAfterSync)
	v.add(say, "After pwrite %v, after fsync %v: a write is no safer than a store until it is synced.",
		"pwrite 后 %v，fsync 后 %v：未同步时，写入并不比存入更可靠。", t.DirtyAfterWrite, t.DirtyAfterFsync)
	v.add(say, "msync took %s, fsync %s (medians of %d).", "msync 用时 %s，fsync %s（%d 次的中位数）。", timeText(t.Msync.Median), timeText(t.Fsync.Median), t.Msync.Runs)
	pending := t.DirtyAfterStore > 0 && t.DirtyAfterWrite > 0
	clean := t.DirtyAfterSync == 0 && t.DirtyAfterFsync == 0
	switch {
	case t.DirtyAfterStore == mmap.Unknown:
		v.Verdict = notMeasured
	case pending && clean && t.StoreSeenByPread:
		v.Verdict = holds
	default:
		v.Verdict = partly
	}
	return v
}

func sizeList(sizes []int) string {
	var list []string
	for _, n := range sizes {
		list = append(list, bytesText(int64(n)))
	}
	return strings.Join(list, ", ")
}

func yesNo(say *console, yes bool) string {
	if yes {
		return say.say("yes", "是")
	}
	return say.say("no", "否")
}

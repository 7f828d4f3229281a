package main

import (
	"fmt"
	"strings"

	"github.com/memwright/mmap"
)

// path tells what was found of a path's file system.
func (d *doctor) path() {
	p := d.Place
	if p == nil {
		return
	}
	d.pathMount(p)
	d.pathBlocks(p)
	d.pathCache(p)
}

func (d *doctor) pathMount(p *mmap.Place) {
	if p.FileSystem == "" {
		d.find("file system", markUnknown, text{"The type of the file system is not known", "文件系统类型未知"}, text{"What follows was tried", "以下各项均为实际尝试"}, "")
	} else {
		d.find("file system", markOK, text{fmt.Sprintf("%s on %s (%s), %s", p.FileSystem, p.MountPoint, p.Source, strings.Join(p.Options, ",")),
			fmt.Sprintf("%s，挂载于 %s（%s），%s", p.FileSystem, p.MountPoint, p.Source, strings.Join(p.Options, ","))},
			text{"Tried on: " + p.Probed, "试验对象：" + map[string]string{"a new file": "新建的文件", "the file itself": "该文件本身"}[p.Probed]}, "")
	}
	if p.ProbeError != "" {
		d.find("probe", markLimited, text{"No file could be made there: " + p.ProbeError, "无法在那里新建文件：" + p.ProbeError},
			text{"What can only be seen by writing stays unknown", "只能靠写入得知的事保持未知"}, "name a directory that you may write")
	}
	if p.ReadOnly {
		d.find("read only", markLimited, text{"Mounted read-only", "只读挂载"}, text{"ReadWrite mappings fail", "ReadWrite 映射会失败"}, "mount -o remount,rw "+p.MountPoint)
	}
	if p.NoExec {
		d.find("noexec", markLimited, text{"Mounted noexec", "以 noexec 挂载"}, text{"Options.Exec fails", "Options.Exec 会失败"}, "mount -o remount,exec "+p.MountPoint)
	}
	if p.Total > 0 {
		m, means := markOK, text{"Growth has room", "增长有空间"}
		if p.Free < p.Total/20 {
			m, means = markLimited, text{"Growth will soon fail with ENOSPC", "增长很快会因 ENOSPC 失败"}
		}
		d.find("free", m, text{size(p.Free) + " of " + size(p.Total) + " free", "空闲 " + size(p.Free) + "，共 " + size(p.Total)}, means, "delete files, or enlarge the file system")
	}
}

func (d *doctor) pathBlocks(p *mmap.Place) {
	d.tried("shared mapping", p.Shared,
		text{"A store through a shared mapping reaches the file", "通过共享映射写入会到达文件"},
		text{"A shared writable mapping of a new file does not work here", "这里对新文件的共享可写映射不可用"},
		text{"ReadWrite works", "ReadWrite 可用"}, text{"Use ReadOnly or CopyOnWrite, and file calls to write", "请用 ReadOnly 或 CopyOnWrite，并用文件调用写入"}, "another file system")
	d.tried("reservation", p.Reserves,
		text{"fallocate reserves blocks", "fallocate 能预留块"}, text{"fallocate is not available", "没有 fallocate"},
		text{"Growth is quick, and a full disk is an error there", "增长很快，磁盘满在那时报错"}, text{"Growth writes zeros instead", "增长改为写入零"}, "")
	reason := text{p.InPlaceReason, map[mmap.Answer]string{
		mmap.Available: "已预留的块原地覆写", mmap.Missing: "写入会落到新的位置，不在预留之内", mmap.NotKnown: "不知道写入落在哪里",
	}[p.InPlace]}
	d.answered("in place", p.InPlace, reason, reason,
		text{"A store to reserved blocks never meets a full disk", "写入预留的块不会遇到磁盘满"},
		text{"A store may still meet a full disk: View and WriteAt then give an error, a bare slice kills the process", "写入仍可能遇到磁盘满：View 和 WriteAt 报错，裸切片会使进程死亡"},
		"use WriteAt or WriteView there, or keep the file on ext4 or XFS")
	if p.ReadAhead >= 0 {
		m, means := markOK, text{"That much may be read at the touch of one cold page", "触碰一个冷页时最多读取这么多"}
		if p.ReadAhead > 1<<20 {
			m = markLimited
			means.en += "; for scattered reads use Pattern Random"
			means.zh += "；零散读取请用 Pattern Random"
		}
		d.find("read-ahead", m, text{"Read-ahead of the device: " + size(p.ReadAhead), "设备预读：" + size(p.ReadAhead)}, means, "blockdev --setra 256 "+p.Source)
	}
}

func (d *doctor) pathCache(p *mmap.Place) {
	d.tried("cache seen", p.CacheSeen,
		text{"The page cache can be seen", "可以看到页缓存"}, text{"The page cache can't be seen", "看不到页缓存"},
		text{"Residency counts pages", "Residency 能数页"}, text{"Residency answers unknown", "Residency 答未知"}, "own the file or be allowed to write it; Linux 6.5 for dirty pages")
	d.tried("cache dropped", p.CacheDropped,
		text{"Pages leave the page cache when asked to", "页可以按要求离开页缓存"}, text{"Pages stay in the page cache", "页会留在页缓存里"},
		text{"SyncInvalidate works", "SyncInvalidate 可用"}, text{"SyncInvalidate fails with ErrStillCached: the memory is the file", "SyncInvalidate 以 ErrStillCached 失败：内存就是文件本身"}, "")
	d.tried("write-out", p.StartsWriting,
		text{"Write-out starts when asked to", "可以按要求启动写出"}, text{"Write-out does not start when asked to", "不能按要求启动写出"},
		text{"SyncStart works", "SyncStart 可用"}, text{"SyncStart does nothing", "SyncStart 不起作用"}, "")
	if p.FolioBytes > 0 {
		d.find("folio", markOK, text{"One store made " + size(p.FolioBytes) + " dirty", "一次写入使 " + size(p.FolioBytes) + " 变脏"},
			text{"That is the unit in which this file is cached, dirtied and dropped", "这是该文件被缓存、变脏和清出的单位"}, "")
	}
	if p.DirectAccess == mmap.Available {
		d.find("DAX", markOK, text{"Direct access (DAX)", "直接访问（DAX）"}, text{"Mappings show the device; there is no page cache", "映射直接显示设备，没有页缓存"}, "")
	}
}

// tried is a finding of something that was done; what could not be tried has
// no finding of its own, because the probe's has told why.
func (d *doctor) tried(id string, a mmap.Answer, yes, no, works, fails text, fix string) {
	if a != mmap.NotKnown {
		d.answered(id, a, yes, no, works, fails, fix)
	}
}

func (d *doctor) answered(id string, a mmap.Answer, yes, no, works, fails text, fix string) {
	if a == mmap.Available {
		d.find(id, markOK, yes, works, "")
		return
	}
	d.find(id, markOf(a), no, fails, fix)
}

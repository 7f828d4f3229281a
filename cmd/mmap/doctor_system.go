package main

import (
	"fmt"
	"strings"

	"github.com/memwright/mmap"
)

// fixesZh is what is said between the commands of a fix.
var fixesZh = strings.NewReplacer(
	"allow the call in the seccomp profile", "在 seccomp 配置中放行该调用",
	"run as root, or give the program CAP_SYS_ADMIN", "以 root 运行，或给程序 CAP_SYS_ADMIN",
	", or give the program CAP_IPC_LOCK", "，或给程序 CAP_IPC_LOCK",
	"a kernel with CONFIG_TRANSPARENT_HUGEPAGE", "使用带 CONFIG_TRANSPARENT_HUGEPAGE 的内核",
	"boot with secretmem.enable=1", "启动参数加 secretmem.enable=1",
	"raise it: ", "调高：",
	"; the hard limit is the same, so it takes root outside this process", "；硬限制相同，需由进程之外的 root 提高",
	"run the tour as root", "以 root 运行导览",
	"open the file as its owner", "以属主身份打开文件",
	"put data on a volume", "把数据放到卷上",
	"name a directory that you may write", "给出一个可写的目录",
	"delete files, or enlarge the file system", "删除文件，或扩大文件系统",
	"another file system", "换一个文件系统",
	"use WriteAt or WriteView there, or keep the file on ext4 or XFS", "在那里用 WriteAt 或 WriteView，或把文件放在 ext4 或 XFS 上",
	"own the file or be allowed to write it; Linux 6.5 for dirty pages", "成为属主或获得写权限；脏页计数需 Linux 6.5",
	", or ", "，或 ",
)

// markOf is how good an answer is.
func markOf(a mmap.Answer) mark {
	return map[mmap.Answer]mark{mmap.Available: markOK, mmap.Missing: markMissing, mmap.Refused: markLimited, mmap.NotKnown: markUnknown}[a]
}

// aid is what a kernel feature does for mappings.
type aid struct {
	with, without text
	fix           string // where it is refused or switched off
}

const (
	allowCall  = "allow the call in the seccomp profile (docker run --security-opt seccomp=PROFILE)"
	needsAdmin = "run as root, or give the program CAP_SYS_ADMIN"
)

// aids is by the feature's name in mmap.System.
var aids = map[string]aid{
	"mremap": {with: text{"Resize grows a mapping without copying", "Resize 扩大映射时不复制数据"},
		without: text{"Private memory can't grow without Reserve", "没有 Reserve 时私有内存无法扩大"}, fix: allowCall},
	"open of /proc/self/fd": {with: text{"Map gets a file description of its own, so no failed write is lost to others", "Map 拥有自己的打开文件描述，写失败不会被别人取走"},
		without: text{"Map shares the caller's description: its fsync may take an error that Sync would have told", "Map 与调用者共用打开文件描述：对方的 fsync 可能取走本应由 Sync 报告的错误"}, fix: "mount -t proc proc /proc"},
	"mincore": {with: text{"ResidentRanges tells which pages are in memory", "ResidentRanges 能说出哪些页在内存里"},
		without: text{"Which pages are in memory can't be told: ReadAt and View read every page by a call again each 100 ms (random 4 KiB of 1 MiB cost the same, of 64 MiB 1.3 times, of 1 GiB 2.2 times), and a page that fails late is waited for three times, not two",
			"无法得知哪些页在内存里：ReadAt 和 View 每 100 毫秒用系统调用重读每一页（随机读 4 KiB：1 MiB 内无差别，64 MiB 为 1.3 倍，1 GiB 为 2.2 倍），迟迟才失败的页要等三次而非两次"}, fix: allowCall},
	"preadv2, RWF_NOWAIT": {with: text{"Cold reads of many goroutines are all under way at once", "多个 goroutine 的冷读同时进行"},
		without: text{"Cold reads wait one by one, as os.File's do: half the speed with 64 goroutines, the same with one", "冷读像 os.File 那样逐个等待：64 个 goroutine 时速度减半，单个时不变"}, fix: allowCall},
	"sync_file_range": {with: text{"SyncStart starts writing and does not wait", "SyncStart 启动写出而不等待"},
		without: text{"SyncStart fails", "SyncStart 会失败"}, fix: allowCall},
	"/proc/self/pagemap": {with: text{"Residency counts private copies", "Residency 能数出私有副本"},
		without: text{"Residency can't count private copies; a private copy of a page that the disk can't read any more is an error to ReadAt and View; no access is slower", "Residency 数不出私有副本；若磁盘已读不出某页，其私有副本对 ReadAt 和 View 也是错误；访问不会变慢"}, fix: "mount -t proc proc /proc"},
	"frame numbers in /proc/self/pagemap": {with: text{"The tour shows physical frames", "导览能显示物理页框"},
		without: text{"The tour shows sharing in another way", "导览换一种方式展示共享"}, fix: needsAdmin},
	"MAP_HUGETLB": {with: text{"Huge2MiB and Huge1GiB work while the pool lasts", "池中有页时 Huge2MiB、Huge1GiB 可用"},
		without: text{"Huge2MiB and Huge1GiB fail: the pool is empty or there is none", "Huge2MiB、Huge1GiB 会失败：池是空的或不存在"}, fix: "sysctl vm.nr_hugepages=64"},
	"MADV_HUGEPAGE": {with: text{"TransparentHuge is accepted", "接受 TransparentHuge"},
		without: text{"TransparentHuge fails", "TransparentHuge 会失败"}, fix: "a kernel with CONFIG_TRANSPARENT_HUGEPAGE"},
	"memfd_create": {with: text{"Anonymous memory can be Shared", "匿名内存可以是 Shared"},
		without: text{"Shared anonymous memory fails; use a file on /dev/shm", "Shared 匿名内存会失败；请用 /dev/shm 里的文件"}, fix: allowCall},
	"userfaultfd": {with: text{"A process can serve all faults of a mapping", "进程可以自己处理映射的全部缺页"},
		without: text{"Faults inside system calls can't be served by a process; the accesses of this library do not need it", "系统调用里的缺页不能由进程处理；本库的访问不需要它"}, fix: "sysctl vm.unprivileged_userfaultfd=1, or " + allowCall},
	"userfaultfd, UFFD_USER_MODE_ONLY": {with: text{"A process can serve faults of user code without privilege", "进程无需特权即可处理用户代码的缺页"},
		without: text{"Faults can't be served by a process; the accesses of this library do not need it", "缺页不能由进程处理；本库的访问不需要它"}, fix: allowCall},
	"mlock2": {with: text{"LockOnFault locks pages as they are touched", "LockOnFault 在触碰时锁定页"},
		without: text{"LockOnFault fails", "LockOnFault 会失败"}, fix: "ulimit -l unlimited, or give the program CAP_IPC_LOCK"},
	"MADV_FREE": {with: text{"Discard can free lazily", "Discard 可以延迟释放"},
		without: text{"FreeLazily fails; use DropPrivate", "FreeLazily 会失败；请用 DropPrivate"}, fix: allowCall},
	"memfd_create, MFD_HUGETLB": {with: text{"Shared anonymous memory can be of huge pages", "Shared 匿名内存可以用大页"},
		without: text{"Shared anonymous memory has base pages only", "Shared 匿名内存只有普通页"}, fix: allowCall},
	"MAP_FIXED_NOREPLACE": {with: text{"FixedNoReplace is one step", "FixedNoReplace 一步完成"},
		without: text{"FixedNoReplace maps elsewhere first, sees it, and takes it back", "FixedNoReplace 会先映射到别处，发现后再撤回"}},
	"MADV_COLD": {with: text{"AdviseCold works", "AdviseCold 可用"},
		without: text{"AdviseCold fails", "AdviseCold 会失败"}, fix: allowCall},
	"MADV_PAGEOUT": {with: text{"AdvisePageOut works", "AdvisePageOut 可用"},
		without: text{"AdvisePageOut fails", "AdvisePageOut 会失败"}, fix: allowCall},
	"MADV_POPULATE_READ": {with: text{"Populate brings pages in by one call and reports what fails", "Populate 一次调用载入并报告失败"},
		without: text{"Populate reads and touches page by page: 15 times slower for pages in memory, and the touch of one that was evicted in between holds up other goroutines", "Populate 只能逐页读取并触碰：页已在内存时慢 15 倍；若页恰好又被清出，触碰会拖住其他 goroutine"}, fix: allowCall},
	"memfd_secret": {with: text{"Memory that the kernel does not map exists; this library does not use it", "存在内核自身不映射的内存；本库不使用"},
		without: text{"This library does not use it", "本库不使用它"}, fix: "boot with secretmem.enable=1"},
	"MADV_COLLAPSE": {with: text{"AdviseCollapse makes huge pages of what is there", "AdviseCollapse 把已有的页合成大页"},
		without: text{"AdviseCollapse fails", "AdviseCollapse 会失败"}, fix: allowCall},
	"cachestat": {with: text{"Residency counts cached, dirty and written pages; SyncInvalidate can verify", "Residency 能数缓存页、脏页和写出中的页；SyncInvalidate 能核实"},
		without: text{"Dirty pages can't be counted, SyncInvalidate can't verify, and a page that fails late is waited for three times, not two", "数不出脏页，SyncInvalidate 无法核实，迟迟才失败的页要等三次而非两次"}, fix: allowCall},
	"PAGEMAP_SCAN": {with: text{"Pages can be found by state; this library does not need it yet", "可以按状态查找页；本库尚不需要"},
		without: text{"This library does not need it yet", "本库尚不需要它"}},
	"mseal": {with: text{"A mapping can be made immutable; this library does not do so", "映射可以设为不可变；本库不这样做"},
		without: text{"This library does not use it", "本库不使用它"}},
	"MADV_GUARD_INSTALL": {with: text{"Guard pages cost no area; this library does not need them", "保护页不占单独的区域；本库不需要"},
		without: text{"This library does not need it", "本库不需要它"}},
}

func (d *doctor) kernel() {
	for _, f := range d.Features {
		a := aids[f.Name]
		found := fmt.Sprintf("%s (%s)", f.Name, f.Since)
		m, means, fix := markOf(f.Answer), a.with, ""
		if f.Answer != mmap.Available {
			found += ": " + f.Reason
			means, fix = a.without, a.fix
		}
		d.find(f.Name, m, text{found, found}, means, fix)
	}
}

func (d *doctor) memory() {
	for _, p := range d.HugePools {
		found := text{fmt.Sprintf("%s pages in the pool: %d, %d free", size(p.PageBytes), p.Total, p.Free),
			fmt.Sprintf("%s 大页池：共 %d 页，空闲 %d", size(p.PageBytes), p.Total, p.Free)}
		m, means := markOK, text{"Mappings of such pages can be made", "可以建立这种页的映射"}
		if p.Free == 0 {
			m, means = markMissing, text{"Mappings of such pages fail", "这种页的映射会失败"}
		}
		d.find(fmt.Sprintf("pool %d", p.PageBytes), m, found, means,
			fmt.Sprintf("echo N > /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages", p.PageBytes>>10))
	}
	d.choice("transparent", d.Transparent, "enabled",
		text{"Transparent huge pages", "透明大页"}, text{"Options.HugePages = TransparentHuge gets them for private memory", "Options.HugePages = TransparentHuge 对私有内存有效"},
		text{"TransparentHuge has no effect on private memory", "TransparentHuge 对私有内存无效"}, "madvise")
	d.choice("shared_huge", d.SharedHuge, "shmem_enabled",
		text{"Transparent huge pages for shared memory", "共享内存的透明大页"}, text{"TransparentHuge gets them for Shared memory", "TransparentHuge 对 Shared 内存有效"},
		text{"Shared memory has base pages, whatever is asked for", "无论怎么要求，Shared 内存都用普通页"}, "advise")
}

// choice is a setting of transparent huge pages.
func (d *doctor) choice(id, value, file string, what, on, off text, want string) {
	m, means := markOK, on
	switch value {
	case "":
		m, value, means = markUnknown, "?", off
	case "never", "deny":
		m, means = markMissing, off
	}
	d.find(id, m, text{what.en + ": " + value, what.zh + "：" + value}, means,
		"echo "+want+" > /sys/kernel/mm/transparent_hugepage/"+file)
}

// bound is what a limit means to mappings.
type bound struct {
	means text
	fix   string
	tight func(l mmap.Limit) bool // worth a warning
}

// set: a limit that most systems leave open.
func set(l mmap.Limit) bool { return l.Max != mmap.Unlimited }

// half: a limit that is always there matters once half of it is used.
func half(l mmap.Limit) bool { return l.Max != mmap.Unlimited && l.Used > l.Max/2 }

var bounds = map[string]bound{
	"RLIMIT_AS": {text{"Mappings, reserved addresses too, are refused beyond it", "超过后映射（包括保留的地址）会被拒绝"},
		"ulimit -v unlimited (systemd: LimitAS=infinity)", set},
	"RLIMIT_DATA": {text{"Private writable memory is refused beyond it, the Go heap too", "超过后私有可写内存会被拒绝，Go 堆也一样"},
		"ulimit -d unlimited (systemd: LimitDATA=infinity)", set},
	"RLIMIT_MEMLOCK": {text{"Lock is refused beyond it", "超过后 Lock 会被拒绝"},
		"ulimit -l unlimited (systemd: LimitMEMLOCK=infinity), or setcap cap_ipc_lock+ep PROGRAM", set},
	"RLIMIT_FSIZE": {text{"Create and growth fail beyond it", "超过后 Create 和增长会失败"},
		"ulimit -f unlimited (systemd: LimitFSIZE=infinity)", set},
	"RLIMIT_NOFILE": {text{"Each mapping of a file keeps one descriptor", "每个文件映射占用一个描述符"},
		"ulimit -n 1048576 (systemd: LimitNOFILE=1048576)", half},
	"vm.max_map_count": {text{"Each mapping takes one area, and one more with Reserve", "每个映射占一个区域，带 Reserve 再加一个"},
		"sysctl vm.max_map_count=262144", half},
	"CommitLimit": {text{"Private memory counts against it when vm.overcommit_memory is 2", "vm.overcommit_memory 为 2 时私有内存计入其中"},
		"sysctl vm.overcommit_memory=0", set},
	"memory cgroup": {text{"Mapped file pages count against it; at the limit they are dropped and read again, which is slow", "映射的文件页计入其中；到达上限时会被丢弃并重新读取，很慢"},
		"raise it: docker run --memory=SIZE, or systemd: MemoryMax=SIZE", set},
}

func (d *doctor) limits() {
	for _, l := range d.Limits {
		b := bounds[l.Name]
		m := markOK
		switch {
		case !l.Known:
			m = markUnknown
		case b.tight(l):
			m = markLimited
		}
		means, fix := b.means, b.fix
		if l.Name == "RLIMIT_MEMLOCK" && d.Capabilities.IPCLock {
			m, means = markOK, text{"CAP_IPC_LOCK makes it void for this process; others are bound by it", "本进程有 CAP_IPC_LOCK，不受其约束；其他进程受约束"}
		}
		if m == markLimited && l.Hard == l.Max && strings.HasPrefix(l.Name, "RLIMIT_") && !d.Capabilities.SysResource {
			fix += "; the hard limit is the same, so it takes root outside this process"
		}
		d.find(l.Name, m, d.amount(l), means, fix)
	}
	means := text{"Memory is promised beyond what there is; a store may be refused or killed when it runs out", "承诺的内存可以超过实有；用尽时一次写入可能被拒绝或致死"}
	m := markOK
	switch d.Overcommit {
	case "never":
		m, means = markLimited, text{"Private memory is refused once CommitLimit is reached", "达到 CommitLimit 后私有内存会被拒绝"}
	case "":
		m = markUnknown
	}
	d.find("overcommit", m, text{"vm.overcommit_memory: " + d.Overcommit, "vm.overcommit_memory：" + d.Overcommit}, means, "sysctl vm.overcommit_memory=0")
}

// amount spells a limit and what is in use of it.
func (d *doctor) amount(l mmap.Limit) text {
	spell := func(n uint64) string {
		switch {
		case n == mmap.Unlimited:
			return d.say("unlimited", "无限制")
		case l.Unit == "bytes":
			return size(n)
		}
		return fmt.Sprint(n)
	}
	if !l.Known {
		return text{l.Name + ": not known", l.Name + "：未知"}
	}
	t := text{l.Name + ": " + spell(l.Max), l.Name + "：" + spell(l.Max)}
	if l.Used > 0 {
		t.en += ", " + spell(l.Used) + " in use"
		t.zh += "，已用 " + spell(l.Used)
	}
	return t
}

func (d *doctor) process() {
	for _, row := range []struct {
		name      string
		held      bool
		yes, no   text
		privilege string
	}{
		{"CAP_IPC_LOCK", d.Capabilities.IPCLock, text{"Lock has no limit", "Lock 没有上限"}, text{"Lock is bound by RLIMIT_MEMLOCK", "Lock 受 RLIMIT_MEMLOCK 约束"}, "setcap cap_ipc_lock+ep PROGRAM"},
		{"CAP_SYS_ADMIN", d.Capabilities.SysAdmin, text{"Physical frames can be seen", "可以看到物理页框"}, text{"Physical frames can't be seen; nothing else depends on it", "看不到物理页框；其他都不依赖它"}, "run the tour as root"},
		{"CAP_FOWNER", d.Capabilities.Fowner, text{"The cache of anyone's files can be seen", "任何人文件的缓存都可以看到"}, text{"The cache is told only of files that are yours or that you may write; else Residency says unknown", "只告知自己的或可写文件的缓存；否则 Residency 答未知"}, "open the file as its owner"},
	} {
		m, means, state := markOK, row.yes, text{"held", "有"}
		if !row.held {
			m, means, state = markLimited, row.no, text{"not held", "无"}
		}
		if !d.Capabilities.Known {
			m = markUnknown
		}
		d.find(row.name, m, text{row.name + ": " + state.en, row.name + "：" + state.zh}, means, row.privilege)
	}
	switch d.Container.Seccomp {
	case "none":
		d.find("seccomp", markOK, text{"seccomp: none", "seccomp：无"}, text{"No filter stands between this process and the kernel", "进程与内核之间没有过滤器"}, "")
	case "":
		d.find("seccomp", markUnknown, text{"seccomp: not known", "seccomp：未知"}, text{"A filter may refuse calls", "可能有过滤器拒绝调用"}, "")
	default:
		d.find("seccomp", markLimited, text{"seccomp: " + d.Container.Seccomp, "seccomp：" + d.Container.Seccomp},
			text{"A filter may refuse calls; those that were are marked above", "过滤器可能拒绝调用；被拒绝的已在上面标出"}, allowCall)
	}
	if d.Container.RootFS == "overlay" {
		d.find("root file system", markLimited, text{"/ is on overlayfs", "/ 在 overlayfs 上"},
			text{"A file of the image that was mapped before its first writer goes on showing the old bytes", "镜像里的文件若在第一次写入之前被映射，会一直显示旧内容"}, "put data on a volume")
	}
	if len(d.Container.Marks) > 0 {
		marks := strings.Join(d.Container.Marks, ", ")
		d.find("container", markOK, text{"A container, by " + marks, "位于容器中：" + marks}, text{"Limits and filters may be set from outside", "限制与过滤器可能由外部设定"}, "")
	}
}

// size spells bytes in the largest binary unit that leaves no long tail.
func size[T int64 | uint64](n T) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i]
}

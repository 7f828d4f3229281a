package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/raw"
)

// Claims about making mappings: the arguments of mmap and what they mean.

var pageBytes = os.Getpagesize()

const rawRW = raw.PROT_READ | raw.PROT_WRITE

// tryMap maps one page of f, or none, and gives it back: only the answer
// counts.
func tryMap(prot raw.Prot, flags raw.Flag, f *os.File, off int64) error {
	fd := -1
	if f != nil {
		fd = int(f.Fd())
	}
	addr, err := raw.Mmap(0, pageBytes, prot, flags, fd, off)
	if err == nil {
		err = raw.Munmap(addr, pageBytes)
	}
	return err
}

// answer spells an error as the manual does.
func answer(err error) string {
	if err == nil {
		return "success"
	}
	for name, errno := range map[string]syscall.Errno{"EACCES": syscall.EACCES, "EAGAIN": syscall.EAGAIN, "EBUSY": syscall.EBUSY, "EEXIST": syscall.EEXIST,
		"EFAULT": syscall.EFAULT, "EINVAL": syscall.EINVAL, "ENODEV": syscall.ENODEV, "ENOMEM": syscall.ENOMEM, "EPERM": syscall.EPERM} {
		if errors.Is(err, errno) {
			return name
		}
	}
	return err.Error()
}

// sunk keeps loads from being removed.
var sunk byte

// faults reports whether an access faults. It is what a program without this
// library would have died of.
func faults(access func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(interface{ Addr() uintptr }); !ok {
				panic(r)
			}
			faulted = true
		}
	}()
	access()
	return false
}

// arena is private memory of n pages, whose addresses the raw calls of a
// claim may then do anything with.
func arena(n int) (m *mmap.Mapping, base uintptr, err error) {
	m, err = mmap.Anonymous(n*pageBytes, mmap.Options{})
	if err == nil {
		base, _ = m.Span()
	}
	return m, base, err
}

// figureOf is one figure of smaps for a mapping, in bytes.
func figureOf(m *mmap.Mapping, name string) (int64, error) {
	addr, n := m.Span()
	areas, err := areasOf(addr, n)
	return sum(areas, name), err
}

// presentIn counts the pages of anonymous memory that are there. Figures of
// smaps won't do: the kernel makes one area of neighbours.
func presentIn(m *mmap.Mapping) (count int, err error) {
	addr, n := m.Span()
	vec := make([]byte, n/pageBytes)
	err = raw.Mincore(addr, n, vec)
	for _, v := range vec {
		count += int(v & 1)
	}
	return count, err
}

var proofPrototype = &proof{claimTrue,
	text{"Success is an address; failure is an errno.", "成功返回地址，失败返回 errno。"},
	text{"raw.Mmap has the same six arguments; a failure is address 0 and an error that wraps the errno. The root package wraps it in *Error, with the path and the range.", "raw.Mmap 有同样的六个参数；失败返回地址 0 和包着 errno 的错误。根包再包成 *Error，带路径与区间。"},
	[]string{"raw.TestMmapRefusals", "raw.TestFailedCallsAnswerAddressZero", "raw.TestFailuresNameTheCallAndWrapTheErrno"},
	func(e *exhibit) error {
		addr, err := raw.Mmap(0, pageBytes, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
		if err != nil {
			return err
		}
		e.saw(addr != 0, "mmap(NULL, %d, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = %#x", pageBytes, addr)
		e.saw(raw.Munmap(addr, pageBytes) == nil, "munmap(%#x, %d) = 0", addr, pageBytes)
		_, invalid := raw.Mmap(0, pageBytes, raw.PROT_READ, raw.MAP_ANONYMOUS, -1, 0)
		e.saw(errors.Is(invalid, syscall.EINVAL), "no type in flags: %s", answer(invalid))
		if math.MaxInt > math.MaxInt32 {
			_, big := raw.Mmap(0, math.MaxInt>>1, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
			e.saw(errors.Is(big, syscall.ENOMEM), "length %d: %s", math.MaxInt>>1, answer(big))
		}
		_, err = mmap.Open(e.dir + "/none")
		var told *mmap.Error
		e.lib(errors.As(err, &told) && told.Path == e.dir+"/none", "Open: %v", err)
		return nil
	}}

var proofObjects = &proof{claimTrue,
	text{"Maps whatever offers it: files, devices, memfds, sockets with rings. A pipe answers ENODEV.", "凡是提供映射的都能映射：文件、设备、memfd、带环的套接字。管道返回 ENODEV。"},
	text{"Map refuses nothing by type and translates the kernel's refusal. What has no size needs Length.", "Map 不按类型拒绝，而是翻译内核的拒绝。没有大小的对象要给 Length。"},
	[]string{"mmap.TestOtherObjects", "mmap.TestWhatCanNotBeMappedSaysWhatToDo"},
	func(e *exhibit) error {
		f, err := e.opened(pageBytes, os.O_RDWR)
		if err != nil {
			return err
		}
		defer f.Close()
		e.saw(tryMap(rawRW, raw.MAP_SHARED, f, 0) == nil, "a file: mapped")
		shared, err := mmap.Anonymous(pageBytes, mmap.Options{Sharing: mmap.Shared})
		if err != nil {
			return err
		}
		defer shared.Close()
		memfd, err := shared.File()
		if err != nil {
			return err
		}
		defer memfd.Close()
		e.saw(tryMap(rawRW, raw.MAP_SHARED, memfd, 0) == nil, "a memfd: mapped")
		if zero, err := os.OpenFile("/dev/zero", os.O_RDWR, 0); err == nil {
			defer zero.Close()
			e.saw(tryMap(rawRW, raw.MAP_PRIVATE, zero, 0) == nil, "/dev/zero: mapped")
			m, err := mmap.Map(zero, mmap.Options{Length: 100})
			e.lib(err == nil && m.Len() == 100, "Map of /dev/zero with Length 100: %s", answer(err))
			if err == nil {
				m.Close()
			}
		}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		defer w.Close()
		_, err = mmap.Map(r, mmap.Options{Length: 100})
		e.lib(errors.Is(err, syscall.ENODEV), "Map of a pipe: %v", err)
		return nil
	}}

var proofHint = &proof{claimTrue,
	text{"A page-aligned address that is free is taken.", "页对齐且空闲的地址会被采用。"},
	text{"Options.Addr with Placement Hint.", "Options.Addr 配合 Placement 的 Hint。"},
	[]string{"raw.TestMmapHint"},
	func(e *exhibit) error {
		_, _, free, err := hints()
		if err != nil {
			return err
		}
		e.saw(free.got == free.asked, "hint %#x, free: mapped at %#x", free.asked, free.got)
		return nil
	}}

var proofHintIgnored = &proof{claimConditional,
	text{"It takes the hint if the address is free, and goes elsewhere if not.", "地址空闲就采用提示，被占用才改到别处。"},
	text{"The zero Placement gives no hint; Addr without a Placement is an error.", "零值 Placement 不给提示；只给 Addr 不给 Placement 是错误。"},
	[]string{"raw.TestMmapHint"},
	func(e *exhibit) error {
		m, taken, free, err := hints()
		if err != nil {
			return err
		}
		e.saw(taken.got != taken.asked, "hint %#x, occupied: mapped at %#x", taken.asked, taken.got)
		e.saw(free.got != free.asked, "hint %#x, free: mapped at %#x", free.asked, free.got)
		_, err = mmap.Anonymous(pageBytes, mmap.Options{Addr: m})
		e.lib(errors.Is(err, fs.ErrInvalid), "Addr without Placement: %v", err)
		return nil
	}}

type placed struct{ asked, got uintptr }

// hints tries an occupied address and a free one.
func hints() (base uintptr, taken, free placed, err error) {
	m, base, err := arena(4)
	if err != nil {
		return 0, taken, free, err
	}
	defer m.Close()
	try := func(at uintptr) (placed, error) {
		got, err := raw.Mmap(at, pageBytes, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
		if err == nil {
			err = raw.Munmap(got, pageBytes)
		}
		return placed{at, got}, err
	}
	if taken, err = try(base); err != nil {
		return base, taken, free, err
	}
	hole := base + 2*uintptr(pageBytes)
	if err = raw.Munmap(hole, pageBytes); err == nil {
		free, err = try(hole)
	}
	return base, taken, free, err
}

var proofChosen = &proof{claimTrue,
	text{"Address 0 lets it choose; it never chooses 0.", "地址为 0 时由内核选择，且从不选 0。"},
	text{"Placement Anywhere, the zero value.", "Placement 的零值 Anywhere。"},
	[]string{"raw.TestMmapNeverChoosesAddressZero"},
	func(e *exhibit) error {
		m, base, err := arena(1)
		if err != nil {
			return err
		}
		defer m.Close()
		e.saw(base != 0, "mmap(NULL, ...) = %#x", base)
		e.lib(m.Addr() == base, "Addr = %#x", m.Addr())
		return nil
	}}

var proofOnlyFixed = &proof{claimConditional,
	text{"MAP_FIXED forces the address; so does MAP_FIXED_NOREPLACE (4.17), if it is free.", "MAP_FIXED 强制地址；MAP_FIXED_NOREPLACE（4.17）在地址空闲时也强制。"},
	text{"Placement FixedNoReplace and FixedReplace.", "Placement 的 FixedNoReplace 与 FixedReplace。"},
	[]string{"raw.TestMmapFixedNoReplace", "raw.TestMmapFixedReplacesWhatIsThere"},
	func(e *exhibit) error {
		m, base, err := arena(4)
		if err != nil {
			return err
		}
		defer m.Close()
		hole := base + 2*uintptr(pageBytes)
		if err := raw.Munmap(hole, pageBytes); err != nil {
			return err
		}
		got, err := raw.Mmap(hole, pageBytes, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_FIXED_NOREPLACE, -1, 0)
		if err != nil {
			return err
		}
		e.saw(got != hole, "MAP_FIXED_NOREPLACE at %#x: mapped at %#x", hole, got)
		got, err = raw.Mmap(hole, pageBytes, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_FIXED, -1, 0)
		e.saw(err == nil && got == hole, "MAP_FIXED at %#x: mapped at %#x", hole, got)
		return err
	}}

// replaceByFixed maps over a page that holds a byte, and tells what is there
// afterwards.
func replaceByFixed() (at, got uintptr, left byte, err error) {
	m, base, err := arena(1)
	if err != nil {
		return 0, 0, 0, err
	}
	defer m.Close()
	m.Bytes()[0] = 'A'
	got, err = raw.Mmap(base, pageBytes, rawRW, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_FIXED, -1, 0)
	return base, got, m.Bytes()[0], err
}

// fixedNoReplace asks the library for an occupied address.
func fixedNoReplace(e *exhibit) error {
	m, base, err := arena(1)
	if err != nil {
		return err
	}
	defer m.Close()
	m.Bytes()[0] = 'A'
	other, err := mmap.Anonymous(pageBytes, mmap.Options{Addr: base, Placement: mmap.FixedNoReplace})
	if err == nil {
		other.Close()
	}
	e.lib(errors.Is(err, fs.ErrExist) && m.Bytes()[0] == 'A', "FixedNoReplace: %v; the byte there is still %q", err, m.Bytes()[0])
	return nil
}

var proofFixedForces = &proof{claimTrue,
	text{"It maps exactly there.", "准确映射在该地址。"},
	text{"Placement FixedReplace names what it does.", "Placement 的 FixedReplace 名副其实。"},
	[]string{"raw.TestMmapFixedReplacesWhatIsThere"},
	func(e *exhibit) error {
		at, got, _, err := replaceByFixed()
		e.saw(got == at, "MAP_FIXED at %#x: mapped at %#x", at, got)
		return err
	}}

var proofFixedFails = &proof{claimFalse,
	text{"It does not fail: it silently replaces what is there.", "不会失败：它悄悄替换原有映射。"},
	text{"The dangerous one is spelled FixedReplace. FixedNoReplace fails with fs.ErrExist.", "危险的那种叫 FixedReplace。FixedNoReplace 以 fs.ErrExist 失败。"},
	[]string{"raw.TestMmapFixedReplacesWhatIsThere", "raw.TestMmapFixedNoReplace", "mmap.TestOptionsReachTheKernel"},
	func(e *exhibit) error {
		at, got, left, err := replaceByFixed()
		e.saw(err != nil, "MAP_FIXED over an occupied page at %#x: %s (%#x); the byte 'A' became %d", at, answer(err), got, left)
		return fixedNoReplace(e)
	}}

var proofFixedDanger = &proof{claimTrue,
	text{"What was mapped there is gone, whoever it belonged to.", "原来映射在那里的内容都没了，不管属于谁。"},
	text{"FixedReplace is for reservations of one's own: a NoAccess mapping counts those placed into it and can't be closed under them.", "FixedReplace 用于自己的保留区：NoAccess 映射会数出放进来的映射，未空时不能关闭。"},
	[]string{"raw.TestMmapFixedReplacesWhatIsThere"},
	func(e *exhibit) error {
		at, _, left, err := replaceByFixed()
		e.saw(left == 0, "MAP_FIXED over %#x: the byte 'A' became %d", at, left)
		if err != nil {
			return err
		}
		return fixedNoReplace(e)
	}}

var proofLengthZero = &proof{claimFalse,
	text{"Length 0 is EINVAL; it must be greater than 0.", "长度 0 返回 EINVAL；必须大于 0。"},
	text{"An empty file gives an empty Mapping; a negative length is an error that says so.", "空文件得到空的 Mapping；负长度是说明原因的错误。"},
	[]string{"raw.TestMmapRefusals", "mmap.TestEmptyFileIsAnEmptyMapping"},
	func(e *exhibit) error {
		_, err := raw.Mmap(0, 0, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
		e.saw(err == nil, "mmap with length 0: %s", answer(err))
		path, err := e.file(0)
		if err != nil {
			return err
		}
		m, err := mmap.Open(path)
		if err != nil {
			return err
		}
		e.lib(m.Len() == 0, "Open of an empty file: Len = %d", m.Len())
		return m.Close()
	}}

var proofRounding = &proof{claimTrue,
	text{"The area covers whole pages; the bytes after the end of the file read as zero.", "区域覆盖整页；文件末尾之后的字节读作零。"},
	text{"Len is what was asked for, Span what is mapped.", "Len 是要求的长度，Span 是实际映射的范围。"},
	[]string{"raw.TestMmapRoundsTheLengthUpToPages"},
	func(e *exhibit) error {
		m, err := e.mapped(pageBytes + 904)
		if err != nil {
			return err
		}
		defer m.Close()
		size, err := figureOf(m, "Size")
		if err != nil {
			return err
		}
		_, span := m.Span()
		e.saw(size == int64(2*pageBytes), "%d bytes asked for, an area of %d bytes in /proc/self/smaps", m.Len(), size)
		e.lib(m.Len() == pageBytes+904 && span == 2*pageBytes, "Len = %d, Span = %d", m.Len(), span)
		return nil
	}}

var proofPageSize = &proof{claimTrue,
	text{"The unit is what getpagesize tells: 4 KiB on most machines, 16 or 64 KiB on some.", "单位就是 getpagesize 的值：多数机器 4 KiB，有的 16 或 64 KiB。"},
	text{"PageSize tells the mapping's own unit, which is larger for huge pages.", "PageSize 给出该映射自己的单位，大页时更大。"},
	[]string{"raw.TestMmapRoundsTheLengthUpToPages"},
	func(e *exhibit) error {
		m, err := e.mapped(1)
		if err != nil {
			return err
		}
		defer m.Close()
		unit, err := figureOf(m, "KernelPageSize")
		if err != nil {
			return err
		}
		e.saw(unit == int64(pageBytes), "getpagesize = %d, KernelPageSize of a mapping = %d", pageBytes, unit)
		e.lib(m.PageSize() == pageBytes, "PageSize = %d", m.PageSize())
		return nil
	}}

var proofProtNeeded = &proof{claimTrue,
	text{"The protections are bits, and none of them is PROT_NONE.", "保护是位的组合，一位都不设就是 PROT_NONE。"},
	text{"Access names the useful combinations; Protect takes the bits.", "Access 命名了有用的组合；Protect 接受各个位。"},
	[]string{"raw.TestMmapAreaCarriesProtectionSharingOffsetAndInode"},
	func(e *exhibit) error {
		for prot, perms := range map[raw.Prot]string{raw.PROT_NONE: "---p", raw.PROT_READ: "r--p", rawRW: "rw-p"} {
			addr, err := raw.Mmap(0, pageBytes, prot, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
			if err != nil {
				return err
			}
			areas, err := areasOf(addr, pageBytes)
			if err == nil && len(areas) == 1 {
				e.saw(areas[0].perms == perms, "prot %d: %s in /proc/self/smaps", prot, areas[0].perms)
			}
			if err = errors.Join(err, raw.Munmap(addr, pageBytes)); err != nil {
				return err
			}
		}
		return nil
	}}

var proofProtConflict = &proof{claimConditional,
	text{"A shared writable mapping needs a descriptor open for writing; a private one does not.", "共享可写映射要求描述符可写；私有映射不要求。"},
	text{"The error says which permission is missing and what to do; CopyOnWrite works on a read-only file.", "错误会说明缺哪种权限、该怎么办；CopyOnWrite 可用于只读文件。"},
	[]string{"raw.TestMmapRefusals", "mmap.TestAccessNeedsTheDescriptorsPermission"},
	func(e *exhibit) error {
		f, err := e.opened(pageBytes, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		shared, private := tryMap(rawRW, raw.MAP_SHARED, f, 0), tryMap(rawRW, raw.MAP_PRIVATE, f, 0)
		e.saw(errors.Is(shared, syscall.EACCES), "O_RDONLY, PROT_WRITE, MAP_SHARED: %s", answer(shared))
		e.saw(errors.Is(private, syscall.EACCES), "O_RDONLY, PROT_WRITE, MAP_PRIVATE: %s", answer(private))
		_, err = mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})
		e.lib(errors.Is(err, fs.ErrPermission), "Map ReadWrite: %v", err)
		m, err := mmap.Map(f, mmap.Options{Access: mmap.CopyOnWrite})
		e.lib(err == nil, "Map CopyOnWrite: %s", answer(err))
		if err == nil {
			m.Close()
		}
		return nil
	}}

var proofProtRead = &proof{claimTrue,
	text{"Every mapping of a file needs a descriptor open for reading.", "任何文件映射都要求描述符可读。"},
	text{"A write-only descriptor gets an error that says to open with O_RDWR.", "只写描述符得到的错误会建议用 O_RDWR 打开。"},
	[]string{"raw.TestMmapRefusals", "mmap.TestAccessNeedsTheDescriptorsPermission"},
	func(e *exhibit) error {
		for flag, mode := range map[int]string{os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY"} {
			f, err := e.opened(pageBytes, flag)
			if err != nil {
				return err
			}
			err = tryMap(raw.PROT_READ, raw.MAP_SHARED, f, 0)
			e.saw((err == nil) == (flag == os.O_RDONLY), "%s, PROT_READ: %s", mode, answer(err))
			f.Close()
		}
		return nil
	}}

var proofProtExec = &proof{claimTrue,
	text{"The area is marked executable; a file system mounted noexec refuses it.", "区域被标为可执行；以 noexec 挂载的文件系统会拒绝。"},
	text{"Options.Exec; a refusal says that noexec or a policy may be the cause.", "Options.Exec；被拒时会提示 noexec 或安全策略。"},
	[]string{"raw.TestMprotectDecidesWhichAccessesPass", "mmap.TestOptionsReachTheKernel"},
	func(e *exhibit) error {
		path, err := e.file(pageBytes)
		if err != nil {
			return err
		}
		m, err := mmap.OpenFile(path, mmap.Options{Exec: true})
		if errors.Is(err, fs.ErrPermission) {
			return cannot{err.Error(), err.Error()}
		} else if err != nil {
			return err
		}
		defer m.Close()
		addr, n := m.Span()
		areas, err := areasOf(addr, n)
		if err != nil || len(areas) != 1 {
			return errors.Join(err, errors.New("no area"))
		}
		e.saw(areas[0].perms == "r-xs", "PROT_READ|PROT_EXEC: %s in /proc/self/smaps", areas[0].perms)
		return nil
	}}

var proofProtNone = &proof{claimConditional,
	text{"An access by the program faults; one by the kernel for a system call is EFAULT, without a signal.", "程序的访问会缺页出错；内核代为访问（系统调用）则返回 EFAULT，没有信号。"},
	text{"ReadAt, WriteAt and View give an error with the page's protection in it.", "ReadAt、WriteAt、View 返回带有页保护的错误。"},
	[]string{"raw.TestForbiddenAccessFaultsAtItsAddress", "raw.TestSystemCallsAnswerEFAULTWhereAnAccessWouldFault", "mmap.TestProtectedPageIsAnError"},
	func(e *exhibit) error {
		m, base, err := arena(1)
		if err != nil {
			return err
		}
		defer m.Close()
		if err := raw.Mprotect(base, pageBytes, raw.PROT_NONE); err != nil {
			return err
		}
		p := m.Bytes()
		e.saw(faults(func() { sunk = p[0] }), "a load: faults")
		e.saw(faults(func() { p[0] = 1 }), "a store: faults")
		f, err := e.opened(pageBytes, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.ReadAt(p, 0)
		e.saw(!errors.Is(err, syscall.EFAULT), "read(2) into it: %s, no signal", answer(err))
		_, err = m.ReadAt(make([]byte, 1), 0)
		e.lib(errors.As(err, new(*mmap.FaultError)), "ReadAt: %v", err)
		return nil
	}}

var proofTypeNeeded = &proof{claimTrue,
	text{"Without a type: EINVAL. Behaviour flags are added by |; MAP_SHARED|MAP_PRIVATE is a third type, MAP_SHARED_VALIDATE.", "不给类型返回 EINVAL。行为标志用 | 叠加；MAP_SHARED|MAP_PRIVATE 是第三种类型 MAP_SHARED_VALIDATE。"},
	text{"The type follows from Access and Sharing; no combination can be left out.", "类型由 Access 与 Sharing 决定，不会漏选。"},
	[]string{"raw.TestMmapRefusals", "mmap.TestOptionsReachTheKernel"},
	func(e *exhibit) error {
		none := tryMap(raw.PROT_READ, raw.MAP_ANONYMOUS, nil, 0)
		e.saw(errors.Is(none, syscall.EINVAL), "neither MAP_SHARED nor MAP_PRIVATE: %s", answer(none))
		for flag, name := range map[raw.Flag]string{raw.MAP_SHARED: "MAP_SHARED", raw.MAP_PRIVATE: "MAP_PRIVATE"} {
			err := tryMap(raw.PROT_READ, flag|raw.MAP_ANONYMOUS, nil, 0)
			e.saw(err == nil, "%s|MAP_ANONYMOUS: %s", name, answer(err))
		}
		return nil
	}}

var proofAnonymous = &proof{claimTrue,
	text{"The area has no inode, and reads as zero.", "区域没有 inode，读作零。"},
	text{"Anonymous(length, Options{}).", "Anonymous(length, Options{})。"},
	[]string{"raw.TestMmapFlagsShowInTheArea", "mmap.TestAnonymousIsZeros"},
	func(e *exhibit) error {
		m, base, err := arena(2)
		if err != nil {
			return err
		}
		defer m.Close()
		areas, err := areasOf(base, pageBytes)
		if err != nil || len(areas) != 1 {
			return errors.Join(err, errors.New("no area"))
		}
		e.saw(!strings.HasPrefix(areas[0].path, "/"), "the area's path in /proc/self/smaps: %q", areas[0].path)
		e.saw(!bytes.ContainsFunc(m.Bytes(), func(r rune) bool { return r != 0 }), "%d bytes, all zero", m.Len())
		return nil
	}}

var proofAnonymousFD = &proof{claimConditional,
	text{"Linux ignores the descriptor; other systems want -1.", "Linux 忽略描述符；其他系统要求 -1。"},
	text{"Passes -1 always.", "总是传 -1。"},
	[]string{"raw.TestMapAnonymousIgnoresTheDescriptor"},
	func(e *exhibit) error {
		f, err := e.opened(pageBytes, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		e.saw(tryMap(raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, nil, 0) == nil, "fd -1: success")
		err = tryMap(raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, f, 0)
		e.saw(err != nil, "fd of a file: %s", answer(err))
		return nil
	}}

var proofAnonymousOffset = &proof{claimConditional,
	text{"The value does not count, but it must be a multiple of the page size.", "数值不起作用，但必须是页大小的倍数。"},
	text{"Anonymous refuses an Offset, because it would mean nothing.", "Anonymous 拒绝 Offset，因为它没有意义。"},
	[]string{"raw.TestMapAnonymousIgnoresTheDescriptor", "mmap.TestAnonymousRefuses"},
	func(e *exhibit) error {
		even := tryMap(raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, nil, int64(pageBytes))
		odd := tryMap(raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, nil, 1)
		e.saw(even == nil, "offset %d: %s", pageBytes, answer(even))
		e.saw(odd == nil, "offset 1: %s", answer(odd))
		_, err := mmap.Anonymous(pageBytes, mmap.Options{Offset: 1})
		e.lib(errors.Is(err, fs.ErrInvalid), "Anonymous with Offset 1: %v", err)
		return nil
	}}

var proofAlignment = &proof{claimTrue,
	text{"An offset that is no multiple of the page is EINVAL.", "偏移不是页的倍数则返回 EINVAL。"},
	text{"Offset is any byte: the mapping starts at the page below, and Addr, Bytes and Len are adjusted.", "Offset 可为任意字节：映射从下方的页开始，Addr、Bytes、Len 已作调整。"},
	[]string{"raw.TestMmapRefusals", "mmap.TestOpenAtRandomPositions"},
	func(e *exhibit) error {
		f, err := e.opened(3*pageBytes, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		odd, even := tryMap(raw.PROT_READ, raw.MAP_SHARED, f, 1), tryMap(raw.PROT_READ, raw.MAP_SHARED, f, int64(pageBytes))
		e.saw(errors.Is(odd, syscall.EINVAL), "offset 1: %s", answer(odd))
		e.saw(even == nil, "offset %d: %s", pageBytes, answer(even))
		return libraryOffset(e, f)
	}}

// libraryOffset maps at an odd offset and compares with the file.
func libraryOffset(e *exhibit, f *os.File) error {
	off := int64(pageBytes) + 123
	m, err := mmap.Map(f, mmap.Options{Offset: off})
	if err != nil {
		return err
	}
	defer m.Close()
	var want [1]byte
	if _, err := f.ReadAt(want[:], off); err != nil {
		return err
	}
	e.lib(m.Bytes()[0] == want[0] && m.Addr()%uintptr(pageBytes) == 123, "Offset %d: the first byte is the file's, Addr = %#x", off, m.Addr())
	return nil
}

var proofAnyOffset = &proof{claimFalse,
	text{"Only multiples of the page size can be mapped.", "只能映射页大小的整数倍处。"},
	proofAlignment.ours, proofAlignment.tests,
	func(e *exhibit) error {
		f, err := e.opened(3*pageBytes, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		odd := tryMap(raw.PROT_READ, raw.MAP_SHARED, f, 1)
		e.saw(odd == nil, "offset 1: %s", answer(odd))
		return libraryOffset(e, f)
	}}

var proofOffset = &proof{claimTrue,
	text{"The first mapped byte is the file's byte at the offset.", "第一个映射字节就是文件在该偏移处的字节。"},
	text{"Options.Offset.", "Options.Offset。"},
	[]string{"raw.TestMmapShowsTheFile", "mmap.TestOpenShowsEveryPartOfAFile"},
	func(e *exhibit) error {
		path, err := e.file(3 * pageBytes)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := mmap.OpenFile(path, mmap.Options{Offset: int64(pageBytes)})
		if err != nil {
			return err
		}
		defer m.Close()
		e.saw(bytes.Equal(m.Bytes(), want[pageBytes:]), "offset %d: %d bytes, equal to the file's from there", pageBytes, m.Len())
		return nil
	}}

var proofWriteOnly = &proof{claimConditional,
	text{"O_RDWR works. O_WRONLY is EACCES: every mapping reads.", "O_RDWR 可以。O_WRONLY 返回 EACCES：任何映射都要读。"},
	text{"OpenFile with ReadWrite opens O_RDWR by itself.", "OpenFile 配合 ReadWrite 会自行以 O_RDWR 打开。"},
	[]string{"raw.TestMmapRefusals", "mmap.TestAccessNeedsTheDescriptorsPermission"},
	func(e *exhibit) error {
		for _, flag := range []int{os.O_RDWR, os.O_WRONLY} {
			f, err := e.opened(pageBytes, flag)
			if err != nil {
				return err
			}
			err = tryMap(rawRW, raw.MAP_SHARED, f, 0)
			e.saw(err == nil, "%s: %s", map[int]string{os.O_RDWR: "O_RDWR", os.O_WRONLY: "O_WRONLY"}[flag], answer(err))
			if flag == os.O_WRONLY {
				_, err = mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})
				e.lib(errors.Is(err, fs.ErrPermission), "Map: %v", err)
			}
			f.Close()
		}
		return nil
	}}

var proofFstat = &proof{claimConditional,
	text{"A regular file tells its size; devices and /proc tell 0.", "普通文件给出大小；设备与 /proc 给出 0。"},
	text{"Length 0 is up to the end of the file; what has no size needs Length; /proc gets an error that says to read it.", "Length 为 0 表示到文件末尾；没有大小的要给 Length；/proc 的错误会建议改用读取。"},
	[]string{"mmap.TestWhatCanNotBeMappedSaysWhatToDo"},
	func(e *exhibit) error {
		path, err := e.file(1234)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		e.saw(info.Size() == 1234, "a file of 1234 bytes: st_size = %d", info.Size())
		const proc = "/proc/self/status"
		content, err := os.ReadFile(proc)
		if err != nil {
			return err
		}
		if info, err = os.Stat(proc); err != nil {
			return err
		}
		e.saw(info.Size() == int64(len(content)), "%s, %d bytes when read: st_size = %d", proc, len(content), info.Size())
		_, err = mmap.Open(proc)
		e.lib(err != nil, "Open: %v", err)
		return nil
	}}

var proofWholeFile = &proof{claimConditional,
	text{"The file's size is a good length unless it is 0: that is EINVAL.", "文件大小适合作长度，但为 0 时返回 EINVAL。"},
	text{"Open maps the whole file, an empty one too.", "Open 映射整个文件，空文件也可以。"},
	proofLengthZero.tests,
	func(e *exhibit) error {
		for _, size := range []int{1234, 0} {
			f, err := e.opened(size, os.O_RDWR)
			if err != nil {
				return err
			}
			addr, err := raw.Mmap(0, size, rawRW, raw.MAP_SHARED, int(f.Fd()), 0)
			e.saw(err == nil, "a file of %d bytes: %s", size, answer(err))
			if err == nil {
				raw.Munmap(addr, size)
			}
			m, err := mmap.Open(f.Name())
			e.lib(err == nil && m.Len() == size, "Open of %d bytes: %s", size, answer(err))
			if err == nil {
				m.Close()
			}
			f.Close()
		}
		return nil
	}}

var proofFreshFile = &proof{claimConditional,
	text{"A file just created has no bytes: a mapping of it faults at the first store. It must be sized first.", "刚创建的文件没有字节：映射后第一次写入就出错。必须先设定大小。"},
	text{"Create makes the file with real blocks of the length asked for, so that a full disk is an error there.", "Create 按要求的长度建立带真实块的文件，磁盘满在那时报错。"},
	[]string{"mmap.TestCreateMakesAFileWithRealBlocks", "raw.TestForbiddenAccessRaisesItsSignal"},
	func(e *exhibit) error {
		for _, size := range []int{0, pageBytes} {
			f, err := e.opened(size, os.O_RDWR)
			if err != nil {
				return err
			}
			defer f.Close()
			m, base, err := arena(1)
			if err != nil {
				return err
			}
			defer m.Close()
			if _, err := raw.Mmap(base, pageBytes, rawRW, raw.MAP_SHARED|raw.MAP_FIXED, int(f.Fd()), 0); err != nil {
				return err
			}
			faulted := faults(func() { m.Bytes()[0] = 1 })
			e.saw(!faulted, "a store to a mapping of a file of %d bytes: faults = %v", size, faulted)
		}
		m, err := mmap.Create(e.dir+"/fresh", pageBytes, 0o600)
		if err != nil {
			return err
		}
		defer m.Close()
		err = store(m, 0, 1)
		e.lib(err == nil, "Create, then a store: %s", answer(err))
		return nil
	}}

var proofCString = &proof{claimConditional,
	text{"The rest of the last page reads as zero, which ends a C string; a file of whole pages has no such rest.", "最后一页的剩余部分读作零，可结束 C 字符串；整页大小的文件没有这样的剩余。"},
	text{"Bytes has a length; nothing relies on a zero.", "Bytes 有长度，不依赖零字节。"},
	[]string{"raw.TestBytesAfterEndOfFileReadZeroAndNeverReachTheFile"},
	func(e *exhibit) error {
		for _, size := range []int{pageBytes - 10, pageBytes} {
			f, err := e.opened(size, os.O_RDONLY)
			if err != nil {
				return err
			}
			defer f.Close()
			m, base, err := arena(1)
			if err != nil {
				return err
			}
			defer m.Close()
			if _, err := raw.Mmap(base, pageBytes, raw.PROT_READ, raw.MAP_SHARED|raw.MAP_FIXED, int(f.Fd()), 0); err != nil {
				return err
			}
			at := slices.Index(m.Bytes(), 0)
			e.saw(at >= 0, "a text file of %d bytes: first zero byte at %d", size, at)
		}
		return nil
	}}

var proofHugeTLBFile = &proof{claimFalse,
	text{"MAP_HUGETLB on a file is EINVAL unless it is on hugetlbfs.", "对文件使用 MAP_HUGETLB 返回 EINVAL，除非它在 hugetlbfs 上。"},
	text{"Huge2MiB on such a file is an error that names TransparentHuge.", "对这类文件用 Huge2MiB 会得到提示 TransparentHuge 的错误。"},
	[]string{"raw.TestHugePagesComeFromThePoolOnly", "mmap.TestHugePagesOfThePool"},
	func(e *exhibit) error {
		f, err := e.opened(2<<20, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		err = tryMap(raw.PROT_READ, raw.MAP_SHARED|raw.MAP_HUGETLB, f, 0)
		e.saw(err == nil, "MAP_SHARED|MAP_HUGETLB of a file: %s", answer(err))
		_, err = mmap.Map(f, mmap.Options{HugePages: mmap.Huge2MiB})
		e.lib(errors.Is(err, errors.ErrUnsupported), "Map with Huge2MiB: %v", err)
		return nil
	}}

var proofHeapLimit = &proof{claimConditional,
	text{"No heap bounds it, but the address space, RLIMIT_AS, overcommit and vm.max_map_count do.", "不受堆限制，但受地址空间、RLIMIT_AS、过量提交和 vm.max_map_count 限制。"},
	text{"ENOMEM comes with the limit that was met, what is in use, and who may raise it.", "ENOMEM 会附上碰到的限制、已用量和由谁提高。"},
	[]string{"raw.TestAddressSpaceLimitRefusesMappings", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		if math.MaxInt == math.MaxInt32 {
			return cannot{"no length of a 32-bit program is sure to be too large", "在 32 位程序里没有必定过大的长度"}
		}
		addr, err := raw.Mmap(0, 1<<30, rawRW, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_NORESERVE, -1, 0)
		if err != nil {
			return cannot{"1 GiB of addresses is refused here: " + answer(err), "这里拒绝 1 GiB 的地址：" + answer(err)}
		}
		e.saw(raw.Munmap(addr, 1<<30) == nil, "1 GiB: mapped, and unmapped by one call")
		_, err = raw.Mmap(0, math.MaxInt>>1, rawRW, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_NORESERVE, -1, 0)
		e.saw(err == nil, "%d bytes: %s", math.MaxInt>>1, answer(err))
		_, err = mmap.Anonymous(math.MaxInt>>1, mmap.Options{})
		e.lib(errors.Is(err, syscall.ENOMEM), "Anonymous: %v", err)
		return nil
	}}

var proofArea = &proof{claimConditional,
	text{"An area records range, protection, offset and the file itself; it does not record the descriptor.", "区域记录范围、保护、偏移和文件本身；并不记录描述符。"},
	text{"Map keeps a descriptor of its own, so the caller may close his.", "Map 自己保留描述符，调用者可以关闭他的。"},
	[]string{"raw.TestMmapAreaCarriesProtectionSharingOffsetAndInode", "raw.TestMappingOutlivesTheDescriptorAndTheName", "mmap.TestMappingOutlivesItsFileAndItsName"},
	func(e *exhibit) error {
		f, err := e.opened(3*pageBytes, os.O_RDWR)
		if err != nil {
			return err
		}
		defer f.Close()
		addr, err := raw.Mmap(0, 2*pageBytes, rawRW, raw.MAP_SHARED, int(f.Fd()), int64(pageBytes))
		if err != nil {
			return err
		}
		defer raw.Munmap(addr, 2*pageBytes)
		f.Close()
		areas, err := areasOf(addr, pageBytes)
		if err != nil || len(areas) != 1 {
			return errors.Join(err, errors.New("no area"))
		}
		a := areas[0]
		e.saw(a.perms == "rw-s" && a.offset == int64(pageBytes), "/proc/self/smaps: %v, offset %d, %s", a, a.offset, a.path)
		e.saw(a.path != f.Name(), "the descriptor is closed, and the area still names the file")
		return nil
	}}

var proofOutlives = &proof{claimTrue,
	text{"Closing the descriptor, before or after, changes nothing for the mapping.", "先关或后关描述符，对映射都没有影响。"},
	proofArea.ours, proofArea.tests,
	func(e *exhibit) error {
		read, err := readAfterClose(e)
		e.saw(read, "descriptor closed: the mapping still shows the file")
		return err
	}}

var proofNeedsFD = &proof{claimFalse, proofOutlives.kernel, proofArea.ours, proofArea.tests,
	func(e *exhibit) error {
		read, err := readAfterClose(e)
		e.saw(!read, "descriptor closed: the mapping still shows the file")
		return err
	}}

func readAfterClose(e *exhibit) (bool, error) {
	f, err := e.opened(pageBytes, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	m, base, err := arena(1)
	if err != nil {
		return false, err
	}
	defer m.Close()
	if _, err := raw.Mmap(base, pageBytes, raw.PROT_READ, raw.MAP_SHARED|raw.MAP_FIXED, int(f.Fd()), 0); err != nil {
		return false, err
	}
	f.Close()
	return m.Bytes()[0] == 1, nil
}

var proofUnmap = &proof{claimTrue,
	text{"The range is gone from the address space, by one call whatever its size.", "该范围从地址空间消失，不论多大都是一次调用。"},
	text{"Close unmaps, after the views that are out have returned.", "Close 等借出的视图归还后解除映射。"},
	[]string{"raw.TestMunmapTakesAwayWholePagesAndOnlyThose"},
	func(e *exhibit) error {
		const pages = 64
		f, err := e.opened(pages*pageBytes, os.O_RDWR)
		if err != nil {
			return err
		}
		defer f.Close()
		vec := make([]byte, pages)
		addr, err := raw.Mmap(0, pages*pageBytes, raw.PROT_READ, raw.MAP_SHARED, int(f.Fd()), 0)
		if err != nil {
			return err
		}
		before, err := areasOf(addr, pages*pageBytes)
		if err = errors.Join(err, raw.Munmap(addr, pages*pageBytes)); err != nil {
			return err
		}
		// From here on the addresses may be somebody else's: the Go runtime's, say.
		gone := raw.Mincore(addr, pages*pageBytes, vec)
		e.saw(len(before) == 1 && errors.Is(gone, syscall.ENOMEM), "areas at %#x: %d before munmap; mincore of the range after it: %s", addr, len(before), answer(gone))
		return nil
	}}

var proofPartialUnmap = &proof{claimFalse,
	text{"Any pages may be unmapped: part of a mapping, or several at once.", "任何页都可解除：映射的一部分，或一次多个映射。"},
	text{"Resize gives the end back. raw.Munmap takes any range.", "Resize 归还末尾部分。raw.Munmap 接受任意范围。"},
	[]string{"raw.TestMunmapTakesAwayWholePagesAndOnlyThose", "raw.TestMunmapAnswers", "mmap.TestResize"},
	func(e *exhibit) error {
		m, base, err := arena(3)
		if err != nil {
			return err
		}
		defer m.Close()
		err = raw.Munmap(base+uintptr(pageBytes), pageBytes)
		p := m.Bytes()
		kept := !faults(func() { sunk = p[0] + p[2*pageBytes] })
		e.saw(err != nil, "munmap of the middle page of three: %s; the others are still there: %v", answer(err), kept)
		return nil
	}}

var proofUnmapNothing = &proof{claimFalse,
	text{"A range without mappings is unmapped with success; only length 0 and an unaligned address are EINVAL.", "没有映射的范围也成功；只有长度 0 和未对齐的地址返回 EINVAL。"},
	text{"A second Close is fs.ErrClosed: there the mistake shows.", "第二次 Close 返回 fs.ErrClosed，错误因此可见。"},
	[]string{"raw.TestMunmapAnswers"},
	func(e *exhibit) error {
		m, base, err := arena(3)
		if err != nil {
			return err
		}
		middle := base + uintptr(pageBytes)
		if err := raw.Munmap(middle, pageBytes); err != nil {
			return err
		}
		again, odd := raw.Munmap(middle, pageBytes), raw.Munmap(middle, 1)
		e.saw(again != nil, "munmap of what is not mapped: %s", answer(again))
		e.saw(odd != nil, "munmap of length 1: %s", answer(odd))
		err = errors.Join(m.Close())
		second := m.Close()
		e.lib(errors.Is(second, fs.ErrClosed), "a second Close: %v", second)
		return err
	}}

var proofLeak = &proof{claimTrue,
	text{"A mapping stays until it is unmapped or the process ends.", "映射一直保留到被解除或进程结束。"},
	text{"A Mapping that is dropped without Close is released by the collector, unless its memory was handed out: then it stays, since slices of it may be in use. ReportDrops tells of both.", "不 Close 就丢弃的 Mapping 由垃圾回收器释放；但若曾交出过内存则会保留，因为可能还有切片在用。ReportDrops 两种情况都会报告。"},
	[]string{"raw.TestMappingOutlivesTheDescriptorAndTheName", "mmap.TestDroppedMappings"},
	func(e *exhibit) error {
		f, err := e.opened(pageBytes, os.O_RDONLY)
		if err != nil {
			return err
		}
		addr, err := raw.Mmap(0, pageBytes, raw.PROT_READ, raw.MAP_SHARED, int(f.Fd()), 0)
		f.Close()
		if err != nil {
			return err
		}
		defer raw.Munmap(addr, pageBytes)
		os.Remove(f.Name())
		runtime.GC()
		areas, err := areasOf(addr, pageBytes)
		e.saw(len(areas) == 1, "file closed and removed, garbage collected: %d area at %#x", len(areas), addr)
		return err
	}}

var proofFragments = &proof{claimConditional,
	text{"Given back whole, nothing is left. Given back in parts, the addresses are fragmented and every piece counts against vm.max_map_count.", "整体归还则不留痕迹。零碎归还会使地址碎片化，每一块都计入 vm.max_map_count。"},
	text{"One Mapping is one area, two with Reserve; the error at the limit names it. Addresses of closed mappings whose memory was handed out stay held for a while, as one area where they are neighbours.", "一个 Mapping 一个区域，带 Reserve 两个；到限时错误会点名。曾交出内存的映射关闭后，其地址会保留一段时间，相邻者合为一个区域。"},
	[]string{"raw.TestMunmapThatSplitsFailsAtTheMapCountLimit"},
	func(e *exhibit) error {
		base, err := raw.Mmap(0, 32*pageBytes, rawRW, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS, -1, 0)
		if err != nil {
			return err
		}
		for i := 1; i < 31; i += 2 {
			if err := raw.Munmap(base+uintptr(i*pageBytes), pageBytes); err != nil {
				return err
			}
		}
		pieces, err := areasOf(base, 32*pageBytes)
		if err != nil {
			return err
		}
		e.saw(len(pieces) == 1, "every second page of 32 unmapped: %d areas", len(pieces))
		if err := raw.Munmap(base, 32*pageBytes); err != nil {
			return err
		}
		// Somebody else may be given a part of it at once, so the whole is asked for.
		err = raw.Mincore(base, 32*pageBytes, make([]byte, 32))
		e.saw(errors.Is(err, syscall.ENOMEM), "all unmapped: mincore of the range: %s", answer(err))
		return nil
	}}

var proofNoTables = &proof{claimFalse,
	text{"No page-table entry is made at all: an absent entry has no mark, and the tables themselves are built at the first touch.", "根本不建立页表项：不存在的表项没有标记，页表本身也在首次触碰时才建立。"},
	text{"Residency tells what is in memory; nothing tells a page that was never touched from one that was dropped.", "Residency 说出什么在内存里；从未触碰与已被丢弃的页无法区分。"},
	[]string{"main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		const length = 1 << 30
		tables := func() (int, error) {
			field, err := statusField("VmPTE")
			if err != nil {
				return 0, err
			}
			return strconv.Atoi(strings.TrimSuffix(field, " kB"))
		}
		before, err := tables()
		if err != nil {
			return err
		}
		addr, err := raw.Mmap(0, length, rawRW, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|raw.MAP_NORESERVE, -1, 0)
		if err != nil {
			return cannot{"1 GiB of addresses is refused here: " + answer(err), "这里拒绝 1 GiB 的地址：" + answer(err)}
		}
		defer raw.Munmap(addr, length)
		after, err := tables()
		entries := length / pageBytes * 8 >> 10
		e.saw(after-before >= entries, "1 GiB mapped: page tables grew by %d kB; marked entries would take %d kB", after-before, entries)
		return err
	}}

var proofGlibc = &proof{claimConditional,
	text{"mallopt(3): the threshold is 128 KiB at first and moves up to 32 MiB with what is freed, so a large block need not be mapped.", "mallopt(3)：阈值起初为 128 KiB，会随释放的块上调到 32 MiB，所以大块未必用 mmap。"},
	text{"Go's allocator maps its heap by itself; Anonymous is memory outside it.", "Go 的分配器自己映射堆；Anonymous 是堆外的内存。"},
	[]string{"main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		return cannot{"this program has no C library in it", "本程序里没有 C 库"}
	}}

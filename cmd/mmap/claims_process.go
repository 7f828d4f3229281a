package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/raw"
)

// Claims about several processes, and about locking, whose rules depend on who
// asks.

func init() {
	children["claims-load"] = printed(childLoad)
	children["claims-store"] = printed(childStore)
	children["claims-read"] = printed(childRead)
	children["claims-count"] = printed(childCount)
	children["claims-crash"] = printed(childCrash)
	children["claims-die"] = printed(childDie)
	children["claims-mincore"] = printed(childMincore)
	children["claims-lock"] = printed(childLock)
	children["claims-lockall"] = printed(childLockAll)
}

// printed makes a child of a function: its answer goes to standard output, its
// failure to standard error.
func printed(f func(args []string) (string, error)) func([]string) int {
	return func(args []string) int {
		answer, err := f(args)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(answer)
		return 0
	}
}

// child is this program as one of its helpers.
func child(args ...string) (*exec.Cmd, error) {
	self, err := executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(self, append([]string{childEntry}, args...)...), nil
}

// askChild is the answer of a helper process.
func askChild(_ *exhibit, args ...string) (string, error) {
	cmd, err := child(args...)
	if err != nil {
		return "", err
	}
	return outputOf(cmd)
}

func outputOf(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// askNobody asks a helper that runs as the user nobody, which takes root.
func askNobody(_ *exhibit, args ...string) (string, error) {
	attr, err := asNobody()
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("only root may start a process as one")
	}
	if err != nil {
		return "", cannot{"it takes another user to ask too: " + err.Error(), "还需要以另一个用户的身份询问：" + err.Error()}
	}
	cmd, err := child(args...)
	if err != nil {
		return "", err
	}
	cmd.SysProcAttr = attr
	return outputOf(cmd)
}

// childSays is what a helper that dies says of its signal.
func childSays(_ *exhibit, args ...string) (string, error) {
	cmd, err := child(args...)
	if err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil {
		return "survived", nil
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.HasPrefix(line, "[signal ") {
			return strings.Trim(strings.TrimSpace(line), "[]"), nil
		}
	}
	return "", errors.New(firstLine(stderr.String()))
}

// atOffset maps the file args[0] and gives the offset args[1].
func atOffset(args []string, access mmap.Access) (*mmap.Mapping, int64, error) {
	if len(args) < 2 {
		return nil, 0, errors.New("a file and an offset are needed")
	}
	off, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return nil, 0, err
	}
	m, err := mmap.OpenFile(args[0], mmap.Options{Access: access})
	return m, off, err
}

func childLoad(args []string) (string, error) {
	m, off, err := atOffset(args, mmap.ReadOnly)
	if err != nil {
		return "", err
	}
	defer m.Close()
	b, err := load(m, off)
	return fmt.Sprint(b), err
}

func childRead(args []string) (string, error) {
	b, err := readByte(args[0], 0)
	return fmt.Sprint(b), err
}

// childStore stores the byte args[2] and ends without a sync.
func childStore(args []string) (string, error) {
	m, off, err := atOffset(args, mmap.ReadWrite)
	if err != nil {
		return "", err
	}
	defer m.Close()
	b, err := strconv.Atoi(args[2])
	if err != nil {
		return "", err
	}
	return args[2], store(m, off, byte(b))
}

// childCrash stores a byte and is killed.
func childCrash(args []string) (string, error) {
	m, off, err := atOffset(args, mmap.ReadWrite)
	if err != nil {
		return "", err
	}
	m.Bytes()[off] = 99
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	return "", errors.Join(err, errors.New("still alive"))
}

// childCount maps the shared memory that it was given as descriptor 3 and sets
// its first number to 100.
func childCount([]string) (string, error) {
	f := os.NewFile(3, "shared memory")
	defer f.Close()
	m, err := mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return "", err
	}
	defer m.Close()
	n, err := mmap.Slice[int32](m, 0, 1)
	if err != nil {
		return "", err
	}
	n[0] = 100
	return fmt.Sprint(n[0]), nil
}

// childDie makes an access that kills it.
func childDie(args []string) (string, error) {
	switch args[0] {
	case "unmapped":
		m, base, err := arena(3)
		if err != nil {
			return "", err
		}
		p := m.Bytes()
		if err := raw.Munmap(base+uintptr(pageBytes), pageBytes); err != nil {
			return "", err
		}
		sunk = p[pageBytes]
	case "truncated":
		m, err := mmap.Anonymous(pageBytes, mmap.Options{Sharing: mmap.Shared})
		if err != nil {
			return "", err
		}
		f, err := m.File()
		if err != nil {
			return "", err
		}
		if err := f.Truncate(0); err != nil {
			return "", err
		}
		sunk = m.Bytes()[0]
	}
	return "survived", nil
}

// childMincore counts the pages of a file that are said to be in memory: by
// mincore, and by the library.
func childMincore(args []string) (string, error) {
	m, err := mmap.Open(args[0])
	if err != nil {
		return "", err
	}
	defer m.Close()
	addr, n := m.Span()
	vec := make([]byte, n/pageBytes)
	if err := raw.Mincore(addr, n, vec); err != nil {
		return "", err
	}
	in := 0
	for _, v := range vec {
		in += int(v & 1)
	}
	r, err := m.Residency(0, m.Len())
	return fmt.Sprintf("%d pages; %v", in, r.Resident), err
}

// childLock locks a page, and then more than the limit allows.
func childLock([]string) (string, error) {
	free, err := mayLockAnything()
	if err != nil {
		return "", err
	}
	limit, err := memlockLimit()
	if err != nil {
		return "", err
	}
	m, base, err := arena(1)
	if err != nil {
		return "", err
	}
	defer m.Close()
	one := raw.Mlock(base, pageBytes)
	more := errors.New("no limit")
	if limit != unlimited && !free {
		big, err := mmap.Anonymous(int(limit)+pageBytes, mmap.Options{})
		if err != nil {
			return "", err
		}
		defer big.Close()
		more = big.Lock(0, big.Len(), mmap.LockNow)
	}
	return fmt.Sprintf("%v %d %s; %v", free, limit, answer(one), more), nil
}

// childLockAll locks and unlocks its whole address space, without bringing
// anything in.
func childLockAll([]string) (string, error) {
	if err := mmap.LockAll(mmap.LockCurrent | mmap.LockAllOnFault); err != nil {
		return "refused: " + err.Error(), nil
	}
	locked, err := lockedBytes()
	if err != nil {
		return "", err
	}
	if err := mmap.UnlockAll(); err != nil {
		return "", err
	}
	after, err := lockedBytes()
	return fmt.Sprintf("%d %d", locked, after), err
}

var sharingLibrary = text{"ReadWrite of the same file, in as many processes as you like. Loads and stores are not ordered between them: use atomics on a Slice.", "任意多个进程对同一文件用 ReadWrite。它们之间的加载与存储没有次序：请在 Slice 上用原子操作。"}

var proofOtherProcess = &proof{claimTrue,
	text{"All shared mappings of a file show the same frames: a store in one process is the next load in another, with no call in between.", "同一文件的所有共享映射显示同样的页框：一个进程的存储就是另一个进程的下一次加载，其间没有调用。"},
	sharingLibrary,
	[]string{"raw.TestSharedStoreIsSeenByAnotherProcessAndPrivateStoreIsNot"},
	func(e *exhibit) error {
		m, err := e.mapped(pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		return bothWays(e, m)
	}}

// bothWays shows stores of two processes to each other.
func bothWays(e *exhibit, m *mmap.Mapping) error {
	m.Bytes()[0] = 42
	seen, err := askChild(e, "claims-load", m.Name(), "0")
	if err != nil {
		return err
	}
	e.saw(seen == "42", "42 stored here, loaded by another process: %s", seen)
	if _, err := askChild(e, "claims-store", m.Name(), "1", "43"); err != nil {
		return err
	}
	e.saw(m.Bytes()[1] == 43, "43 stored by another process, loaded here: %d", m.Bytes()[1])
	return nil
}

var proofShm = &proof{claimTrue,
	text{"shm_open(3) opens a file in /dev/shm, which is a tmpfs.", "shm_open(3) 打开的就是 /dev/shm（tmpfs）里的文件。"},
	text{"Create and OpenFile on a path in /dev/shm, or Anonymous with Shared, which needs no name.", "对 /dev/shm 里的路径用 Create 与 OpenFile；或用 Anonymous 配合 Shared，不需要名字。"},
	[]string{"raw.TestSharedStoreIsSeenByAnotherProcessAndPrivateStoreIsNot", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		path := fmt.Sprintf("/dev/shm/mmap-claims-%d", os.Getpid())
		m, err := mmap.Create(path, pageBytes, 0o600)
		if err != nil {
			return cannot{"/dev/shm can't be written: " + err.Error(), "/dev/shm 不可写：" + err.Error()}
		}
		defer os.Remove(path)
		defer m.Close()
		return bothWays(e, m)
	}}

var proofParentChild = &proof{claimTrue,
	text{"Shared anonymous memory is a file without a name; who has it mapped or has its descriptor shares it. A fork inherits both.", "共享匿名内存是没有名字的文件；映射了它或持有其描述符的都共享它。fork 继承二者。"},
	text{"Anonymous with Shared, and File to hand over: Go programs start processes by exec, which inherits descriptors and no mappings.", "Anonymous 配合 Shared，用 File 传递：Go 程序以 exec 启动进程，它继承描述符而不继承映射。"},
	[]string{"mmap.TestSharedMemoryIsSharedWithAChild", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		m, err := mmap.Anonymous(4096, mmap.Options{Sharing: mmap.Shared})
		if err != nil {
			return err
		}
		defer m.Close()
		f, err := m.File()
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := mmap.Slice[int32](m, 0, 1)
		if err != nil {
			return err
		}
		n[0] = 0
		cmd, err := child("claims-count")
		if err != nil {
			return err
		}
		cmd.ExtraFiles = []*os.File{f}
		said, err := outputOf(cmd)
		if err != nil {
			return err
		}
		e.saw(said == "100" && n[0] == 100, "the child set the number to %s; the parent reads %d", said, n[0])
		return nil
	}}

var proofNotElsewhere = &proof{claimConditional,
	text{"Between processes of one machine. Threads share all memory anyway, and another machine has a page cache of its own.", "限于同一台机器的进程之间。线程本来就共享全部内存，另一台机器有自己的页缓存。"},
	sharingLibrary,
	[]string{"raw.TestSharedStoreIsSeenByAnotherProcessAndPrivateStoreIsNot", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		m, err := e.mapped(pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		if err := bothWays(e, m); err != nil {
			return err
		}
		content, err := os.ReadFile(m.Name())
		if err != nil {
			return err
		}
		replica := m.Name() + "-replica" // what another machine would have
		if err := os.WriteFile(replica, content, 0o600); err != nil {
			return err
		}
		m.Bytes()[2] = 200
		got, err := readByte(replica, 2)
		e.saw(got == 200, "a copy of the file, as another machine has: %d, not 200", got)
		return err
	}}

var proofCrash = &proof{claimFalse,
	text{"A process may crash at any time: its stores are in the page cache, and the kernel writes them. Only a crash of the system or a power loss loses what was not synced.", "进程随时崩溃都无妨：存储已在页缓存里，由内核写出。只有系统崩溃或断电才会丢失未同步的内容。"},
	text{"Sync is for power loss, and the doc says so. After a crash any mixture of old and new pages may be in the file.", "Sync 针对断电，文档写明了。系统崩溃之后，文件里可能是新旧页的任意混合。"},
	[]string{"raw.TestUnsyncedStoresStayDirtyInTheCacheAfterMunmap", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		path, err := e.file(pageBytes)
		if err != nil {
			return err
		}
		cmd, err := child("claims-crash", path, "0")
		if err != nil {
			return err
		}
		died := cmd.Run()
		got, err := readByte(path, 0)
		e.saw(got != 99, "99 stored without a sync, then the process was killed (%v): the file has %d", died, got)
		return err
	}}

// lockRefused ends a claim where this process may lock nothing.
func lockRefused(err error) error {
	var limit *mmap.LimitError
	if errors.As(err, &limit) {
		return cannot{limit.Error(), limit.Error()}
	}
	return err
}

var proofLock = &proof{claimTrue,
	text{"mlock brings every page in and keeps it.", "mlock 载入每一页并留住。"},
	text{"Lock with LockNow; LockOnFault keeps pages once they are touched (mlock2).", "Lock 配合 LockNow；LockOnFault 在页被触碰后留住它（mlock2）。"},
	[]string{"raw.TestMlockBringsEveryPageIn", "mmap.TestLockKeepsPages", "mmap.TestLockOnFaultLocksWhatIsTouched"},
	func(e *exhibit) error {
		m, _, err := arena(4)
		if err != nil {
			return err
		}
		defer m.Close()
		before, err := presentIn(m)
		if err != nil {
			return err
		}
		if err := m.Lock(0, m.Len(), mmap.LockNow); err != nil {
			return lockRefused(err)
		}
		after, err := presentIn(m)
		locked, lockedErr := figureOf(m, "Locked")
		e.saw(before == 0 && after == 4 && locked == int64(m.Len()), "4 pages, mlock: %d in memory before, %d after; Locked %d bytes", before, after, locked)
		return errors.Join(err, lockedErr, m.Unlock(0, m.Len()))
	}}

var proofStaysLocked = &proof{claimTrue,
	text{"What is locked is neither dropped nor reclaimed.", "锁定的内容既不被丢弃也不被回收。"},
	text{"A drop of a locked range is refused with the reason.", "对锁定范围的清出会被拒绝并说明原因。"},
	[]string{"raw.TestMsyncAnswers", "raw.TestMadviseRefusals", "mmap.TestLockedPagesSurviveEviction"},
	func(e *exhibit) error {
		m, err := e.mapped(4 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		if err := m.Lock(0, m.Len(), mmap.LockNow); err != nil {
			return lockRefused(err)
		}
		addr, n := m.Span()
		drop := raw.Madvise(addr, n, raw.MADV_DONTNEED)
		invalidate := raw.Msync(addr, n, raw.MS_INVALIDATE)
		rss, err := figureOf(m, "Rss")
		e.saw(drop != nil && invalidate != nil && rss == int64(n), "MADV_DONTNEED: %s, MS_INVALIDATE: %s, Rss %d of %d", answer(drop), answer(invalidate), rss, n)
		libErr := m.SyncRange(0, m.Len(), mmap.SyncInvalidate)
		e.lib(errors.Is(libErr, mmap.ErrStillCached), "SyncInvalidate: %v", libErr)
		return errors.Join(err, m.Unlock(0, m.Len()))
	}}

var proofLockAll = &proof{claimTrue,
	text{"mlockall locks code, heap, stacks and mappings.", "mlockall 锁定代码、堆、栈和映射。"},
	text{"LockAll. LockFuture is refused where it would kill the Go heap's next growth.", "LockAll。若 LockFuture 会让 Go 堆的下一次增长致死，则拒绝。"},
	[]string{"raw.TestMlockallLocksWhatItsFlagsSay", "mmap.TestLockAllLocksTheProcess"},
	func(e *exhibit) error {
		said, err := askChild(e, "claims-lockall")
		if err != nil {
			return err
		}
		if strings.HasPrefix(said, "refused") {
			return cannot{said, said}
		}
		var locked, after int64
		if _, err := fmt.Sscan(said, &locked, &after); err != nil {
			return err
		}
		e.saw(locked > 0, "VmLck of a helper process: %d bytes", locked)
		e.lib(after == 0, "UnlockAll: VmLck %d", after)
		return nil
	}}

// lockWithout asks a process without CAP_IPC_LOCK: this one, or a helper.
func lockWithout(e *exhibit) (limit int64, one, more string, err error) {
	free, err := mayLockAnything()
	if err != nil {
		return 0, "", "", cannot{err.Error(), err.Error()}
	}
	ask := askChild
	if free {
		ask = askNobody
	}
	said, err := ask(e, "claims-lock")
	if err != nil {
		return 0, "", "", err
	}
	head, more, _ := strings.Cut(said, "; ")
	if _, err := fmt.Sscan(head, &free, &limit, &one); err != nil {
		return 0, "", "", fmt.Errorf("%q: %w", said, err)
	}
	switch {
	case free:
		return 0, "", "", cannot{"no process without CAP_IPC_LOCK can be made here", "这里造不出没有 CAP_IPC_LOCK 的进程"}
	case limit >= 0 && limit < int64(pageBytes):
		return 0, "", "", cannot{fmt.Sprintf("RLIMIT_MEMLOCK is %d, so nothing may be locked without the capability", limit), fmt.Sprintf("RLIMIT_MEMLOCK 为 %d，没有该能力就什么也锁不了", limit)}
	}
	return limit, one, more, nil
}

var proofNoCapability = &proof{claimFalse,
	text{"Locking needs no capability up to RLIMIT_MEMLOCK (8 MiB by default since 5.16). CAP_IPC_LOCK voids the limit.", "不超过 RLIMIT_MEMLOCK（5.16 起默认 8 MiB）时不需要任何能力。CAP_IPC_LOCK 使限制失效。"},
	text{"A refusal is a *LimitError: the limit, what is in use, and who may raise it.", "被拒时得到 *LimitError：限制、已用量，以及由谁提高。"},
	[]string{"raw.TestLockLimit", "raw.TestCapabilityVoidsTheLockLimit", "mmap.TestLockLimit"},
	func(e *exhibit) error {
		limit, one, more, err := lockWithout(e)
		if err != nil {
			return err
		}
		e.saw(one != "success", "mlock of a page by a process without CAP_IPC_LOCK: %s", one)
		if limit != unlimited {
			e.lib(strings.Contains(more, "RLIMIT_MEMLOCK"), "Lock beyond the limit: %s", more)
		}
		return nil
	}}

var proofMlockMax = &proof{claimFalse,
	text{"There is no such file. The limit is RLIMIT_MEMLOCK, of each process.", "没有这个文件。限制是每个进程的 RLIMIT_MEMLOCK。"},
	text{"`mmap doctor` and Examine tell the limit and what is in use.", "`mmap doctor` 与 Examine 给出限制和已用量。"},
	[]string{"raw.TestMlockMaxIsNoFile", "mmap.TestExamineCountsWhatIsInUse"},
	func(e *exhibit) error {
		if _, err := os.Stat("/proc/sys/vm"); err != nil {
			return cannot{"/proc/sys is not mounted", "没有挂载 /proc/sys"}
		}
		_, err := os.Stat("/proc/sys/vm/mlock_max")
		e.saw(err == nil, "%v", err)
		s, err := mmap.Examine("")
		if err != nil {
			return err
		}
		l := s.Limit("RLIMIT_MEMLOCK")
		e.lib(l.Known, "Examine: %s %d, %d in use", l.Name, l.Max, l.Used)
		return nil
	}}

var proofMapLocked = &proof{claimConditional,
	text{"It locks what it can bring in, and swallows what it can't.", "能载入的就锁定，载不进的失败被吞掉。"},
	text{"LockNow uses mlock instead: a page that can't be had is an error, and then nothing of the range stays locked.", "LockNow 改用 mlock：得不到的页是错误，此时该范围都不会保持锁定。"},
	[]string{"raw.TestMapPopulateAndMapLockedSwallowFailures", "mmap.TestLockFailureIsTold"},
	func(e *exhibit) error {
		for _, size := range []int{2 * pageBytes, pageBytes} {
			f, err := e.opened(size, os.O_RDWR)
			if err != nil {
				return err
			}
			defer f.Close()
			addr, err := raw.Mmap(0, 2*pageBytes, raw.PROT_READ, raw.MAP_SHARED|raw.MAP_LOCKED, int(f.Fd()), 0)
			if err != nil {
				return cannot{"locking is refused here: " + answer(err), "这里不允许锁定：" + answer(err)}
			}
			areas, err := areasOf(addr, 2*pageBytes)
			if err = errors.Join(err, raw.Munmap(addr, 2*pageBytes)); err != nil {
				return err
			}
			rss := sum(areas, "Rss") / int64(pageBytes)
			e.saw(rss == 2, "2 pages of a file of %d: success, %d in memory", size/pageBytes, rss)
		}
		m, err := e.mapped(2 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		if err := os.Truncate(m.Name(), int64(pageBytes)); err != nil {
			return err
		}
		err = m.Lock(0, m.Len(), mmap.LockNow)
		e.lib(errors.Is(err, mmap.ErrPastEnd), "Lock of 2 pages of a file of 1: %v", err)
		return nil
	}}

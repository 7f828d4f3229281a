package mmap_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// lockedKB is what the kernel counts as locked in the mapping's area at addr.
func lockedKB(t *testing.T, addr uintptr) int {
	t.Helper()
	a := areaAt(t, addr)
	if a.has("lo") && a.kB["Locked"] == 0 && !a.has("lf") {
		t.Errorf("locked, and no page in memory: %+v", a)
	}
	return a.kB["Locked"]
}

func TestLockKeepsPages(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(8*pageSize)), mmap.Options{Access: mmap.ReadWrite}))
	page := pageSize >> 10
	if err := m.Lock(int64(pageSize+5), pageSize, mmap.LockNow); err != nil { // touches two pages
		t.Fatal(err)
	}
	at := m.Addr() + uintptr(pageSize)
	if got := lockedKB(t, at); got != 2*page {
		t.Errorf("%d kB are locked, want two pages", got)
	}
	if a := areaAt(t, m.Addr()); a.has("lo") {
		t.Error("the page before is locked too")
	}
	if err := m.Lock(int64(pageSize), 1, mmap.LockNow); err != nil {
		t.Fatal(err)
	}
	if err := m.Unlock(int64(pageSize), 2*pageSize); err != nil { // locks do not nest
		t.Fatal(err)
	}
	if a := areaAt(t, at); a.has("lo") || a.kB["Locked"] != 0 {
		t.Errorf("after Unlock: %+v", a)
	}
}

func TestLockOnFaultLocksWhatIsTouched(t *testing.T) {
	testenv.Need(t, testenv.Mlock2)
	m := hold(t)(mmap.Anonymous(8*pageSize, mmap.Options{}))
	if err := m.Lock(0, m.Len(), mmap.LockOnFault); err != nil {
		t.Fatal(err)
	}
	if got := lockedKB(t, m.Addr()); got != 0 {
		t.Errorf("before any touch %d kB are locked", got)
	}
	if _, err := m.WriteAt([]byte{1}, int64(3*pageSize)); err != nil {
		t.Fatal(err)
	}
	if got := lockedKB(t, m.Addr()); got != pageSize>>10 {
		t.Errorf("after one touch %d kB are locked", got)
	}
	if err := m.Lock(0, m.Len(), mmap.LockNow); err != nil {
		t.Fatal(err)
	}
	if a := areaAt(t, m.Addr()); a.has("lf") || a.kB["Locked"] != 8*pageSize>>10 {
		t.Errorf("after LockNow: %d kB locked, flags %v", a.kB["Locked"], a.flags)
	}
}

// A locked page survives what drops others.
func TestLockedPagesSurviveEviction(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	name := newFileIn(t, testenv.DiskDir(t), pattern(16*pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Lock: mmap.LockNow}))
	wantError(t, m.SyncRange(0, m.Len(), mmap.SyncInvalidate), mmap.ErrStillCached, "Unlock")
	if r, err := m.Residency(0, m.Len()); err != nil || r.Resident != 16 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLockFailureIsTold(t *testing.T) {
	name := newFile(t, pattern(4*pageSize))
	m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
	if err := os.Truncate(name, int64(2*pageSize)); err != nil {
		t.Fatal(err)
	}
	wantFault(t, m.Lock(0, m.Len(), mmap.LockNow), mmap.ErrPastEnd, int64(2*pageSize))
	if a := areaAt(t, m.Addr()); a.has("lo") {
		t.Errorf("it failed and left %d kB locked", a.kB["Locked"])
	}
	if err := m.Protect(0, 1, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	wantFault(t, m.Lock(0, 1, mmap.LockNow), fs.ErrPermission, 0)
	for _, mode := range []mmap.LockMode{mmap.LockNone, mmap.LockOnFault + 1} {
		wantError(t, m.Lock(0, 1, mode), fs.ErrInvalid)
	}
	wantError(t, m.Lock(0, m.Len()+1, mmap.LockNow), mmap.ErrOutOfRange)
	wantError(t, m.Unlock(-1, 1), mmap.ErrOutOfRange)
}

// lockTry is a child that locks LENGTH bytes in each way and prints the
// answers. With TRUNCATE the file behind is shorter than the mapping.
var _ = testenv.Register("lock", func() {
	length, err := strconv.Atoi(os.Getenv("LENGTH"))
	if err != nil {
		panic(err)
	}
	say := func(what string, err error) {
		var limit *mmap.LimitError
		name := ""
		if errors.As(err, &limit) {
			name = fmt.Sprint(limit.Limit, " ", limit.Max, " ", limit.Fix != "")
		}
		fmt.Printf("%s: %v %v %v; %s\n", what, errors.Is(err, sys.EPERM), errors.Is(err, sys.ENOMEM), errors.Is(err, mmap.ErrPastEnd), name)
	}
	m, err := mmap.Anonymous(length, mmap.Options{Sharing: mmap.Shared})
	if err != nil {
		panic(err)
	}
	if os.Getenv("TRUNCATE") != "" {
		f, err := m.File()
		if err == nil {
			err = f.Truncate(int64(length / 2))
		}
		if err != nil {
			panic(err)
		}
	}
	say("now", m.Lock(0, length, mmap.LockNow))
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "VmLck:") && strings.Fields(line)[1] != "0" {
				fmt.Print("left locked: ", line)
			}
		}
	}
	say("on fault", m.Lock(0, length, mmap.LockOnFault))
	_, err = mmap.Anonymous(length, mmap.Options{Lock: mmap.LockNow})
	say("option", err)
	say("future", mmap.LockAll(mmap.LockFuture))
	say("current", mmap.LockAll(mmap.LockCurrent))
})

func TestLockLimit(t *testing.T) {
	testenv.Need(t, testenv.Nobody, proc, testenv.Mlock2)
	const eperm, enomem, pastEnd, ok = "true false false", "false true false", "false false true", "false false false"
	for _, row := range []struct {
		what  string
		limit uint64
		env   string
		want  []string
	}{
		{"a limit of 0 is EPERM", 0, "", []string{
			"now: " + eperm + "; RLIMIT_MEMLOCK 0 true", "on fault: " + eperm + "; RLIMIT_MEMLOCK 0 true", "option: " + eperm + "; RLIMIT_MEMLOCK 0 true",
			"future: " + ok + "; RLIMIT_MEMLOCK 0 true", "current: " + eperm + "; RLIMIT_MEMLOCK 0 true"}},
		{"a small limit is ENOMEM", 64 << 10, "", []string{
			"now: " + enomem + "; RLIMIT_MEMLOCK 65536 true", "on fault: " + enomem + "; RLIMIT_MEMLOCK 65536 true", "option: " + enomem + "; RLIMIT_MEMLOCK 65536 true",
			"future: " + ok + "; RLIMIT_MEMLOCK 65536 true", "current: " + enomem + "; RLIMIT_MEMLOCK 65536 true"}},
		{"a page that can't be had is not blamed on the limit", 768 << 10, "TRUNCATE=1", []string{
			"now: " + pastEnd + "; ", "on fault: " + ok + "; "}},
	} {
		t.Run(row.what, func(t *testing.T) {
			out := runChild(t, testenv.Child{Name: "lock", Nobody: true, Env: []string{"LENGTH=" + strconv.Itoa(512<<10), row.env},
				Limits: map[sys.Resource]uint64{sys.LockedMemory: row.limit}})
			for _, line := range row.want {
				if !strings.Contains(out, line+"\n") {
					t.Errorf("no line %q in\n%s", line, out)
				}
			}
			if strings.Contains(out, "left locked") {
				t.Errorf("a lock that failed left something locked:\n%s", out)
			}
		})
	}
}

func TestLockAllRefusesFlagsThatMakeNoSense(t *testing.T) {
	for _, f := range []mmap.LockAllFlags{0, mmap.LockAllOnFault, 8, 255} {
		wantError(t, mmap.LockAll(f), fs.ErrInvalid)
	}
}

// lockAll is a child, because it locks a whole process.
var _ = testenv.Register("lockall", func() {
	m, err := mmap.Anonymous(1<<20, mmap.Options{})
	if err != nil {
		panic(err)
	}
	vmLck := func() string {
		status, _ := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(status), "VmLck:")
		return strings.Fields(rest)[0]
	}
	fmt.Println("on fault:", mmap.LockAll(mmap.LockCurrent|mmap.LockFuture|mmap.LockAllOnFault), vmLck() != "0")
	fmt.Println("unlocked:", mmap.UnlockAll(), vmLck())
	m.Close()
})

func TestLockAllLocksTheProcess(t *testing.T) {
	testenv.Need(t, testenv.Root, proc)
	out := runChild(t, testenv.Child{Name: "lockall"})
	if out != "on fault: <nil> true\nunlocked: <nil> 0\n" {
		t.Errorf("the child said\n%s", out)
	}
}

// What an earlier Lock had locked goes with the one that fails, before the
// kernel is even asked.
func TestLockThatFailsLeavesNothingLocked(t *testing.T) {
	testenv.Need(t, testenv.PopulateRead)
	m := hold(t)(mmap.Anonymous(pageSize, mmap.Options{}))
	if err := m.Lock(0, pageSize, mmap.LockNow); err != nil {
		t.Fatal(err)
	}
	if err := m.Protect(0, pageSize, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	if err := m.Lock(0, pageSize, mmap.LockNow); err == nil {
		t.Fatal("memory without access was locked")
	}
	if err := m.Discard(0, pageSize, mmap.DropPrivate); err != nil {
		t.Errorf("the page is still locked: %v", err)
	}
}

// Neither an ended context nor a range that does not exist is waited with for a
// view, and what was locked stays so.
func TestLockThatGivesUpWaitsForNobody(t *testing.T) {
	testenv.Need(t, proc)
	m := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Lock: mmap.LockNow}))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan error, 1)
	err := m.View(0, pageSize, func([]byte) error {
		go func() { done <- m.LockContext(ended, 0, pageSize, mmap.LockNow) }()
		wantError(t, <-done, context.Canceled)
		go func() { done <- m.Lock(0, pageSize+1, mmap.LockNow) }()
		wantError(t, <-done, mmap.ErrOutOfRange)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if kB := lockedKB(t, m.Addr()); kB != pageSize>>10 {
		t.Errorf("%d kB are locked", kB)
	}
}

package witness

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var told bool // once is enough, whatever -count and -cpu say

func TestNotProven(t *testing.T) {
	if told {
		return
	}
	told = true
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	neverCache(root)
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("%s is not the module's root, so its records would not be found: %v", root, err)
	}
	ran := underGoTest()
	if ran {
		waitForOthers(t)
	}
	list, err := testenv.NotProven(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		return
	}
	text := "\nnot proven on this machine:\n  " + strings.Join(list, "\n  ") + "\n\n"
	t.Log(text)
	if !ran || testing.Verbose() {
		return // the log is shown
	}
	w, err := parentStderr()
	if err != nil {
		t.Logf("the go command's standard error is out of reach: %v", err)
		return
	}
	defer w.Close()
	if _, err := io.WriteString(w, text); err != nil {
		t.Error(err)
	}
}

// neverCache keeps the go command from answering for this test out of its
// cache. It takes a result for the same again while the files of the module
// that the test opened are the same; this one is inside the module by its
// letters, and is another directory for every process that looks (see
// computeTestInputsID in cmd/go/internal/test). Were the result cached
// nevertheless, the list would be missing and nothing else.
func neverCache(root string) {
	if f, err := os.Open(root + strings.Repeat("/..", strings.Count(root, "/")) + "/proc/self"); err == nil {
		f.Close()
	}
}

// underGoTest reports whether the parent is the go command.
func underGoTest() bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	return err == nil && strings.TrimSpace(string(comm)) == "go"
}

// waitForOthers returns when the go command has had no other child for half a
// second, so that between two packages it is not taken to be done. It gives up
// after three minutes: the list then lacks what is still running.
func waitForOthers(t *testing.T) {
	const pause = 50 * time.Millisecond
	for quiet, total := 0, time.Duration(0); quiet < 10 && total < 3*time.Minute; total += pause {
		if quiet++; siblings(t) > 0 {
			quiet = 0
		}
		time.Sleep(pause)
	}
}

// siblings counts the live children of the parent, this process aside.
func siblings(t *testing.T) int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (comm) state ppid ...; comm may hold anything (proc_pid_stat(5)).
		after := string(text[strings.LastIndexByte(string(text), ')')+1:])
		f := strings.Fields(after)
		pid := filepath.Base(filepath.Dir(name))
		if len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(os.Getppid()) && pid != strconv.Itoa(os.Getpid()) {
			count++
		}
	}
	return count
}

// parentStderr opens the go command's standard error. A pipe or a terminal can
// be opened by its name in /proc. A file can't: that would be another open file
// description, with a position of its own, and the go command would write over
// what is written here.
func parentStderr() (*os.File, error) {
	if fd, err := sys.Borrow(os.Getppid(), 2); err == nil {
		return os.NewFile(uintptr(fd), "the go command's standard error"), nil
	}
	name := fmt.Sprintf("/proc/%d/fd/2", os.Getppid())
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is a file", name)
	}
	return os.OpenFile(name, os.O_WRONLY, 0)
}

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/vmem"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// start starts a machine that ends with the test.
func start(t *testing.T, ctx context.Context) *Machine {
	t.Helper()
	m, err := Start(ctx, t.TempDir())
	testenv.Need(t, testenv.Feature{Name: "ptrace, and processes of amd64", Probe: func() error { return err }})
	t.Cleanup(m.Close)
	return m
}

// steps has the machine do a script's steps after the engine.
func steps(t *testing.T, m *Machine, text string) (last script.Outcome) {
	t.Helper()
	s, err := script.Parse("s", text)
	if err != nil {
		t.Fatal(err)
	}
	for step, err := range s.Run() {
		if err != nil {
			t.Fatal(err)
		}
		if step.Call == "file" {
			if err := m.MakeFile(step.Args[0].Name, make([]byte, step.Args[0].Num)); err != nil {
				t.Fatal(err)
			}
		} else if last, err = m.Do(step); err != nil {
			t.Fatalf("%s: %v", step.Text, err)
		}
	}
	return last
}

func TestProcessesHaveNoCapabilitiesAndTheEnginesLimits(t *testing.T) {
	m := start(t, t.Context())
	steps(t, m, "p: load 65536")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.processes["p"].Pid()))
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) (value string) {
		for line := range lines(status) {
			if _, err := fmt.Sscanf(line, name+": %s", &value); err == nil {
				return value
			}
		}
		return ""
	}
	if got := field("CapEff"); got != "0000000000000000" {
		t.Errorf("capabilities %s", got)
	}
	if got := field("THP_enabled"); got == "1" {
		t.Error("huge pages are on")
	}
	limits := script.Limits()
	if m.MayLock > limits.MemLock {
		t.Errorf("%d bytes may be locked, in the engine %d", m.MayLock, limits.MemLock)
	}
}

func lines(text []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i, b := range text {
			if b == '\n' {
				if !yield(string(text[start:i])) {
					return
				}
				start = i + 1
			}
		}
	}
}

func TestFilesBeginOnTheDisk(t *testing.T) {
	m := start(t, t.Context())
	if err := m.MakeFile("f", make([]byte, 3*vmem.PageSize)); err != nil {
		t.Fatal(err)
	}
	switch pages, dirty, known := m.Cached("f", 0, 0); {
	case !known:
		testenv.Skip(t, "needs cachestat (Linux 6.5)")
	case dirty > 0:
		t.Errorf("%d pages are dirty", dirty)
	case pages > 0:
		testenv.Skip(t, "needs a file system whose pages leave memory when they are advised to")
	}
	if f, err := m.File("f", false); err != nil || len(f.Pages) != 3 || f.Pages[0] != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if pages, _, _ := m.Cached("f", 0, 0); pages > 0 {
		t.Errorf("looking at the file brought %d pages in", pages)
	}
	if f, err := m.File("f", true); err != nil || len(f.Pages) != 3 || len(f.Pages[2]) != vmem.PageSize {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestEvictedNeighboursAreThoseThatTheEngineDoesNotHave(t *testing.T) {
	s, err := script.Parse("s", `
file f 32768
a = mmap(NULL, 32768, PROT_READ, MAP_SHARED, f, 0)
load a+4096
load a+16384
evict(f, 4)`)
	if err != nil {
		t.Fatal(err)
	}
	for m := range s.Run() {
		if m.Call == "evict" {
			if got, want := evicted(m, "f"), (run{2 * vmem.PageSize, 8 * vmem.PageSize}); got != want {
				t.Errorf("evicted %v, want %v", got, want)
			}
		}
	}
}

// TestAStepThatBlocksEndsWithTheContext has a process load from a file whose
// server does not answer.
func TestAStepThatBlocksEndsWithTheContext(t *testing.T) {
	fs := testenv.SlowFS(t, testenv.SlowFile{Size: 2 * vmem.PageSize})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := start(t, ctx)
	s, err := script.Parse("s", "file f 8192\np: a = mmap(NULL, 8192, PROT_READ, MAP_SHARED, f, 0)\nq: load 65536\np: load a\nq: load 65536")
	if err != nil {
		t.Fatal(err)
	}
	m.files["f"] = file{path: fs.Path, mode: vmem.ReadOnly}
	var pids []int
	for step := range s.Run() {
		switch step.Line {
		case 1:
			continue
		case 4:
			for _, p := range append(values(m.processes), &m.root) {
				pids = append(pids, p.Pid())
			}
			fs.Set(testenv.Fault{Op: testenv.Read, Delay: testenv.Hold})
			go func() {
				fs.Await(testenv.Read, 1)
				cancel()
			}()
		}
		switch _, err := m.Do(step); {
		case step.Line < 4 && err != nil:
			t.Fatal(err)
		case step.Line >= 4 && !errors.Is(err, context.Canceled):
			t.Errorf("line %d: %v", step.Line, err)
		}
	}
	fs.Set()
	m.Close()
	if len(pids) != 3 {
		t.Errorf("%d processes", len(pids))
	}
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprint("/proc/", pid)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("process %d is left: %v", pid, err)
		}
	}
}

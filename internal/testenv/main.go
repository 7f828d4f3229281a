package testenv

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and exits: with their code, or with 1 if
// they passed and left something behind. A package calls it from TestMain:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// Without /proc it sees leaked goroutines and nothing else, and says so.
func Main(m *testing.M) {
	startCollector()
	runChild()
	flag.Parse()
	startPoller()
	before, proc := takeInventory()
	goroutines := goleak.IgnoreCurrent()

	code := m.Run()

	leaks := waitForLeaks(before, goroutines)
	for _, leak := range leaks {
		fmt.Fprintln(os.Stderr, "leaked:", leak)
	}
	if proc != nil {
		record("TestMain", fmt.Sprintf("leaked mappings and descriptors can't be listed: %v", proc))
	}
	if dir, err := os.Getwd(); err == nil && whole() {
		if err := saveRecords(dir, notProven.lines); err != nil {
			fmt.Fprintln(os.Stderr, "testenv: the skips of this package will not be listed:", err)
		}
	}
	if code == 0 && len(leaks) > 0 {
		code = 1
	}
	os.Exit(code)
}

// whole reports whether this run was of all the package's tests.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.bench", "test.fuzz", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}

// startCollector has garbage collected again and again, in children too, if
// MMAP_TEST_COLLECT says how often.
func startCollector() {
	each, err := time.ParseDuration(os.Getenv("MMAP_TEST_COLLECT"))
	if err != nil || each <= 0 {
		return
	}
	go func() {
		for range time.Tick(each) {
			runtime.GC()
		}
	}()
}

// startPoller makes the runtime open its epoll and event descriptors, which
// stay for good, before the first inventory.
func startPoller() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
}

// waitForLeaks gives what is on its way out time to go: goroutines that have
// been told to end, and memory whose cleanup waits for the collector.
func waitForLeaks(before inventory, goroutines goleak.Option) []string {
	for pause := time.Millisecond; ; pause *= 2 {
		runtime.GC()
		after, _ := takeInventory()
		leaks := after.minus(before)
		if len(leaks) == 0 || pause > time.Second {
			if err := goleak.Find(goroutines); err != nil {
				leaks = append(leaks, err.Error())
			}
			return leaks
		}
		time.Sleep(pause)
	}
}

package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// root is the module's directory, seen from here.
const root = "../.."

// hangs is how long a test may take that takes a second without its mutant: one
// that waits for ever notices, too.
const hangs = 10 * time.Second

// A mutant breaks one claim of a package.
type mutant struct {
	claim    string // what is no longer true
	file     string
	old, new string
	// test fails then: "TestX", "TestX in dir" where it is not beside the file,
	// "TestX with tag" where only a build with that tag has it.
	test string
}

// all is every mutant.
func all() []mutant {
	return slices.Concat(mutants, againstTheKernel, shared, unguarded(), connections, explained)
}

// A suite is what one test binary has: the tests of a package, in a build with a
// tag or with none.
type suite struct{ dir, tag string }

// where tells the name of m's test, and its suite.
func (m mutant) where() (test string, s suite) {
	test, s.tag, _ = strings.Cut(m.test, " with ")
	test, dir, elsewhere := strings.Cut(test, " in ")
	if !elsewhere {
		dir = path.Dir(m.file)
	}
	s.dir = "./" + dir
	return test, s
}

func TestMutantsApply(t *testing.T) {
	for _, m := range all() {
		if src, err := os.ReadFile(filepath.Join(root, m.file)); err != nil {
			t.Error(err)
		} else if n := strings.Count(string(src), m.old); n != 1 {
			t.Errorf("%q: %s has its piece %d times, want once:\n%s", m.claim, m.file, n, m.old)
		}
	}
}

// TestMutantsAreCaught wants every test that the table names to pass without a
// mutant, and then each to fail with its own, as often as MMAP_MUTANTS says.
func TestMutantsAreCaught(t *testing.T) {
	often := os.Getenv("MMAP_MUTANTS")
	if often == "" {
		testenv.Skip(t, "takes minutes; MMAP_MUTANTS=1 runs it")
	}
	times, err := strconv.Atoi(often)
	if err != nil || times < 1 {
		t.Fatalf("MMAP_MUTANTS=%s: want a number of runs", often)
	}
	named := map[suite][]string{}
	for _, m := range all() {
		test, s := m.where()
		named[s] = append(named[s], test)
	}
	scratch := scratchDir(t)
	pass := t.Run("none", func(t *testing.T) {
		for s, tests := range named {
			t.Run(s.dir+s.tag, func(t *testing.T) {
				t.Parallel()
				slices.Sort(tests)
				s.passes(t, scratch, slices.Compact(tests))
			})
		}
	})
	if !pass {
		return // what fails with a mutant says nothing
	}
	for _, m := range all() {
		t.Run(m.claim, func(t *testing.T) {
			t.Parallel()
			m.isCaught(t, scratch, times)
		})
	}
}

// passes wants each of the tests to pass.
func (s suite) passes(t *testing.T, scratch string, tests []string) {
	dir := suiteDir(t, scratch)
	s.build(t, dir)
	start := time.Now()
	out, ok := run(t, dir, tests, 5*time.Minute)
	t.Logf("ran for %v", time.Since(start))
	if !ok {
		t.Fatalf("without any mutant:\n%s", out)
	}
	for _, test := range tests {
		if !strings.Contains(out, "--- PASS: "+test+" ") && !strings.Contains(out, "--- SKIP: "+test+" ") {
			t.Errorf("there is no test %s", test)
		}
	}
}

// isCaught makes the mutant, and wants its test to fail every time.
func (m mutant) isCaught(t *testing.T, scratch string, times int) {
	dir := suiteDir(t, scratch)
	test, s := m.where()
	start := time.Now()
	s.build(t, dir, "-overlay="+m.overlay(t, dir))
	t.Logf("built in %v", time.Since(start))
	for range times {
		start = time.Now()
		out, ok := run(t, dir, []string{test}, hangs)
		took := time.Since(start)
		unmountAll(t, dir)
		switch {
		case !ok:
			t.Logf("noticed in %v:\n%.2000s", took, out)
		case strings.Contains(out, "--- SKIP"):
			testenv.Skip(t, m.test+" could not run: "+out)
		default:
			t.Errorf("%s did not notice in %v", m.test, took)
		}
	}
}

// overlay is the name of a file that puts the mutant in the place of its source:
// see "go help build".
func (m mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	name, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(src), m.old, m.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {name: broken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// build makes the test binary of the suite in dir. Compilers take most of the time
// of all this: they leave out what debuggers read, and what inlining brings.
func (s suite) build(t *testing.T, dir string, flags ...string) {
	t.Helper()
	args := []string{"test", "-c", "-o", filepath.Join(dir, "tests"), "-vet=off", "-tags=" + s.tag, "-gcflags=-l -dwarf=false", "-ldflags=-s -w"}
	cmd := exec.CommandContext(t.Context(), "go", append(append(args, flags...), s.dir)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s does not build: %v\n%s", s.dir, err, out)
	}
}

// run runs tests of the binary in dir, where a mutant can spoil nothing. What is
// random in them is the same each time, and meets every mutant.
func run(t *testing.T, dir string, tests []string, timeout time.Duration) (out string, ok bool) {
	t.Helper()
	var exactly []string
	for _, test := range tests {
		exactly = append(exactly, "^"+strings.ReplaceAll(test, "/", "$/^")+"$")
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "tests"), "-test.v", "-test.timeout="+timeout.String(), "-test.run="+strings.Join(exactly, "|"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MMAP_TEST_SEED=7", "MMAP_TEST_RECORDS="+filepath.Join(dir, "records"), "TMPDIR="+dir)
	cmd.WaitDelay = time.Second // for the children of one that was ended
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.Success()
}

// scratchDir is where all suites have their directories. It goes when children of
// tests that were ended have had time to end, too.
func scratchDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mmap-mutants-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { // children run as nobody
		t.Fatal(err)
	}
	return dir
}

// suiteDir is where the tests of a suite make their files. One that hangs is ended
// with its file systems mounted, so what is left there is taken away.
func suiteDir(t *testing.T, scratch string) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmountAll(t, dir)
		os.RemoveAll(dir) // at the latest with scratch
	})
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unmountAll unmounts what is mounted below dir, the last first.
func unmountAll(t *testing.T, dir string) {
	t.Helper()
	for _, point := range slices.Backward(mountPoints(dir)) {
		out, err := exec.Command("umount", "--lazy", point).CombinedOutput()
		if err != nil && slices.Contains(mountPoints(dir), point) { // a child may have been faster
			t.Errorf("umount %s: %v: %s", point, err, out)
		}
	}
}

// mountPoints are those below dir. There are none where there is no /proc.
func mountPoints(dir string) (points []string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			points = append(points, f[4])
		}
	}
	return points
}

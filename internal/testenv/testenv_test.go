package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/sys"
)

func TestJudge(t *testing.T) {
	missing := errors.New("missing")
	tests := []struct {
		name          string
		since, kernel string
		filtered      bool
		probe         error
		want          string // in the reason; empty: it is there
		broken        bool
	}{
		{name: "a feature that is there", since: "6.5", kernel: "6.18.44"},
		{name: "a feature that is there before its time", since: "6.5", kernel: "5.14.0-el9"},
		{name: "an old kernel", since: "6.5", kernel: "6.4.99", probe: sys.ENOSYS, want: "Linux 6.5 or later, and this is 6.4.99"},
		{name: "a kernel that should have it", since: "6.5", kernel: "6.5.0-rc1", probe: sys.ENOSYS, want: "Linux has it since 6.5", broken: true},
		{name: "a newer major number", since: "4.17", kernel: "5.4", probe: missing, want: "this is 5.4", broken: true},
		{name: "minor numbers are no decimals", since: "6.5", kernel: "6.18", probe: missing, want: "missing", broken: true},
		{name: "a refusal", since: "6.5", kernel: "6.18", probe: sys.EPERM, want: "refused"},
		{name: "a wrapped refusal", since: "6.5", kernel: "6.18", probe: os.NewSyscallError("x", sys.EACCES), want: "refused"},
		{name: "a seccomp filter that plays an old kernel", since: "6.5", kernel: "6.18", filtered: true, probe: sys.ENOSYS, want: "seccomp"},
		{name: "a seccomp filter does not excuse a wrong answer", since: "6.5", kernel: "6.18", filtered: true, probe: sys.EINVAL, want: "since 6.5", broken: true},
		{name: "another system", since: "6.5", probe: errors.ErrUnsupported, want: "another system"},
		{name: "a matter of the machine", kernel: "6.18", probe: missing, want: "missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			why, broken := judge(tt.since, tt.kernel, tt.filtered, tt.probe)
			if broken != tt.broken || tt.want == "" && why != "" || !strings.Contains(why, tt.want) {
				t.Errorf("judge = %q, %v; want %q, %v", why, broken, tt.want, tt.broken)
			}
		})
	}
}

// TestFeatures asks this kernel for what its release should have: Need fails
// the test where probe and release contradict each other.
func TestFeatures(t *testing.T) {
	for _, f := range []Feature{MemfdCreate, Mlock2, FixedNoReplace, PopulateRead, Cachestat} {
		t.Run(f.Name, func(t *testing.T) { Need(t, f) })
	}
}

// TestMainFindsLeaks runs this test in a child that leaks, and wants the child
// to fail and to name what it left.
func TestMainFindsLeaks(t *testing.T) {
	const leakVar = "TESTENV_LEAK"
	if kind := os.Getenv(leakVar); kind != "" {
		leak(t, kind)
		return
	}
	name := filepath.Join(t.TempDir(), "leaked")
	if err := os.WriteFile(name, make([]byte, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, proc := takeInventory()
	for _, tt := range []struct{ kind, want string }{
		{"mapping", "mapping"},
		{"memfd", "/memfd:leaked"},
		{"descriptor", name},
		{"goroutine", "testenv.leak"},
		{"nothing", ""},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			if proc != nil && tt.kind != "goroutine" && tt.kind != "nothing" {
				Skip(t, "needs /proc to list what a process holds: "+proc.Error())
			}
			cmd := exec.Command(self(t), "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$")
			cmd.Env = append(os.Environ(), leakVar+"="+tt.kind+":"+name)
			out, err := cmd.CombinedOutput()
			if tt.want == "" {
				if err != nil {
					t.Errorf("a clean run failed: %v\n%s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(string(out), "leaked: ") || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v, want a failure that names %s:\n%s", err, tt.want, out)
			}
		})
	}
}

func leak(t *testing.T, spec string) {
	kind, name, _ := strings.Cut(spec, ":")
	switch kind {
	case "goroutine":
		go func() { select {} }()
	case "descriptor", "mapping":
		fd, err := sys.OpenFile(name, sys.OpenRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		if kind == "mapping" {
			mapShared(t, fd)
			sys.Close(fd)
		}
	case "memfd":
		fd, err := sys.Memfd("leaked", false, 0)
		if err != nil {
			t.Fatal(err)
		}
		mapShared(t, fd)
		sys.Close(fd)
	}
}

func mapShared(t *testing.T, fd int) {
	if _, err := sys.Mmap(0, 1, sys.PROT_READ, sys.MAP_SHARED, fd, 0); err != nil {
		t.Fatal(err)
	}
}

var (
	_ = Register("testenv.speak", func() {
		fmt.Print("out ", os.Getenv("TESTENV_WORD"))
		fmt.Fprint(os.Stderr, "err")
		os.Exit(7)
	})
	_ = Register("testenv.die", func() {
		p, _ := os.FindProcess(os.Getpid())
		p.Kill()
		select {}
	})
	_ = Register("testenv.limit", func() {
		fmt.Print(sys.Getrlimit(sys.OpenFiles))
	})
	_ = Register("testenv.who", func() {
		err := os.WriteFile(filepath.Join(os.Getenv("TESTENV_WORD"), "f"), nil, 0o600)
		fmt.Print(os.Getuid(), os.Getgid(), err)
	})
)

func TestChild(t *testing.T) {
	want := Result{Code: 7, Stdout: "out word", Stderr: "err"}
	if got := (Child{Name: "testenv.speak", Env: []string{"TESTENV_WORD=word"}}).Run(t); got != want {
		t.Errorf("child = %+v, want %+v", got, want)
	}
	if got := (Child{Name: "testenv.die"}).Run(t); got.Code == 0 {
		t.Errorf("a killed child = %+v", got)
	} else if Kernel() != "" && got.Signal != 9 {
		t.Errorf("a killed child has signal %v, want 9", got.Signal)
	}
}

func TestChildLimits(t *testing.T) {
	if _, _, err := sys.Getrlimit(sys.OpenFiles); errors.Is(err, errors.ErrUnsupported) {
		Skip(t, err.Error())
	}
	got := Child{Name: "testenv.limit", Limits: map[sys.Resource]uint64{sys.OpenFiles: 64, sys.LockedMemory: 0}}.Run(t)
	if want := (Result{Stdout: "64 64 <nil>"}); got != want {
		t.Errorf("child = %+v, want %+v", got, want)
	}
}

func TestChildAsNobody(t *testing.T) {
	Need(t, Nobody)
	for _, dir := range []string{DiskDir(t), TmpfsDir(t)} {
		got := Child{Name: "testenv.who", Nobody: true, Env: []string{"TESTENV_WORD=" + dir}}.Run(t)
		if want := (Result{Stdout: "65534 65534 <nil>"}); got != want {
			t.Errorf("child = %+v, want %+v", got, want)
		}
	}
}

func TestLoopFS(t *testing.T) {
	for kind, tt := range map[string]struct{ magic, size int64 }{
		"ext4":  {0xef53, 16 << 20},
		"xfs":   {0x58465342, 300 << 20},
		"btrfs": {0x9123683e, 128 << 20},
	} {
		t.Run(kind, func(t *testing.T) {
			var root string
			t.Run("mounted", func(t *testing.T) {
				root = LoopFS(t, kind, tt.size)
				if magic, err := fileSystem(root); magic != tt.magic || err != nil {
					t.Errorf("file system %#x, %v; want %#x", magic, err, tt.magic)
				}
			})
			if _, err := os.Stat(root); root != "" && !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", root, err)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	t.Setenv("MMAP_TEST_RECORDS", filepath.Join(t.TempDir(), "records"))
	root := filepath.Join(t.TempDir(), "root")
	check := func(want ...string) {
		t.Helper()
		if got, err := NotProven(root); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("NotProven = %q, %v; want %q", got, err, want)
		}
	}
	save := func(dir string, lines ...string) {
		t.Helper()
		if err := saveRecords(dir, lines); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{filepath.Join(root, "a"), filepath.Join(root, "b", "c"), root + "-other"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	check()
	save(filepath.Join(root, "gone"), "TestE: not of a package that is there")
	save(filepath.Join(root, "a"), "TestA: no swap", "TestB: no root")
	save(filepath.Join(root, "b", "c"), "TestC: no disk")
	save(root+"-other", "TestD: not of this tree")
	check("a: TestA: no swap", "a: TestB: no root", filepath.Join("b", "c")+": TestC: no disk")
	save(filepath.Join(root, "a")) // the next run proved all of it
	save(filepath.Join(root, "a"))
	check(filepath.Join("b", "c") + ": TestC: no disk")
}

func TestSeed(t *testing.T) {
	t.Setenv("MMAP_TEST_SEED", "42")
	if got := Seed(t); got != 42 {
		t.Errorf("Seed = %d, want 42", got)
	}
	t.Setenv("MMAP_TEST_SEED", "")
	if a, b := Seed(t), Seed(t); a == b {
		t.Errorf("two seeds are %d", a)
	}
}

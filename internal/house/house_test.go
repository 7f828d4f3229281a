package house

import (
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var rules = map[string]func(*tree) []string{
	"build tags stand in internal/sys":          tags,
	"unsafe stands in internal/sys and mem":     unsafeOwners,
	"the import lattice holds":                  imports,
	"everything exported is documented":         docs,
	"mutexes say what they guard and in order":  locks,
	"interfaces have a conformance suite":       suites,
	"internal/sys is the same on each platform": everywhere,
	"test packages check for leaks":             leakChecks,
	"skips are recorded":                        skips,
}

func TestRules(t *testing.T) {
	module, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(module.packages()["internal/sys"]) == 0 {
		t.Fatal("internal/sys is not where this test looks: no rule would see anything")
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, finding := range rule(module) {
				t.Error(finding)
			}
		})
	}
}

// TestRulesFail shows that each rule can: every row is a tree, and the finding
// that its rule must make there. An empty want is a tree that must pass.
func TestRulesFail(t *testing.T) {
	const ours = `"` + module + "/"
	tests := []struct {
		name  string
		rule  func(*tree) []string
		files map[string]string
		want  string
	}{
		{"a linux tag", tags, src("a/a.go", "//go:build linux\n\npackage a"), "a/a.go: names the platform linux"},
		{"a negated tag", tags, src("a/a.go", "//go:build !(windows && x)\n\npackage a"), "names the platform windows"},
		{"unix is a platform too", tags, src("a/a.go", "//go:build unix\n\npackage a"), "names the platform unix"},
		{"an old form of tag", tags, src("a/a.go", "// +build arm64\n\npackage a"), "names the platform arm64"},
		{"a suffix", tags, src("a/a_darwin.go", "package a"), "names the platform darwin"},
		{"a suffix of a test", tags, src("a/a_amd64_test.go", "package a"), "names the platform amd64"},
		{"a test that is no rig", tags, src("a/rig_test.go", "//go:build linux\n\npackage a"), "names the platform linux"},
		{"a tag of our own", tags, src("a/a.go", "//go:build invariants\n\npackage a"), ""},
		{"a file called linux.go", tags, src("a/linux.go", "package a"), ""},
		{"tags in internal/sys", tags, src("internal/sys/a_linux.go", "//go:build linux && 386\n\npackage sys"), ""},

		{"unsafe in a library", unsafeOwners, src("raw/a.go", `package raw; import _ "unsafe"`), "raw/a.go: imports unsafe"},
		{"unsafe in a test", unsafeOwners, src("a_test.go", `package mmap; import "unsafe"`), "a_test.go: imports unsafe"},
		{"unsafe in internal/mem", unsafeOwners, src("internal/mem/a.go", `package mem; import "unsafe"`), ""},

		{"an unknown package", imports, src("util/a.go", `package util`), "no row in the import lattice for util"},
		{"an arrow that runs up", imports, src("internal/sys/a.go", `package sys; import `+ours+`raw"`), "may not import raw"},
		{"a wing in a wing", imports, src("offheap/a.go", `package offheap; import `+ours+`durable"`), "may not import durable"},
		{"the root in raw", imports, src("raw/a.go", `package raw; import "`+module+`"`), "may not import ."},
		{"internal code in the command", imports, src("cmd/mmap/a.go", `package main; import `+ours+`internal/sys"`), "may not import internal/sys"},
		{"internal code in an example", imports, src("examples/edit/main.go", `package main; import `+ours+`internal/mem"`), "may not import internal/mem"},
		{"testenv in a library", imports, src("raw/a.go", `package raw; import `+ours+`internal/testenv"`), "may not import internal/testenv"},
		{"a rig in a library", imports, src("durable/a.go", `package durable; import `+ours+`mmaptest/crashdisk"`), "may not import mmaptest/crashdisk"},
		{"x/sys outside internal/sys", imports, src("a.go", `package mmap; import "golang.org/x/sys/unix"`), "golang.org/x/sys/unix belongs to internal/sys"},
		{"x/sys in a test", imports, src("raw/a_test.go", `package raw; import "golang.org/x/sys/unix"`), "belongs to internal/sys"},
		{"a dependency of a library", imports, src("a.go", `package mmap; import "go.uber.org/goleak"`), "library code may not import go.uber.org/goleak"},
		{"a dependency of internal/sys", imports, src("internal/sys/a.go", `package sys; import "go.uber.org/goleak"`), "and not go.uber.org/goleak"},
		{"a dependency of an example", imports, src("examples/edit/main.go", `package main; import "go.uber.org/goleak"`), "library code may not import"},
		{"a dependency of a test", imports, src("raw/a_test.go", `package raw; import "go.uber.org/goleak"`), ""},
		{"a dependency of the command", imports, src("cmd/mmap/a.go", `package main; import "github.com/spf13/cobra"`), ""},
		{"a test of the library that asks the kernel", imports, src("raw/a_test.go", `package raw; import `+ours+`internal/sys"`), ""},
		{"a test of the command that does", imports, src("cmd/mmap/a_test.go", `package main; import `+ours+`internal/sys"`), "may not import internal/sys"},
		{"what the root may have", imports, src("a.go", `package mmap; import (`+ours+`internal/sys"; `+ours+`internal/invariant"; "os")`), ""},
		{"a test beside its package", imports, src("raw/a_test.go", `package raw_test; import (`+ours+`raw"; `+ours+`internal/testenv")`), ""},

		{"no doc.go", docs, src("a/a.go", "// Package a is documented elsewhere.\npackage a"), "a: no doc.go with a package comment"},
		{"a silent doc.go", docs, src("a/doc.go", "package a"), "a: no doc.go with a package comment"},
		{"a bare function", docs, pkg("func F() {}"), "a/a.go:3: F has no comment"},
		{"a bare type", docs, pkg("type T int"), "T has no comment"},
		{"a bare constant", docs, pkg("const (\n\t// A is one.\n\tA = 1\n\tB = 2\n)"), "B has no comment"},
		{"a bare method", docs, pkg("// T is.\ntype T[A any] int\nfunc (t *T[A]) M() {}"), "M has no comment"},
		{"a bare interface method", docs, pkg("// I is.\ntype I interface {\n\tM()\n}"), "M has no comment"},
		{"a directive is no comment", docs, pkg("//go:noinline\nfunc F() {}"), "F has no comment"},
		{"a group's comment", docs, pkg("// Two numbers.\nconst (\n\tA = 1\n\tB = 2\n)"), ""},
		{"methods of hidden types", docs, pkg("type t int\nfunc (t) M() {}"), ""},

		{"a mutex that guards nothing", locks, pkg("type T struct {\n\tmu sync.Mutex\n}"), "a/a.go:4: a mutex without a comment"},
		{"a global mutex", locks, pkg("var mu sync.RWMutex"), "a mutex without a comment"},
		{"an array of mutexes", locks, pkg("type T struct {\n\tmu [4]sync.Mutex\n}"), "a mutex without a comment"},
		{"two mutexes in no order", locks, pkg("// a guards x.\nvar a sync.Mutex\n// b guards y.\nvar b sync.Mutex"), `a: 2 mutexes and no "Lock order"`},
		{"one mutex with a comment", locks, pkg("var mu sync.Mutex // guards x"), ""},
		{"a group with nothing to guard", locks, pkg("type T struct {\n\tviews struct {\n\t\tsync.Mutex\n\t}\n}"), "a mutex without a comment"},
		{"a mutex in its group", locks, pkg("type T struct {\n\tviews struct {\n\t\tsync.Mutex\n\t\tn int\n\t}\n}"), ""},

		{"an interface without a suite", suites, src("a/a.go", "package a; type Source interface{ At() }"), "no mmaptest/conform.TestSource"},
		{"a hidden interface", suites, src("a/a.go", "package a; type source interface{ At() }"), ""},
		{"a constraint", suites, src("a/a.go", "package a; type Number interface{ ~int | ~uint }"), ""},
		{"an interface with a suite", suites, map[string]string{
			"a/a.go":                "package a; type Source interface{ At() }",
			"mmaptest/conform/a.go": "package conform; func TestSource() {}"}, ""},

		{"a call of one platform", everywhere, map[string]string{
			"internal/sys/a.go":       "package sys; func A() {}",
			"internal/sys/b_linux.go": "package sys; func B() {}"}, "internal/sys.B is missing for darwin/arm64"},
		{"a call of each platform", everywhere, map[string]string{
			"internal/sys/b_linux.go": "package sys; func B() {}",
			"internal/sys/b_other.go": "//go:build !linux\n\npackage sys; func B() {}"}, ""},

		{"tests without TestMain", leakChecks, src("a/a_test.go", "package a"), "a: has tests and no TestMain"},
		{"tests with TestMain", leakChecks, src("a/a_test.go", "package a; func TestMain(m *testing.M) { testenv.Main(m) }"), ""},

		{"a bare skip", skips, src("a/a_test.go", "package a; func TestA(t *testing.T) { t.Skip() }"), "a/a_test.go:1: skips without testenv"},
		{"a recorded skip", skips, src("a/a_test.go", "package a; func TestA(t *testing.T) { testenv.Skip(t, \"\") }"), ""},
	}
	proven := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, text := range tt.files {
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			tree, err := load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Join(tt.rule(tree), "\n")
			if tt.want == "" && found != "" || !strings.Contains(found, tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
		if tt.want != "" {
			proven[nameOf(tt.rule)] = true
		}
	}
	for name, rule := range rules {
		if !proven[nameOf(rule)] {
			t.Errorf("no tree here breaks the rule %q", name)
		}
	}
}

// nameOf identifies a rule: functions can't be compared.
func nameOf(rule func(*tree) []string) string {
	return runtime.FuncForPC(reflect.ValueOf(rule).Pointer()).Name()
}

func src(name, text string) map[string]string { return map[string]string{name: text} }

// pkg is a package with a doc.go and, from line 3 of a.go on, body.
func pkg(body string) map[string]string {
	return map[string]string{"a/doc.go": "// Package a is.\npackage a", "a/a.go": "package a\n\n" + body}
}

// TestHidden holds that the walk leaves out what the go command leaves out.
func TestHidden(t *testing.T) {
	tree, err := load(fstest.MapFS{
		"a/a.go":            {Data: []byte("package a")},
		"a/testdata/bad.go": {Data: []byte("not Go")},
		".git/bad.go":       {Data: []byte("not Go")},
		"_old/bad.go":       {Data: []byte("not Go")},
	})
	if err != nil || len(tree.files) != 1 {
		t.Errorf("load = %d files, %v; want 1 file", len(tree.files), err)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// runDoctor runs the command in this process.
func runDoctor(t *testing.T, want int, args ...string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(append([]string{"doctor"}, args...), &o, &e); got != want {
		t.Fatalf("exit code %d, want %d: %s", got, want, e.String())
	}
	return o.String(), e.String()
}

func runDoctorJSON(t *testing.T, args ...string) diagnosis {
	t.Helper()
	out, _ := runDoctor(t, 0, append(args, "--json")...)
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if d.Schema != doctorSchema || d.System.PageSize != os.Getpagesize() {
		t.Errorf("schema %q, pages of %d", d.Schema, d.System.PageSize)
	}
	return d
}

func TestDoctorFitsATerminalInBothLanguages(t *testing.T) {
	dir := t.TempDir()
	for _, lang := range []string{"en", "zh"} {
		out, _ := runDoctor(t, 0, dir, "--lang", lang)
		for line := range strings.Lines(out) {
			// A path or a list of mount options can't be broken.
			if text := strings.TrimSpace(line); displayWidth(strings.TrimSuffix(line, "\n")) > 80 && strings.Contains(text, " ") {
				t.Errorf("%s: more than 80 columns: %s", lang, line)
			}
		}
		for _, s := range sections {
			title := map[string]string{"en": s.title.en, "zh": s.title.zh}[lang]
			if !strings.Contains(out, "\n"+title+"\n") {
				t.Errorf("%s: no section %q", lang, title)
			}
		}
	}
}

// TestDoctorTellsWhatARefusalCosts asks behind a filter that refuses rare calls.
func TestDoctorTellsWhatARefusalCosts(t *testing.T) {
	testenv.Need(t, testenv.Seccomp)
	r := testenv.Child{Name: "doctor behind a filter"}.Run(t)
	var d diagnosis
	if err := json.Unmarshal([]byte(r.Stdout), &d); err != nil {
		t.Fatalf("%v:\n%s%s", err, r.Stdout, r.Stderr)
	}
	costs := map[string]string{
		"mincore":             "1 GiB 2.2 times",
		"cachestat":           "three times, not two",
		"MADV_POPULATE_READ":  "15 times slower",
		"userfaultfd":         "do not need it",
		"preadv2, RWF_NOWAIT": "half the speed with 64",
	}
	for _, f := range d.Findings {
		cost, asked := costs[f.ID]
		if !asked {
			continue
		}
		delete(costs, f.ID)
		if f.Mark != markLimited || !strings.Contains(f.Means, cost) || f.Fix == "" {
			t.Errorf("%s: %s, %q, %q; want %q", f.ID, f.Mark, f.Means, f.Fix, cost)
		}
	}
	if len(costs) > 0 {
		t.Errorf("no finding tells of %v", costs)
	}
}

var _ = testenv.Register("doctor behind a filter", func() {
	if err := testenv.RefuseRareCalls(); err != nil {
		panic(err)
	}
	run([]string{"doctor", "--json"}, os.Stdout, os.Stderr)
})

// TestDoctorKnowsEveryFeatureAndLimit holds its texts and what the library
// tells together.
func TestDoctorKnowsEveryFeatureAndLimit(t *testing.T) {
	s, err := mmap.Examine("")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Features {
		if a, known := aids[f.Name]; !known || a.with.en == "" || a.with.zh == "" || a.without.en == "" || a.without.zh == "" {
			t.Errorf("feature %q: %+v", f.Name, a)
		}
	}
	for _, l := range s.Limits {
		if b, known := bounds[l.Name]; !known || b.means.en == "" || b.means.zh == "" || b.fix == "" {
			t.Errorf("limit %q: %+v", l.Name, b.means)
		}
	}
	if len(aids) != len(s.Features) || len(bounds) != len(s.Limits) {
		t.Errorf("%d texts for %d features, %d for %d limits", len(aids), len(s.Features), len(bounds), len(s.Limits))
	}
}

func TestDoctorJSON(t *testing.T) {
	d := runDoctorJSON(t, t.TempDir())
	marks := []mark{markOK, markLimited, markMissing, markUnknown}
	seen := map[string]bool{}
	for _, f := range d.Findings {
		if !slices.Contains(marks, f.Mark) || f.Found == "" || f.Means == "" || seen[f.Section+f.ID] {
			t.Errorf("%+v", f)
		}
		seen[f.Section+f.ID] = true
	}
}

// good is a system on which nothing is wrong.
func good() *mmap.System {
	return &mmap.System{
		Features:   []mmap.Feature{{Name: "cachestat", Answer: mmap.Available}},
		Limits:     []mmap.Limit{{Name: "RLIMIT_MEMLOCK", Unit: "bytes", Known: true, Max: mmap.Unlimited, Hard: mmap.Unlimited}, {Name: "vm.max_map_count", Known: true, Max: 65530, Hard: 65530, Used: 20}},
		Overcommit: "heuristic", Transparent: "madvise", SharedHuge: "advise",
		HugePools:    []mmap.HugePool{{PageBytes: 2 << 20, Total: 2, Free: 1}},
		Capabilities: mmap.Capabilities{Known: true, IPCLock: true, SysAdmin: true, Fowner: true},
		Container:    mmap.Container{Seccomp: "none", RootFS: "ext4"},
		Place: &mmap.Place{FileSystem: "ext4", Free: 90, Total: 100, ReadAhead: 128 << 10, InPlace: mmap.Available, Shared: mmap.Available,
			Reserves: mmap.Available, CacheSeen: mmap.Available, CacheDropped: mmap.Available, StartsWriting: mmap.Available},
	}
}

// english is a run of words that no command has.
var english = regexp.MustCompile(`\b(the|or|it|that|as|in) [a-z]`)

// TestDoctorMarksWhatIsWrong breaks one thing at a time.
func TestDoctorMarksWhatIsWrong(t *testing.T) {
	for _, f := range diagnose(&console{lang: "en"}, good()) {
		if f.Mark != markOK {
			t.Errorf("of a system without faults: %+v", f)
		}
	}
	for _, row := range []struct {
		id    string
		want  mark
		fix   string
		spoil func(s *mmap.System)
	}{
		{"cachestat", markLimited, "seccomp", func(s *mmap.System) { s.Features[0].Answer = mmap.Refused }},
		{"cachestat", markMissing, "seccomp", func(s *mmap.System) { s.Features[0].Answer = mmap.Missing }},
		{"cachestat", markUnknown, "", func(s *mmap.System) { s.Features[0].Answer = mmap.NotKnown }},
		{"RLIMIT_MEMLOCK", markLimited, "ulimit -l", func(s *mmap.System) { s.Limits[0].Max, s.Capabilities.IPCLock = 0, false }},
		{"vm.max_map_count", markLimited, "sysctl vm.max_map_count", func(s *mmap.System) { s.Limits[1].Used = 60000 }},
		{"vm.max_map_count", markUnknown, "", func(s *mmap.System) { s.Limits[1].Known = false }},
		{"overcommit", markLimited, "sysctl", func(s *mmap.System) { s.Overcommit = "never" }},
		{"transparent", markMissing, "transparent_hugepage/enabled", func(s *mmap.System) { s.Transparent = "never" }},
		{"shared_huge", markUnknown, "", func(s *mmap.System) { s.SharedHuge = "" }},
		{"pool 2097152", markMissing, "nr_hugepages", func(s *mmap.System) { s.HugePools[0].Free = 0 }},
		{"CAP_FOWNER", markLimited, "", func(s *mmap.System) { s.Capabilities.Fowner = false }},
		{"seccomp", markLimited, "seccomp", func(s *mmap.System) { s.Container.Seccomp = "filter" }},
		{"root file system", markLimited, "volume", func(s *mmap.System) { s.Container.RootFS = "overlay" }},
		{"in place", markMissing, "WriteAt", func(s *mmap.System) { s.Place.InPlace = mmap.Missing }},
		{"in place", markUnknown, "", func(s *mmap.System) { s.Place.InPlace = mmap.NotKnown }},
		{"noexec", markLimited, "remount,exec", func(s *mmap.System) { s.Place.NoExec = true }},
		{"read only", markLimited, "remount,rw", func(s *mmap.System) { s.Place.ReadOnly = true }},
		{"free", markLimited, "", func(s *mmap.System) { s.Place.Free = 1 }},
		{"read-ahead", markLimited, "blockdev", func(s *mmap.System) { s.Place.ReadAhead = 8 << 20 }},
		{"cache dropped", markMissing, "", func(s *mmap.System) { s.Place.CacheDropped = mmap.Missing }},
		{"probe", markLimited, "", func(s *mmap.System) { s.Place.ProbeError = "permission denied" }},
	} {
		s := good()
		row.spoil(s)
		zh := diagnose(&console{lang: "zh"}, s)
		i := slices.IndexFunc(zh, func(f finding) bool { return f.ID == row.id })
		if i < 0 {
			t.Errorf("%s: nothing found", row.id)
			continue
		}
		if english.MatchString(zh[i].Fix) {
			t.Errorf("%s: English in a Chinese answer: %s", row.id, zh[i].Fix)
		}
		if f := diagnose(&console{lang: "en"}, s)[i]; f.Mark != row.want || !strings.Contains(f.Fix, row.fix) {
			t.Errorf("%s: want %s and a fix with %q: %+v", row.id, row.want, row.fix, f)
		}
	}
}

// TestDoctorChangesWithTheFileSystem compares a disk with memory.
func TestDoctorChangesWithTheFileSystem(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	markAt := func(dir, id string) mark {
		for _, f := range runDoctorJSON(t, dir).Findings {
			if f.ID == id {
				return f.Mark
			}
		}
		return ""
	}
	if got := markAt(testenv.DiskDir(t), "cache dropped"); got != markOK {
		t.Errorf("on a disk: %q", got)
	}
	if got := markAt(testenv.TmpfsDir(t), "cache dropped"); got != markMissing {
		t.Errorf("on tmpfs: %q", got)
	}
}

func TestDoctorNeedsAPathThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing")
	if _, errOut := runDoctor(t, 1, path); !strings.Contains(errOut, path) {
		t.Errorf("%q does not name the path", errOut)
	}
	runDoctor(t, 2, "a", "b")
}

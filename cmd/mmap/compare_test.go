package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"4096": 4096, "100k": 100 << 10, "100K": 100 << 10, "64MiB": 64 << 20, "64mb": 64 << 20,
		"1G": 1 << 30, "1.5G": 3 << 29, "0": 0, "12B": 12,
	} {
		if got, ok := parseSize(in); !ok || got != want {
			t.Errorf("%q is %d, %v; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "k", "-1", "1T", "0x10", "1e9", "12 k", "+4k", "4kk", "Inf", "NaN", "99999999999999999999G", "1.2.3"} {
		if got, ok := parseSize(in); ok {
			t.Errorf("%q was taken for %d bytes", in, got)
		}
	}
}

// Every way to read must find the same sum in every block, whatever the order,
// the length of the last block and the rest of the file.
func TestEveryMethodReadsTheBytes(t *testing.T) {
	for _, size := range []int{4096, 4097, 65536 + 13, 3*4096 - 1} {
		s, err := makeSubject(t.Context(), testenv.DiskDir(t), size)
		if err != nil {
			t.Fatal(err)
		}
		defer s.control.Close()
		content, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range readingMethods {
			for _, block := range []int{512, 4096, 65536} {
				session, err := m.open(s.path, size, block)
				if err != nil {
					t.Fatal(err)
				}
				for _, off := range []int{size / block * block, 0, size / block / 2 * block} { // no order
					n := min(block, size-off)
					want := sumBytes(content[off : off+n])
					if known, _ := s.sum(int64(off), n); known != want {
						t.Errorf("the sample's sum of [%d, +%d) is %#x, its bytes' is %#x", off, n, known, want)
					}
					if got, err := session.sum(int64(off), n); err != nil || got != want {
						t.Errorf("%s of [%d, +%d) of %d: sum %#x, %v; want %#x", m.name, off, n, size, got, err, want)
					}
				}
				if err := session.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestScatter(t *testing.T) {
	for _, row := range []struct{ count, most, want int }{{1, 10, 1}, {10, 10, 10}, {1000, 10, 10}} {
		g := group{block: 512}
		g.scatter(row.count, row.most)
		slices.Sort(g.blocks)
		if n := len(slices.Compact(g.blocks)); n != row.want || g.blocks[0] < 0 || g.blocks[n-1] >= int64(row.count*512) {
			t.Errorf("%d of %d blocks: %v", row.most, row.count, g.blocks)
		}
	}
}

func TestSumTellsBytesApart(t *testing.T) {
	p := make([]byte, 77)
	fillSample(p, 0)
	want := sumBytes(p)
	for i := range p {
		p[i]++
		if sumBytes(p) == want {
			t.Errorf("another byte at %d does not show in the sum", i)
		}
		p[i]--
	}
}

// compareJSON runs the command until it has had time for a whole round.
func compareJSON(t *testing.T, what string, more ...string) comparison {
	t.Helper()
	for limit := time.Second; ; limit *= 2 {
		var out, errOut bytes.Buffer
		args := append([]string{"compare", what, "--json", "--lang", "en", "--time", limit.String()}, more...)
		if code := run(args, &out, &errOut); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errOut.String())
		}
		c := decodeComparison(t, out.Bytes())
		if c.Rounds > 0 || limit > time.Minute {
			return c
		}
	}
}

func decodeComparison(t *testing.T, text []byte) (c comparison) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return c
}

func TestCompareSample(t *testing.T) {
	dir := testenv.DiskDir(t)
	t.Setenv("TMPDIR", dir)
	c := compareJSON(t, "256k")

	if c.Schema != compareSchema || !c.File.Sample || c.File.Measured != 256<<10 || c.Interrupted {
		t.Errorf("schema %q, file %+v, interrupted %v", c.Schema, c.File, c.Interrupted)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	var ids []string
	for _, v := range c.Claims {
		ids = append(ids, v.ID)
		if v.Verdict == notMeasured || len(v.Measured) == 0 || v.SaidMmap == "" || v.SaidRead == "" {
			t.Errorf("row %s was not measured: %+v", v.ID, v)
		}
	}
	if want := []string{"copies", "file-size", "complexity", "sharing", "memory", "sync"}; !slices.Equal(ids, want) {
		t.Errorf("rows %v, want %v", ids, want)
	}
	if len(c.Crossovers) != 2 {
		t.Errorf("crossovers %+v: want against ReadFile and read", c.Crossovers)
	}
	for _, method := range readingMethods {
		for _, cache := range []string{"warm", "cold"} {
			for _, order := range []string{"sequential", "random"} {
				res := c.find(method.name, cache, order)
				if res == nil {
					t.Errorf("%s %s %s was not measured", cache, order, method.name)
					continue
				}
				checkCell(t, *res)
			}
		}
	}
}

// checkCell checks what must be so whatever the machine's speed.
func checkCell(t *testing.T, res cellResult) {
	t.Helper()
	name := fmt.Sprintf("%s %s %s", res.Cache, res.Order, res.Method)
	s := res.NS
	if s.Runs < 1 || s.Min <= 0 || s.Min > s.Q1 || s.Q1 > s.Median || s.Median > s.Q3 || s.Q3 > s.Max {
		t.Errorf("%s: no distribution: %+v", name, *s)
	}
	if !res.Verified {
		t.Errorf("%s: the cache's state was not verified, on a file of our own", name)
	}
	if (res.AgainNS != nil) != (res.Cache == "warm") {
		t.Errorf("%s: second pass %v", name, res.AgainNS)
	}
	whole := int64(256 << 10) // 64 blocks of 4 KiB are the whole file too
	got := *res.CopiedKernel + *res.CopiedProgram
	switch res.Method {
	case "slice":
		if got != 0 {
			t.Errorf("%s: %d bytes copied, want none", name, got)
		}
	case "View": // brings in what is not known to be in memory, each page once
		if got > whole || res.Cache == "cold" && got == 0 {
			t.Errorf("%s: %d bytes copied, of %d", name, got, whole)
		}
	default:
		if got != whole {
			t.Errorf("%s: %d bytes copied, want %d", name, got, whole)
		}
	}
	if res.CopiesAgree != nil && !*res.CopiesAgree {
		t.Errorf("%s: the kernel copied %d bytes, which is not what the method means to copy", name, *res.CopiedKernel)
	}
	blocks := int64(res.Blocks)
	most := blocks
	if res.Cache == "cold" { // one call begins to read, another waits
		most *= 2
	}
	if mapping := slices.Contains([]string{"slice", "View", "ReadAt"}, res.Method); mapping && *res.OtherCalls != 2 {
		t.Errorf("%s: %d calls beside reading, want 2", name, *res.OtherCalls)
	} else if mapping && res.ReadCalls != nil && (res.Method == "slice" && *res.ReadCalls != 0 || *res.ReadCalls > most) {
		t.Errorf("%s: %d read calls for %d blocks", name, *res.ReadCalls, blocks)
	} else if (res.Method == "pread" || res.Method == "read") && *res.ReadCalls != blocks {
		t.Errorf("%s: %d read calls for %d blocks", name, *res.ReadCalls, blocks)
	}
	if res.Cache == "cold" && res.Fetched != nil && *res.Fetched < whole {
		t.Errorf("%s: %d bytes came from storage, of %d that were not in memory", name, *res.Fetched, whole)
	}
}

// A given file stays as it is, and a larger one is measured in part.
func TestCompareFileIsOnlyRead(t *testing.T) {
	path := filepath.Join(testenv.DiskDir(t), "64k") // a file that is called like a size
	content := bytes.Repeat([]byte("some text\n"), 1000)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	c := compareJSON(t, path)
	if c.File.Sample || c.File.Path != path || c.File.Measured != len(content) {
		t.Errorf("file %+v", c.File)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the file has changed: %v", err)
	}
}

func TestPartOfAFile(t *testing.T) {
	path := filepath.Join(testenv.DiskDir(t), "file")
	if err := os.WriteFile(path, make([]byte, 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := givenSubject(path, 8192)
	if err != nil {
		t.Fatal(err)
	}
	defer s.control.Close()
	if s.size != 8192 || s.file != 10000 {
		t.Errorf("%d of %d bytes are measured, want 8192 of 10000", s.size, s.file)
	}
	r := newTestRig(t, s)
	g := r.groups[0]
	for _, c := range g.cells {
		if err := r.measure(g, c); err != nil {
			t.Error(err)
		}
		if res := g.result(c); (res.NotMeasured != "") != c.method.wholeOnly {
			t.Errorf("%s of a part: not measured %q", c.method.name, res.NotMeasured)
		}
	}
}

// newTestRig plans the cells of one subject, without the crossovers.
func newTestRig(t *testing.T, s *subject) *rig {
	t.Helper()
	r := &rig{console: &console{out: &bytes.Buffer{}, err: &bytes.Buffer{}, lang: "en"}, opt: compareOptions{time: time.Minute},
		start: time.Now(), methods: readingMethods, main: s, meter: newReadMeter()}
	t.Cleanup(r.meter.close)
	if err := r.plan(); err != nil {
		t.Fatal(err)
	}
	return r
}

// liar reads well and adds up wrong.
type liar struct{ session }

func (l liar) sum(off int64, n int) (uint64, error) {
	s, err := l.session.sum(off, n)
	return s ^ 1, err
}

func TestWrongBytesEndTheComparison(t *testing.T) {
	dir := testenv.DiskDir(t)
	t.Setenv("TMPDIR", dir)
	methods := slices.Clone(readingMethods)
	methods[3] = method{name: "liar", open: func(path string, size, block int) (session, error) {
		s, err := openPread(path, size, block)
		return liar{s}, err
	}}
	var out bytes.Buffer
	c := &console{out: &out, err: &bytes.Buffer{}, lang: "en"}
	err := runCompare(t.Context(), c, "64k", compareOptions{time: time.Minute}, methods)
	if !errors.Is(err, errWrongSum) || !strings.Contains(err.Error(), "liar") {
		t.Errorf("wrong bytes ended as %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("a report was printed in spite of it:\n%s", out.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// While another mapping holds the pages, nothing may be called cold.
func TestColdIsNotClaimedUnverified(t *testing.T) {
	s, err := makeSubject(t.Context(), testenv.DiskDir(t), 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer s.control.Close()
	other, err := mmap.OpenFile(s.path, mmap.Options{Populate: true})
	if err != nil {
		t.Fatal(err)
	}
	r := newTestRig(t, s)
	measureAll := func() {
		for _, g := range r.groups {
			for _, c := range g.cells {
				if err := r.measure(g, c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	measureAll()
	for _, g := range r.groups {
		for _, c := range g.cells {
			if res := g.result(c); (res.NS == nil) != g.cold || (res.NotMeasured != "") != g.cold {
				t.Errorf("%s, %s: time %v, not measured %q", res.Method, g.name("en"), res.NS, res.NotMeasured)
			}
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	measureAll()
	for _, g := range r.groups {
		for _, c := range g.cells {
			if res := g.result(c); res.NS == nil {
				t.Errorf("%s, %s: not measured after the mapping was gone: %s", res.Method, g.name("en"), res.NotMeasured)
			}
		}
	}
}

func TestNothingIsColdInMemory(t *testing.T) {
	path := filepath.Join(testenv.TmpfsDir(t), "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte{1}, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	c := compareJSON(t, path)
	for _, res := range c.Cells {
		cold := res.Cache == "cold"
		if (res.NS == nil) != cold || cold && !strings.Contains(res.NotMeasured, "nowhere but in memory") {
			t.Errorf("%s %s %s: time %v, not measured %q", res.Cache, res.Order, res.Method, res.NS, res.NotMeasured)
		}
	}
}

const otherUser = "compare as another user"

var _ = testenv.Register(otherUser, func() {
	os.Exit(run([]string{"compare", os.Getenv("COMPARED"), "--json", "--time", "1s"}, os.Stdout, os.Stderr))
})

// To a user who may only read the file, the kernel does not tell what of it is
// in memory: nothing may be called verified, and nothing cold.
func TestHiddenCache(t *testing.T) {
	testenv.Need(t, testenv.Nobody)
	dir := testenv.DiskDir(t)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte{1}, 64<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	res := testenv.Child{Name: otherUser, Nobody: true, Env: []string{"COMPARED=" + path, "TMPDIR=" + dir, "LC_ALL=C"}}.Run(t)
	if res.Code != 0 {
		t.Fatalf("exit code %d: %s", res.Code, res.Stderr)
	}
	for _, cell := range decodeComparison(t, []byte(res.Stdout)).Cells {
		if cell.Section != "blocks" {
			continue // of files of that user's own
		}
		if cell.Verified {
			t.Errorf("%s %s %s claims that the cache was verified", cell.Cache, cell.Order, cell.Method)
		}
		if cell.Cache == "cold" && cell.NS != nil {
			t.Errorf("%s %s claims to be cold", cell.Order, cell.Method)
		}
	}
}

// A printing that fails leaves no sample behind either.
type brokenPipe struct{ dir string }

func (w brokenPipe) Write([]byte) (int, error) {
	left, err := os.ReadDir(w.dir)
	return 0, fmt.Errorf("%d left behind: %v", len(left), err)
}

func TestSampleIsGoneBeforePrinting(t *testing.T) {
	dir := testenv.DiskDir(t)
	t.Setenv("TMPDIR", dir)
	c := &console{out: brokenPipe{dir}, err: &bytes.Buffer{}, lang: "en", json: true}
	err := runCompare(t.Context(), c, "4k", compareOptions{time: 100 * time.Millisecond}, readingMethods)
	if err == nil || err.Error() != "0 left behind: <nil>" {
		t.Errorf("while printing: %v", err)
	}
}

// Ctrl-C ends the comparison with what there is.
func TestInterrupted(t *testing.T) {
	dir := testenv.DiskDir(t)
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	methods := slices.Clone(readingMethods)
	for i := range methods {
		open := methods[i].open
		methods[i].open = func(path string, size, block int) (session, error) {
			if i == 2 {
				cancel()
			}
			return open(path, size, block)
		}
	}
	var out bytes.Buffer
	c := &console{out: &out, err: &bytes.Buffer{}, lang: "en", json: true}
	if err := runCompare(ctx, c, "64k", compareOptions{time: time.Minute}, methods); err != nil {
		t.Fatal(err)
	}
	got := decodeComparison(t, out.Bytes())
	measured := 0
	for _, res := range got.Cells {
		if res.NS != nil {
			measured++
		}
	}
	if !got.Interrupted || measured != 3 {
		t.Errorf("interrupted %v, %d cells measured; want the three until then", got.Interrupted, measured)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCompareFitsTheTerminal(t *testing.T) {
	t.Setenv("TMPDIR", testenv.DiskDir(t))
	for _, lang := range []string{"en", "zh"} {
		var out, errOut bytes.Buffer
		if code := run([]string{"compare", "1000000", "--time", "1s", "--lang", lang}, &out, &errOut); code != 0 {
			t.Fatalf("exit code %d: %s", code, errOut.String())
		}
		for line := range strings.Lines(out.String()) {
			if w := displayWidth(strings.TrimRight(line, "\n")); w > 80 {
				t.Errorf("%s: %d columns: %q", lang, w, line)
			}
			if strings.Contains(line, "%!") {
				t.Errorf("%s: a text and its values don't fit: %q", lang, line)
			}
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"no-such-file"}, "neither a file nor a size"},
		{[]string{"100"}, "4k or more"},
		{[]string{empty}, "empty"},
		{[]string{t.TempDir()}, "directory"},
		{[]string{"64k", "--time", "0s"}, "positive duration"},
		{[]string{"64k", "128k"}, "at most 1 arg"},
	} {
		var out, errOut bytes.Buffer
		if code := run(append([]string{"compare"}, row.args...), &out, &errOut); code == 0 || !strings.Contains(errOut.String(), row.says) {
			t.Errorf("%v: exit code %d, %q does not say %q", row.args, code, errOut.String(), row.says)
		}
	}
}

func TestFindCrossover(t *testing.T) {
	at := func(median float64) *spread { return &spread{Runs: 3, Q1: median - 1, Median: median, Q3: median + 1} }
	size := func(n int) *int { return &n }
	for _, row := range []struct {
		name         string
		slice, other []float64 // medians at 4, 8, 16, 32 KiB
		from         *int
		clear        bool
		ahead        int
	}{
		{"from one size on", []float64{50, 40, 30, 20}, []float64{10, 20, 40, 60}, size(16 << 10), true, 2},
		{"from the smallest on", []float64{1, 2, 3, 4}, []float64{10, 20, 40, 60}, size(4 << 10), true, 4},
		{"never", []float64{50, 50, 50, 50}, []float64{10, 20, 40, 50}, nil, false, 0},
		{"ahead once, not for good", []float64{50, 5, 50, 70}, []float64{10, 20, 40, 60}, nil, false, 1},
		{"lost again and won again", []float64{5, 50, 5, 50}, []float64{10, 20, 40, 60}, size(16 << 10), true, 3},
		{"won by less than the spread", []float64{50, 50, 50, 59}, []float64{10, 20, 40, 60}, size(32 << 10), false, 1},
	} {
		var cells []cellResult
		for i := range row.slice {
			for name, median := range map[string]float64{"slice": row.slice[i], "read": row.other[i]} {
				cells = append(cells, cellResult{Section: "sizes", Cache: "warm", Method: name, FileBytes: 4 << 10 << i, NS: at(median)})
			}
		}
		got, ok := findCrossover(cells, "warm", "read")
		if !ok || !reflect.DeepEqual(got.From, row.from) || got.Clear != row.clear || len(got.Ahead) != row.ahead {
			t.Errorf("%s: from %v, clear %v, ahead at %v", row.name, got.From, got.Clear, got.Ahead)
		}
		if _, ok := findCrossover(cells, "cold", "read"); ok {
			t.Errorf("%s: a crossover without measurements", row.name)
		}
	}
}

// docs/JSON.md describes every field.
func TestJSONIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/JSON.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## compare\n")
	if !ok {
		t.Fatal("docs/JSON.md has no section compare")
	}
	for _, key := range jsonKeys(reflect.TypeFor[comparison]()) {
		if !strings.Contains(section, "`"+key+"`") {
			t.Errorf("docs/JSON.md, compare: no `%s`", key)
		}
	}
}

// jsonKeys lists the names of a type's fields, at any depth.
func jsonKeys(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && f.IsExported() {
			keys = append(append(keys, name), jsonKeys(f.Type)...)
		}
	}
	return keys
}

package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	sorted := []float64{1, 2, 4, 8}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 3, 1: 8} {
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestEveryRowRunsInEveryRound(t *testing.T) {
	tab := table{title: "t", rows: []row{{name: "a", op: func() error { return nil }}, {name: "b", op: func() error { return nil }}}}
	if err := tab.measure(5, time.Microsecond); err != nil {
		t.Fatal(err)
	}
	for _, r := range tab.rows {
		if len(r.ns) != 5 {
			t.Errorf("row %s ran in %d rounds of 5", r.name, len(r.ns))
		}
	}
}

func TestAWrongRowFailsTheRun(t *testing.T) {
	wrong := errors.New("wrong bytes")
	tab := table{title: "t", rows: []row{{name: "liar", op: func() error { return wrong }}}}
	err := tab.measure(1, time.Microsecond)
	if !errors.Is(err, wrong) || !strings.Contains(err.Error(), "liar") {
		t.Errorf("a row that got wrong bytes ended as %v", err)
	}
}

func TestATrialShowsEveryFigure(t *testing.T) {
	n := 0.0
	tr := trial{title: "t", columns: []string{"a", "b"}, over: true, rows: []trialRow{
		{name: "x", run: func() ([]float64, error) { return []float64{1, 2}, nil }},
		{name: "y", run: func() ([]float64, error) { n++; return []float64{10 + n, 3}, nil }},
	}}
	if err := tr.measure(3); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	tr.print(&out)
	if want := "| y | 12 (11.5 to 12.5) | 3 (3 to 3) | 11 (10.5 to 11.5) |\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("the last line of %q is not %q", out.String(), want)
	}
	tr.columns = tr.columns[:1]
	if tr.measure(1) == nil {
		t.Error("a figure without a column was taken")
	}
}

func TestDistinctPlacesAreDistinctAndInside(t *testing.T) {
	seen := map[int]bool{}
	for _, v := range distinct(500, 600) {
		if v < 0 || v >= 600 || seen[v] {
			t.Errorf("%d came twice or lies outside", v)
		}
		seen[v] = true
	}
	if len(seen) != 500 {
		t.Errorf("%d places, want 500", len(seen))
	}
}

func TestSumLooksAtEveryByte(t *testing.T) {
	for _, n := range []int{8, 16, 40, 136, 4096} {
		p := make([]byte, n)
		for i := range p {
			p[i] = 1
			if sum(p) == 0 {
				t.Errorf("byte %d of %d does not count", i, n)
			}
			p[i] = 0
		}
	}
}

func TestSumIsThatOfThePlainLoop(t *testing.T) {
	for n := 0; n <= 1024; n += 8 {
		if p := pattern(n); sum(p) != sumPlain(p) {
			t.Errorf("%d bytes: %#x, by the plain loop %#x", n, sum(p), sumPlain(p))
		}
	}
}

func TestTwiceTheWorkInTheSameTimeIsASpeedUpOfTwo(t *testing.T) {
	lines := speedUps(&table{rows: []row{{name: "w, 1 at once", ns: []float64{5}}, {name: "w, 2 at once", ns: []float64{5}}}})
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "w: two do 2 ") {
		t.Errorf("got %q", lines)
	}
}

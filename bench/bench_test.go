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

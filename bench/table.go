package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// A table is rows that do the same work in different ways. The first row is
// what the others are compared with.
type table struct {
	title string
	rows  []row
	close []func() error // what was opened for the rows
}

// A row is one way. op does the work once, and fails if what it got is wrong.
type row struct {
	name string
	op   func() error

	count  int       // how often op runs in a slot
	ns     []float64 // for one op, by round
	allocs float64   // for one op
}

// measure runs every row once in every round, in turns.
func (t *table) measure(rounds int, slot time.Duration) error {
	for i := range t.rows {
		if err := t.rows[i].calibrate(slot); err != nil {
			return fmt.Errorf("%s: %s: %w", t.title, t.rows[i].name, err)
		}
	}
	for round := range rounds {
		for i := range t.rows {
			r := &t.rows[(i+round)%len(t.rows)]
			ns, err := r.run(r.count)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", t.title, r.name, err)
			}
			r.ns = append(r.ns, ns)
		}
	}
	return nil
}

// calibrate finds how often the op fits in a slot, and counts its allocations.
func (r *row) calibrate(slot time.Duration) error {
	for r.count = 1; ; r.count *= 2 {
		start := time.Now()
		if _, err := r.run(r.count); err != nil {
			return err
		}
		if time.Since(start) > slot/2 {
			break
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := r.run(r.count); err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(r.count)
	return nil
}

// run does the op n times and tells the nanoseconds for one.
func (r *row) run(n int) (float64, error) {
	start := time.Now()
	for range n {
		if err := r.op(); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n), nil
}

func (t *table) done() {
	for _, f := range t.close {
		f()
	}
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n| way | ns, median (quartiles) | times the first row, median (quartiles) | allocations |\n|---|---|---|---|\n", t.title)
	base := t.rows[0].ns
	for _, r := range t.rows {
		ratios := make([]float64, len(r.ns))
		for i := range ratios {
			ratios[i] = r.ns[i] / base[i]
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.0f |\n", r.name, spread(r.ns), spread(ratios), r.allocs)
	}
}

// spread spells the median and the quartiles with three digits or more.
func spread(values []float64) string {
	s := slices.Sorted(slices.Values(values))
	at := func(q float64) string {
		v := quantile(s, q)
		if v < 100 {
			return fmt.Sprintf("%.3g", v)
		}
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%s (%s to %s)", at(0.5), at(0.25), at(0.75))
}

// quantile lies between the two neighbours of its place in the sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

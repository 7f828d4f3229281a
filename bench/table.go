package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A table is rows that do the same work in different ways. The first row is
// what the others are compared with.
type table struct {
	title string
	rows  []row
	close []func() error          // what was opened for the rows
	notes func(t *table) []string // if not nil, what follows from the rows
}

// A row is one way. op does the work once, and fails if what it got is wrong.
type row struct {
	name   string
	before func() error // if not nil, goes before every op, which then runs once in a round; not timed
	op     func() error

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
	for r.count = 1; r.before == nil; r.count *= 2 {
		start := time.Now()
		if _, err := r.run(r.count); err != nil {
			return err
		}
		if time.Since(start) > slot/2 {
			break
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before) // and what a row with a before allocates there is counted too
	if _, err := r.run(r.count); err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(r.count)
	return nil
}

// run does the op n times and tells the nanoseconds for one.
func (r *row) run(n int) (float64, error) {
	if r.before != nil {
		if err := r.before(); err != nil {
			return 0, err
		}
	}
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
	fmt.Fprintf(w, "\n### %s\n\n| way | ns, median (quartiles) | ns over the first row | times the first row, median (quartiles) | allocations |\n|---|---|---|---|---|\n", t.title)
	base := t.rows[0].ns
	for _, r := range t.rows {
		ratios, over := make([]float64, len(r.ns)), make([]float64, len(r.ns))
		for i := range ratios {
			ratios[i], over[i] = r.ns[i]/base[i], r.ns[i]-base[i]
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %.0f |\n", r.name, spread(r.ns), spread(over), spread(ratios), r.allocs)
	}
	if t.notes == nil {
		return
	}
	for _, line := range t.notes(t) {
		fmt.Fprintf(w, "\n%s\n", line)
	}
}

// A trial is rows whose runs each give several figures. Its rows take turns like
// those of a table.
type trial struct {
	title   string
	columns []string
	rows    []trialRow
	over    bool // also show by how much the first figure exceeds that of the first row, in the same round
	ratio   bool // also show each figure as a multiple of the first row's, in the same round
	close   []func() error
	notes   func(t *trial) []string // if not nil, what follows from the rows
}

type trialRow struct {
	name string
	run  func() ([]float64, error)

	got [][]float64 // by column and round
}

func (t *trial) measure(rounds int) error {
	for round := range rounds {
		for i := range t.rows {
			r := &t.rows[(i+round)%len(t.rows)]
			figures, err := r.run()
			if err != nil {
				return fmt.Errorf("%s: %s: %w", t.title, r.name, err)
			}
			if len(figures) != len(t.columns) {
				return fmt.Errorf("%s: %s: %d figures for %d columns", t.title, r.name, len(figures), len(t.columns))
			}
			if r.got == nil {
				r.got = make([][]float64, len(figures))
			}
			for j, v := range figures {
				r.got[j] = append(r.got[j], v)
			}
		}
	}
	return nil
}

func (t *trial) done() {
	for _, f := range t.close {
		f()
	}
}

func (t *trial) print(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n| way |", t.title)
	for _, c := range t.columns {
		fmt.Fprintf(w, " %s |", c)
	}
	if t.over {
		fmt.Fprintf(w, " %s, over the first row |", t.columns[0])
	}
	fmt.Fprintf(w, "\n|---|%s", strings.Repeat("---|", len(t.columns)))
	if t.over {
		fmt.Fprint(w, "---|")
	}
	fmt.Fprintln(w)
	for i, r := range t.rows {
		fmt.Fprintf(w, "| %s |", r.name)
		for j, values := range r.got {
			fmt.Fprintf(w, " %s", spread(values))
			if t.ratio && i > 0 {
				ratios := make([]float64, len(values))
				for k, v := range values {
					ratios[k] = v / t.rows[0].got[j][k]
				}
				fmt.Fprintf(w, ", times %s", spread(ratios))
			}
			fmt.Fprint(w, " |")
		}
		if t.over {
			over := make([]float64, len(r.got[0]))
			for i, v := range r.got[0] {
				over[i] = v - t.rows[0].got[0][i]
			}
			fmt.Fprintf(w, " %s |", spread(over))
		}
		fmt.Fprintln(w)
	}
	if t.notes == nil {
		return
	}
	for _, line := range t.notes(t) {
		fmt.Fprintf(w, "\n%s\n", line)
	}
}

// spread spells the median and the quartiles with three digits or more.
func spread(values []float64) string {
	s := slices.Sorted(slices.Values(values))
	at := func(q float64) string {
		v := quantile(s, q)
		if -100 < v && v < 100 {
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

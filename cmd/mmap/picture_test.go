package main

import (
	"math"
	"testing"

	"github.com/memwright/mmap"
)

func TestResidencyStrip(t *testing.T) {
	for _, row := range []struct {
		name     string
		length   int64
		resident []mmap.Range
		cells    int
		want     string
	}{
		{"nothing is in memory", 100, nil, 10, ".........."},
		{"everything is", 100, []mmap.Range{{Off: 0, Len: 100}}, 10, "##########"},
		{"whole cells", 100, []mmap.Range{{Off: 20, Len: 30}}, 10, "..###....."},
		{"parts of cells", 100, []mmap.Range{{Off: 5, Len: 5}, {Off: 19, Len: 2}}, 10, "+--......."},
		{"two runs in one cell", 100, []mmap.Range{{Off: 0, Len: 3}, {Off: 5, Len: 3}}, 10, "+........."},
		{"two runs fill one cell", 100, []mmap.Range{{Off: 0, Len: 3}, {Off: 3, Len: 7}}, 10, "#........."},
		{"the end", 7, []mmap.Range{{Off: 6, Len: 1}}, 3, "..-"},
		{"less bytes than cells", 3, []mmap.Range{{Off: 1, Len: 1}}, 10, ".#."},
		{"no bytes", 0, nil, 10, ""},
		{"the longest file", math.MaxInt64, []mmap.Range{{Off: math.MaxInt64 - 1, Len: 1}}, 4, "...-"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := residencyStrip(row.length, row.resident, row.cells); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

package main

import (
	"strings"

	"github.com/memwright/mmap"
)

// residencyStrip draws which parts of length bytes are in memory, one
// character for each of at most cells equal parts:
//
//	.  nothing    -  some    +  half or more    #  everything
func residencyStrip(length int64, resident []mmap.Range, cells int) string {
	if length <= 0 || cells <= 0 {
		return ""
	}
	cells = int(min(int64(cells), length))
	strip := make([]byte, cells)
	next := 0
	for i := range strip {
		from, to := part(length, cells, i), part(length, cells, i+1)
		for next < len(resident) && resident[next].Off+resident[next].Len <= from {
			next++
		}
		var filled int64
		for _, r := range resident[next:] {
			if r.Off >= to {
				break
			}
			filled += min(to, r.Off+r.Len) - max(from, r.Off)
		}
		switch {
		case filled == 0:
			strip[i] = '.'
		case filled >= to-from:
			strip[i] = '#'
		case filled*2 >= to-from:
			strip[i] = '+'
		default:
			strip[i] = '-'
		}
	}
	return string(strip)
}

// part is where the i-th of cells equal parts begins, computed without
// overflow.
func part(length int64, cells, i int) int64 {
	whole, rest := length/int64(cells), length%int64(cells)
	return whole*int64(i) + rest*int64(i)/int64(cells)
}

// unknownStrip is drawn where the kernel hides what is in memory.
func unknownStrip(cells int) string { return strings.Repeat("?", cells) }

package main

import (
	"math"
	"os"
	"runtime"
	"slices"
	"time"
)

// compareSchema is the version of the document below; docs/JSON.md describes
// each field.
const compareSchema = "mmap-compare/1"

// A comparison is what --json prints.
type comparison struct {
	Schema      string         `json:"schema"`
	System      compareSystem  `json:"system"`
	File        compareFile    `json:"file"`
	Seconds     float64        `json:"seconds"`
	Rounds      int            `json:"rounds"` // whole ones
	Interrupted bool           `json:"interrupted"`
	Claims      []claimVerdict `json:"claims"`
	Cells       []cellResult   `json:"cells"`
	Crossovers  []crossover    `json:"crossovers"`
	NoSizes     string         `json:"sizes_not_measured,omitempty"` // why files of other sizes could not be made
	Trial       trial          `json:"trial"`

	groups []*group // for the tables
}

type compareSystem struct {
	Kernel     string `json:"kernel"`
	Platform   string `json:"platform"`
	PageBytes  int    `json:"page_bytes"`
	Processors int    `json:"processors"`
}

type compareFile struct {
	Path       string `json:"path"`
	FileSystem string `json:"file_system"`
	Bytes      int64  `json:"bytes"`
	Measured   int    `json:"measured_bytes"`
	Sample     bool   `json:"sample"` // made by this command, and removed
}

// A spread is the distribution of the repeated measurements of one thing, in
// nanoseconds.
type spread struct {
	Runs   int     `json:"runs"`
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	Max    float64 `json:"max"`
}

// spreadOf summarizes sorted values; it is nil where there are none.
func spreadOf(sorted []float64) *spread {
	if len(sorted) == 0 {
		return nil
	}
	return &spread{len(sorted), sorted[0], quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75), sorted[len(sorted)-1]}
}

// quantile lies between the two neighbours of its place in the sorted values.
func quantile(sorted []float64, q float64) float64 {
	i, rest := math.Modf(q * float64(len(sorted)-1))
	v := sorted[int(i)]
	if rest > 0 {
		v += rest * (sorted[int(i)+1] - v)
	}
	return v
}

// A cellResult is one way in one group. A pointer that is nil is a figure that
// nobody told.
type cellResult struct {
	Section     string  `json:"section"` // "blocks" or "sizes"
	Method      string  `json:"method"`
	Cache       string  `json:"cache"` // "warm" or "cold"
	Order       string  `json:"order"` // "sequential" or "random"
	BlockBytes  int     `json:"block_bytes"`
	Blocks      int     `json:"blocks"`
	FileBytes   int     `json:"file_bytes"`
	ReadBytes   int64   `json:"read_bytes"` // touched and checked
	NotMeasured string  `json:"not_measured,omitempty"`
	Verified    bool    `json:"cache_verified"`
	NS          *spread `json:"ns"`
	AgainNS     *spread `json:"again_ns"` // the same blocks once more before closing

	ReadCalls     *int64 `json:"read_calls"`
	ReadCallsFrom string `json:"read_calls_from,omitempty"` // "kernel" or "program"
	OtherCalls    *int64 `json:"other_calls"`               // mmap, munmap, lseek: the program counts them
	ShortReads    *int64 `json:"short_reads"`
	MinorFaults   *int64 `json:"minor_faults"`
	MajorFaults   *int64 `json:"major_faults"`
	CopiedKernel  *int64 `json:"copied_by_kernel_bytes"`
	CopiedProgram *int64 `json:"copied_by_program_bytes"`
	CopiesAgree   *bool  `json:"copies_confirmed"` // the kernel's count is what the method means to copy
	Fetched       *int64 `json:"fetched_bytes"`    // from storage
	MappedMemory  *int64 `json:"mapped_memory_bytes"`
	OwnMemory     *int64 `json:"own_memory_bytes"`
	Buffer        *int64 `json:"buffer_bytes"` // what the method asked the heap for
}

// known is a pointer to v, or nil where v is unknownCount.
func known(v int64) *int64 {
	if v == unknownCount {
		return nil
	}
	return &v
}

// result is what is told of a cell. Counts come from its last run, memory from
// its first.
func (g *group) result(c *measurement) cellResult {
	res := cellResult{
		Section: "blocks", Method: c.method.name, Cache: "warm", Order: "sequential",
		BlockBytes: g.block, Blocks: len(g.blocks), FileBytes: g.of.size, ReadBytes: g.bytes,
	}
	if g.bySize {
		res.Section = "sizes"
	}
	if g.cold {
		res.Cache = "cold"
	}
	if g.random {
		res.Order = "random"
	}
	res.NS = spreadOf(slices.Sorted(slices.Values(c.ns)))
	res.AgainNS = spreadOf(slices.Sorted(slices.Values(c.again)))
	if res.NS == nil {
		if res.NotMeasured = c.missing; res.NotMeasured == "" {
			res.NotMeasured = "the time was over"
		}
		return res
	}
	res.Verified = c.verified
	res.ReadCalls, res.ReadCallsFrom = known(c.seen.reads), "kernel"
	if res.ReadCalls == nil {
		res.ReadCalls, res.ReadCallsFrom = known(c.did.reads), "program"
	}
	res.OtherCalls, res.ShortReads, res.Buffer = &c.did.others, &c.did.short, &c.did.buffer
	res.MinorFaults, res.MajorFaults = known(c.seen.minor), known(c.seen.major)
	byKernel, byProgram := c.did.copied, c.did.byUser
	res.CopiedProgram = &byProgram
	if res.CopiedKernel = known(c.seen.copied); res.CopiedKernel != nil {
		agree := c.seen.copied == byKernel
		res.CopiesAgree = &agree
	} else {
		res.CopiedKernel = &byKernel
	}
	res.Fetched = known(c.seen.fetched)
	res.MappedMemory, res.OwnMemory = known(c.files), known(c.own)
	return res
}

// A crossover is the file size from which the bare slice of a mapping, map and
// unmap included, is faster than another way to read the whole file.
type crossover struct {
	Against  string `json:"against"`
	Cache    string `json:"cache"`
	From     *int   `json:"from_bytes"` // at this size and every larger one; nil: at none
	Smallest int    `json:"smallest_measured_bytes"`
	Largest  int    `json:"largest_measured_bytes"`
	Clear    bool   `json:"clear"`       // at From the quartiles don't overlap
	Ahead    []int  `json:"ahead_bytes"` // every size where its median is smaller

	// Pairs are the medians that it is drawn from, by size.
	Pairs []sizePair `json:"pairs"`
}

type sizePair struct {
	FileBytes int     `json:"file_bytes"`
	Slice     float64 `json:"slice_ns"`
	Other     float64 `json:"other_ns"`
}

// findCrossovers draws them from the cells of whole files.
func findCrossovers(cells []cellResult) []crossover {
	var list []crossover
	for _, cache := range []string{"warm", "cold"} {
		for _, against := range []string{"ReadFile", "read"} {
			if c, ok := findCrossover(cells, cache, against); ok {
				list = append(list, c)
			}
		}
	}
	return list
}

func findCrossover(cells []cellResult, cache, against string) (c crossover, ok bool) {
	c = crossover{Against: against, Cache: cache, Ahead: []int{}}
	bySize := map[int]map[string]*spread{}
	var sizes []int
	for _, res := range cells {
		if res.Section != "sizes" || res.Cache != cache || res.NS == nil {
			continue
		}
		if bySize[res.FileBytes] == nil {
			bySize[res.FileBytes] = map[string]*spread{}
			sizes = append(sizes, res.FileBytes)
		}
		bySize[res.FileBytes][res.Method] = res.NS
	}
	slices.Sort(sizes)
	for _, size := range sizes {
		slice, other := bySize[size]["slice"], bySize[size][against]
		if slice == nil || other == nil {
			continue
		}
		if len(c.Pairs) == 0 {
			c.Smallest = size
		}
		c.Largest = size
		c.Pairs = append(c.Pairs, sizePair{size, slice.Median, other.Median})
		if slice.Median >= other.Median {
			c.From, c.Clear = nil, false
			continue
		}
		c.Ahead = append(c.Ahead, size)
		if c.From == nil {
			c.From, c.Clear = &size, slice.Q3 < other.Q1
		}
	}
	return c, len(c.Pairs) > 0
}

// report draws up what was measured.
func (r *rig) report(t trial, interrupted bool) *comparison {
	c := &comparison{
		Schema: compareSchema,
		System: compareSystem{kernelRelease(), runtime.GOOS + "/" + runtime.GOARCH, os.Getpagesize(), runtime.NumCPU()},
		File:   compareFile{Path: r.main.path, Bytes: r.main.file, Measured: r.main.size, Sample: r.main.made},
		Rounds: r.done, Seconds: time.Since(r.start).Seconds(), Interrupted: interrupted, Trial: t, groups: r.groups,
	}
	if r.noSizes != nil {
		c.NoSizes = r.noSizes.Error()
	}
	if on, err := fileSystemOf(r.main.path); err == nil {
		c.File.FileSystem = on.kind
	}
	for _, g := range r.groups {
		for _, cell := range g.cells {
			c.Cells = append(c.Cells, g.result(cell))
		}
	}
	c.Crossovers = findCrossovers(c.Cells)
	c.Claims = c.judge(r.console)
	return c
}

// find is the cell of a way that was measured, nil where it was not. Of several
// block sizes it is the first.
func (c *comparison) find(method, cache, order string) *cellResult {
	for i := range c.Cells {
		res := &c.Cells[i]
		if res.Section == "blocks" && res.Method == method && res.Cache == cache && res.Order == order && res.NS != nil {
			return res
		}
	}
	return nil
}

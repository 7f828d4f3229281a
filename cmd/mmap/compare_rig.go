package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// A rig holds what a comparison measures with.
type rig struct {
	*console
	opt     compareOptions
	start   time.Time
	methods []method

	dir     string // for samples; removed at the end
	noDir   error  // why there is none
	main    *subject
	sizes   []*subject // of other sizes, for the crossovers
	noSizes error      // why there are none
	meter   *readMeter

	groups []*group
	done   int       // whole rounds
	shown  time.Time // when progress was shown last
}

// A group is the cells that read the same blocks of the same subject, and so
// can be compared.
type group struct {
	of      *subject
	bySize  bool // one of the crossovers' groups
	cold    bool
	random  bool
	block   int
	blocks  []int64 // their offsets, in the order of reading
	bytes   int64
	want    uint64 // the sum of the blocks
	repeats int    // the whole job is done so often for one time, as it is short
	cells   []*measurement
}

// A measurement is a cell: one method in one group.
type measurement struct {
	method   method
	ns       []float64 // for one whole job: open, every block, close
	again    []float64 // for every block once more, before closing; warm blocks only
	did      work
	seen     counts
	files    int64 // memory held before closing: pages of files
	own      int64 // and the process's own
	missing  string
	verified bool // the kernel confirmed the cache's state each time
}

const (
	randomSeed   = 1
	scanBuffer   = 64 << 10 // the reused buffer of the crossovers
	randomBlocks = 2048     // how many blocks a random cell reads
	fullBlocks   = 16384    // the same with --full
)

// prepare makes what is measured, and plans the cells.
func (r *rig) prepare(ctx context.Context, what string) (err error) {
	r.meter = newReadMeter()
	r.dir, r.noDir = makeSampleDir(sampleDirs())
	if r.main, err = r.subjectOf(ctx, what); err != nil {
		return err
	}
	if r.noSizes = r.noDir; r.dir != "" {
		r.noSizes = r.makeSizes(ctx)
	}
	return r.plan()
}

func (r *rig) close() {
	for _, s := range append(r.sizes, r.main) {
		if s != nil {
			s.control.Close()
		}
	}
	if r.dir != "" {
		os.RemoveAll(r.dir)
	}
	if r.meter != nil {
		r.meter.close()
	}
}

// makeSizes makes the files of the crossovers: 4 KiB to the main subject's size.
func (r *rig) makeSizes(ctx context.Context) error {
	step := 2 // bits: each size is four times the last
	if r.opt.full {
		step = 1
	}
	for size := int64(4096); size <= int64(r.main.size); size <<= step {
		if r.main.made && int(size) == r.main.size {
			r.sizes = append(r.sizes, nil) // the main sample serves
			continue
		}
		s, err := makeSubject(ctx, r.dir, int(size))
		if err != nil {
			return err
		}
		r.sizes = append(r.sizes, s)
	}
	return nil
}

// plan lists the groups: random and in sequence, warm and cold, by block size,
// and then whole files by size.
func (r *rig) plan() error {
	sequential, random := []int{64 << 10}, []int{4 << 10}
	states := []bool{false}
	if r.opt.full {
		sequential = []int{4 << 10, 64 << 10, 1 << 20}
		random = []int{64, 512, 4 << 10, 64 << 10}
		states = []bool{false, true}
	}
	for _, cold := range []bool{false, true} {
		for _, block := range sequential {
			if err := r.add(&group{of: r.main, cold: cold, block: block}); err != nil {
				return err
			}
		}
		for _, block := range random {
			if err := r.add(&group{of: r.main, cold: cold, block: block, random: true}); err != nil {
				return err
			}
		}
	}
	for _, cold := range states {
		for _, s := range r.sizes {
			if s == nil {
				s = r.main
			}
			if err := r.add(&group{of: s, cold: cold, block: scanBuffer, bySize: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// bySizeMethods are the ways that the crossovers are found between.
var bySizeMethods = []string{"slice", "View", "read", "ReadFile"}

// add completes a group: its blocks, what their sum must be, and its cells.
func (r *rig) add(g *group) error {
	g.block = min(g.block, g.of.size)
	count := (g.of.size + g.block - 1) / g.block
	switch {
	case !g.random:
		for i := range count {
			g.blocks = append(g.blocks, int64(i*g.block))
		}
	case r.opt.full:
		g.scatter(count, fullBlocks)
	default:
		g.scatter(count, randomBlocks)
	}
	if err := g.expect(); err != nil {
		return err
	}
	g.repeats = 1
	if g.bySize && !g.cold { // a short job is lost in the clock's own cost
		g.repeats = max(1, 1<<20/g.of.size)
	}
	for _, m := range r.methods {
		if g.bySize && !slices.Contains(bySizeMethods, m.name) {
			continue
		}
		g.cells = append(g.cells, &measurement{method: m, verified: true})
	}
	r.groups = append(r.groups, g)
	return nil
}

// scatter chooses blocks of all count, at most so many, each at most once.
func (g *group) scatter(count, most int) {
	source := rand.New(rand.NewPCG(randomSeed, uint64(g.block)))
	chosen := map[int]bool{}
	for len(chosen) < min(count, most) {
		if i := source.IntN(count); !chosen[i] {
			chosen[i] = true
			g.blocks = append(g.blocks, int64(i*g.block))
		}
	}
}

// expect finds the sum of the blocks.
func (g *group) expect() (err error) {
	if len(g.blocks)*g.block >= g.of.size { // each byte once, in whatever order
		g.bytes = int64(g.of.size)
		g.want, err = g.of.sum(0, g.of.size)
		return err
	}
	for _, off := range g.blocks {
		n := g.length(off)
		sum, err := g.of.sum(off, n)
		if err != nil {
			return err
		}
		g.want += sum
		g.bytes += int64(n)
	}
	return nil
}

func (g *group) length(off int64) int { return min(g.block, g.of.size-int(off)) }

// rounds measures until the time is over or ctx ends.
func (r *rig) rounds(ctx context.Context) error {
	runtime.GC()
	for ; ; r.done++ {
		for _, g := range r.groups {
			for i := range g.cells {
				if ctx.Err() != nil || time.Since(r.start) > r.opt.time {
					r.clearProgress()
					return nil
				}
				r.progress(g)
				if err := r.measure(g, g.cells[(i+r.done)%len(g.cells)]); err != nil {
					r.clearProgress()
					return err
				}
			}
		}
	}
}

// measure does one cell once. A state of the cache that can't be had is noted
// in the cell; wrong bytes end the comparison.
func (r *rig) measure(g *group, c *measurement) error {
	if c.method.wholeOnly && int64(g.of.size) != g.of.file {
		c.missing = fmt.Sprintf("it reads the whole file, and only the first %s are measured", bytesText(int64(g.of.size)))
		return nil
	}
	first := len(c.ns) == 0
	if first {
		debug.FreeOSMemory() // so that new memory is seen to be new
	} else {
		runtime.GC()
	}
	if g.cold {
		if err := g.of.drop(); err != nil {
			c.missing = "not cold: " + err.Error()
			return nil
		}
	} else if verified, err := g.of.fill(); err != nil {
		c.missing = "not warm: " + err.Error()
		return nil
	} else if !verified {
		c.verified = false
	}
	c.missing = ""

	files, own := int64(0), int64(0)
	if first {
		files, own = processMemory()
	}
	before := r.meter.start()
	start := time.Now()
	for i := range g.repeats {
		s, err := c.method.open(g.of.path, g.of.size, g.block)
		if err != nil {
			return g.failed(c, err)
		}
		if err := g.read(s); err != nil {
			return g.failed(c, errors.Join(err, s.Close()))
		}
		if i+1 < g.repeats {
			if err := s.Close(); err != nil {
				return g.failed(c, err)
			}
			continue
		}
		took := time.Since(start)
		c.seen, c.did = r.meter.since(before), s.work()
		if first {
			c.files, c.own = memorySince(files, own)
		}
		if !g.cold && !g.bySize {
			start = time.Now()
			if err := g.read(s); err != nil {
				return g.failed(c, errors.Join(err, s.Close()))
			}
			c.again = append(c.again, float64(time.Since(start).Nanoseconds()))
		}
		start = time.Now()
		if err := s.Close(); err != nil {
			return g.failed(c, err)
		}
		took += time.Since(start)
		c.ns = append(c.ns, float64(took.Nanoseconds())/float64(g.repeats))
	}
	c.seen.perJob(int64(g.repeats))
	return nil
}

// perJob divides by the number of jobs that were counted together.
func (c *counts) perJob(n int64) {
	for _, v := range []*int64{&c.minor, &c.major, &c.reads, &c.copied, &c.fetched} {
		if *v != unknownCount {
			*v /= n
		}
	}
}

func memorySince(files, own int64) (int64, int64) {
	f, o := processMemory()
	if f == unknownCount || files == unknownCount {
		return unknownCount, unknownCount
	}
	return max(0, f-files), max(0, o-own)
}

// read reads the group's blocks, adds them up and checks the sum.
func (g *group) read(s session) error {
	total := uint64(0)
	for _, off := range g.blocks {
		n, err := s.sum(off, g.length(off))
		if err != nil {
			return err
		}
		total += n
	}
	if total != g.want {
		return errWrongSum
	}
	return nil
}

var errWrongSum = errors.New("the bytes that it read are not the file's: the sum is wrong (or somebody has changed the file meanwhile)")

func (g *group) failed(c *measurement, err error) error {
	return fmt.Errorf("compare: %s, %s: %w", c.method.name, g.name("en"), err)
}

// progress tells a person what is being done, a few times a second.
func (r *rig) progress(g *group) {
	if !isTerminal(r.err) || time.Since(r.shown) < 200*time.Millisecond {
		return
	}
	r.shown = time.Now()
	fmt.Fprintf(r.err, "\r\x1b[K%s", r.say(
		fmt.Sprintf("round %d, %.0f of %.0f s: %s", r.done+1, time.Since(r.start).Seconds(), r.opt.time.Seconds(), g.name("en")),
		fmt.Sprintf("第 %d 轮，%.0f / %.0f 秒：%s", r.done+1, time.Since(r.start).Seconds(), r.opt.time.Seconds(), g.name("zh"))))
}

func (r *rig) clearProgress() {
	if isTerminal(r.err) {
		fmt.Fprint(r.err, "\r\x1b[K")
	}
}

// name says what a group reads.
func (g *group) name(lang string) string {
	state, order := "Warm", "in sequence"
	if g.cold {
		state = "Cold"
	}
	if g.random {
		order = "at random"
	}
	if lang == "zh" {
		state = map[string]string{"Warm": "热（已在内存）", "Cold": "冷（从磁盘读）"}[state]
		order = map[string]string{"in sequence": "顺序", "at random": "随机"}[order]
		return fmt.Sprintf("%s，%s，%d 块，每块 %s", state, order, len(g.blocks), bytesText(int64(g.block)))
	}
	blocks := "blocks"
	if len(g.blocks) == 1 {
		blocks = "block"
	}
	return fmt.Sprintf("%s, %s, %d %s of %s", state, order, len(g.blocks), blocks, bytesText(int64(g.block)))
}

package agree

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A pair is two machines that carry out the same program. The first leads: it
// chooses where a kernel may.
type pair struct {
	lead   machine
	follow *engine
	alive  []int // processes that have not ended
	told   *census
	tails  [objects]bool // who may have bytes beyond the end
	states [2][]pageState

	inGo      bool // the lead is a Go process
	reclaimed bool // pages may have been taken from memory

	program []step // so far
	results []result
}

const mostProcesses = 4

// step carries s out in both machines and tells how they differ, if they do.
// A step that makes no sense now is passed over.
func (p *pair) step(s step) (difference string) {
	if looks[s.call] || s.call == "fork" && len(p.alive) == mostProcesses || s.call == "exit" && len(p.alive) == 1 {
		return ""
	}
	proc := p.alive[s.proc%len(p.alive)]
	if p.inGo && !s.inGo() {
		return ""
	}
	if what := p.open(&s, proc); what != "" {
		p.told.passOver(what)
		return ""
	}
	want := p.lead.do(proc, s)
	p.follow.chosen = 0
	if (s.call == "mmap" || s.call == "mremap") && want.errno == 0 {
		p.follow.chosen = want.value
	}
	got := p.follow.do(proc, s)
	if want.fault.signal == unknownSignal && got.fault != (fault{}) {
		got.fault.signal, got.fault.code = unknownSignal, 0
	}
	p.program = append(p.program, s)
	p.results = append(p.results, want)
	p.told.add(s, want)
	if !same(s, want, got) {
		return fmt.Sprintf("the engine says %s", got.text(s, p.follow))
	}
	switch s.call {
	case "fork":
		p.alive = append(p.alive, int(want.value))
		if d := p.look(int(want.value)); d != "" {
			return d
		}
	case "exit":
		p.alive = slices.DeleteFunc(p.alive, func(i int) bool { return i == proc })
		return ""
	case "truncate": // takes pages from everybody
		return p.lookAll()
	}
	if d := p.look(proc); d != "" {
		return d
	}
	if changesFiles(s.call) {
		return p.compareFiles()
	}
	return ""
}

// text is the program so far, with what came of each step.
func (p *pair) text() string {
	var b strings.Builder
	for i, s := range p.program {
		fmt.Fprintf(&b, "%v = %s\n", s, p.results[i].text(s, p.lead))
	}
	return b.String()
}

// same compares what the machines said, but for what is undetermined.
func same(s step, want, got result) bool {
	if s.call == "mincore" && want.errno == 0 && got.errno == 0 {
		return mincoreAgrees(want.bytes, got.bytes)
	}
	return want == got
}

// changesFiles tells whether a step may change what a file holds.
func changesFiles(call string) bool {
	switch call {
	case "store", "poke", "pread", "pwrite", "write", "truncate", "madvise":
		return true
	}
	return false
}

// lookAll compares everything that can be seen without touching it.
func (p *pair) lookAll() string {
	for _, proc := range p.alive {
		if d := p.look(proc); d != "" {
			return d
		}
	}
	return p.compareFiles()
}

// look compares what can be seen of a process.
func (p *pair) look(proc int) string {
	want, got := p.lead.areas(proc), p.follow.areas(proc)
	if p.inGo { // whose own areas are among the others
		got = slices.DeleteFunc(got, func(a area) bool { return placeOf(a.start, p.follow).base == absolute })
	}
	if !slices.Equal(want, got) {
		return fmt.Sprintf("process %d has the areas\n%s\nand in the engine\n%s", proc, areasText(want, p.lead), areasText(got, p.follow))
	}
	if want, got := p.lead.locked(proc), p.follow.locked(proc); want != got {
		return fmt.Sprintf("process %d has locked %d pages, in the engine %d", proc, want, got)
	}
	for _, r := range p.ranges(want) {
		want := p.lead.pages(p.states[0][:0], proc, r.start, r.pages)
		got := p.follow.pages(p.states[1][:0], proc, r.start, r.pages)
		p.states = [2][]pageState{want, got}
		for i := range want {
			if want[i] != owned && got[i] == owned && p.follow.dropFree(proc, r.start+uint64(i)*page) {
				got[i] = absent // lazyFree
			}
			if !pageAgrees(want[i], got[i]) {
				return fmt.Sprintf("process %d has from %v the pages %s, in the engine %s", proc, placeOf(r.start, p.lead), want, got)
			}
		}
	}
	return ""
}

// A pageRange is a number of pages from an address on.
type pageRange struct {
	start uint64
	pages int
}

// ranges is where pages are looked at: both windows, for there may be none where
// no area is, and what lies elsewhere of each area, up to a window's length.
func (p *pair) ranges(areas []area) []pageRange {
	windows := []uint64{p.lead.resolve(place{low, 0}), p.lead.resolve(place{high, 0})}
	list := []pageRange{{windows[0], windowPages}, {windows[1], windowPages}}
	for _, a := range areas {
		from := a.start
		for _, w := range windows {
			if from-w < windowPages*page {
				from = w + windowPages*page
			}
		}
		if from < a.end {
			list = append(list, pageRange{from, int(min((a.end-from)/page, windowPages))})
		}
	}
	return list
}

func areasText(list []area, m machine) string {
	var lines []string
	for _, a := range list {
		lines = append(lines, "\t"+a.text(m))
	}
	return strings.Join(lines, "\n")
}

func (p *pair) compareFiles() string {
	for object := range objects {
		if want, got := p.lead.content(object), p.follow.content(object); !bytes.Equal(want, got) {
			return fmt.Sprintf("%s has %s, in the engine %s", objectNames[object], runs(string(want)), runs(string(got)))
		}
	}
	return ""
}

// finish reads every byte that the processes can see, and compares.
func (p *pair) finish() string {
	if d := p.lookAll(); d != "" {
		return d
	}
	for i, proc := range p.alive {
		for _, a := range p.lead.areas(proc) {
			for at := a.start; at < a.end && at < a.start+windowPages*page; at += page {
				s := step{proc: i, call: "peek", addr: placeOf(at, p.lead), size: page}
				if d := p.step(s); d != "" {
					return d
				}
			}
		}
	}
	p.told.count(p.follow.m)
	return p.lookAll()
}

package agree

import (
	"fmt"
	"slices"
	"strings"
)

// A census counts what was done and what came of it.
type census struct {
	steps    int
	outcomes map[string]int       // "mmap EINVAL"
	passed   map[undetermined]int // steps that were not made
}

func newCensus() *census { return &census{outcomes: map[string]int{}, passed: map[undetermined]int{}} }

func (c *census) add(s step, r result) {
	c.steps++
	outcome := "ok"
	switch {
	case r.errno != 0:
		outcome = errnoNames[r.errno]
	case r.fault != fault{}:
		outcome = fmt.Sprintf("%s/%d", signalNames[r.fault.signal], r.fault.code)
	}
	c.outcomes[s.call+" "+outcome]++
}

func (c *census) passOver(what undetermined) { c.passed[what]++ }

// String is a line for each call: how often, and with which outcomes.
func (c *census) String() string {
	byCall := map[string][]string{}
	sums := map[string]int{}
	for key, n := range c.outcomes {
		call, outcome, _ := strings.Cut(key, " ")
		byCall[call] = append(byCall[call], fmt.Sprintf("%s %d", outcome, n))
		sums[call] += n
	}
	var lines []string
	for call, outcomes := range byCall {
		slices.Sort(outcomes)
		lines = append(lines, fmt.Sprintf("%-10s %8d  %s", call, sums[call], strings.Join(outcomes, ", ")))
	}
	for what, n := range c.passed {
		lines = append(lines, fmt.Sprintf("passed over %d times: %s", n, what))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

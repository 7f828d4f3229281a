package agree

import (
	"fmt"
	"slices"
	"strings"

	"github.com/memwright/mmap/vmem"
)

// A census counts what was done and what came of it.
type census struct {
	steps    int
	outcomes map[string]int       // "mmap EINVAL"
	passed   map[undetermined]int // steps that were not made
	faults   map[vmem.EventKind]int
}

func newCensus() *census {
	return &census{outcomes: map[string]int{}, passed: map[undetermined]int{}, faults: map[vmem.EventKind]int{}}
}

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

// wanted is every outcome that a long run must come to. EFBIG and EPERM of
// mremap are left to the tables: they are too rare.
const wanted = `
as ok
data ok
exit ok
fork ok
fsync EBADF, ok
load SIGBUS/2, SIGSEGV/1, SIGSEGV/2, SIGSEGV/128, ok
madvise EACCES, EFAULT, EINVAL, ENOMEM, ok
memlock EINVAL, ok
mincore EINVAL, ENOMEM, ok
mlock ENOMEM, EPERM, ok
mlock2 EINVAL, ENOMEM, EPERM, ok
mlockall EINVAL, ENOMEM, EPERM, ok
mmap EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM, ok
mprotect EACCES, EINVAL, ENOMEM, ok
mremap EAGAIN, EFAULT, EINVAL, ENOMEM, ok
msync EBUSY, EINVAL, ENOMEM, ok
munlock ENOMEM, ok
munlockall ok
munmap EINVAL, ok
peek SIGBUS/2, SIGSEGV/1, SIGSEGV/2, SIGSEGV/128, ok
poke SIGBUS/2, SIGSEGV/1, SIGSEGV/2, SIGSEGV/128, ok
pread EBADF, EFAULT, EINVAL, ok
pwrite EBADF, EFAULT, EINVAL, ok
store SIGBUS/2, SIGSEGV/1, SIGSEGV/2, SIGSEGV/128, ok
truncate EBADF, EINVAL, ok
write EBADF, EINVAL, ok
`

// missing lists the wanted outcomes that did not come.
func (c *census) missing() (list []string) {
	for line := range strings.Lines(strings.TrimSpace(wanted)) {
		call, outcomes, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, outcome := range strings.Split(outcomes, ", ") {
			if c.outcomes[call+" "+outcome] == 0 {
				list = append(list, call+" "+outcome)
			}
		}
	}
	for _, kind := range c.faultKinds() {
		if c.faults[kind] == 0 {
			list = append(list, "a fault of the engine: "+kind.String())
		}
	}
	return list
}

// count adds what the engine did inside the steps of a program.
func (c *census) count(m *vmem.Machine) {
	events := m.Counters().Events
	for _, kind := range c.faultKinds() {
		c.faults[kind] += events[kind]
	}
}

// faultKinds are the decisions that a fault may come to.
func (*census) faultKinds() []vmem.EventKind {
	return []vmem.EventKind{vmem.FaultMinor, vmem.FaultMajor, vmem.FaultZero, vmem.FaultFresh, vmem.FaultCopy,
		vmem.FaultReuse, vmem.FaultNotify, vmem.FaultSegv, vmem.FaultBus}
}

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
	for _, what := range neverCompared {
		lines = append(lines, fmt.Sprintf("never compared: %s", what))
	}
	slices.Sort(lines)
	var faults []string
	for _, kind := range c.faultKinds() {
		faults = append(faults, fmt.Sprintf("%v %d", kind, c.faults[kind]))
	}
	lines = append(lines, "faults in the engine: "+strings.Join(faults, ", "))
	return strings.Join(lines, "\n")
}

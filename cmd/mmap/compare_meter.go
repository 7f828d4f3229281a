package main

import (
	"os"
	"strconv"
	"strings"
)

// A readMeter counts what the kernel charges to this thread: faults, read
// calls, and bytes that it copied or fetched. What it hides is unknownCount.
type readMeter struct {
	thread *threadMeter // nil where there is no /proc
	own    int64        // read calls that a reading of the counters makes itself
}

// unknownCount is a count that nobody tells.
const unknownCount = -1

// counts are counters of one thread.
type counts struct {
	minor, major int64 // page faults
	reads        int64 // read calls (syscr)
	copied       int64 // bytes that read calls copied to the program (rchar)
	fetched      int64 // bytes read from storage (read_bytes)
	overhead     int64 // bytes that the reading of these counters copied
}

var unknownCounts = counts{unknownCount, unknownCount, unknownCount, unknownCount, unknownCount, 0}

func newReadMeter() *readMeter {
	m := &readMeter{}
	m.thread, _ = newThreadMeter()
	before := m.start()
	m.own = max(0, m.since(before).reads)
	return m
}

func (m *readMeter) close() {
	if m.thread != nil {
		m.thread.close()
	}
}

// start reads the counters, those of reads last: reading them is charged after
// they have been told.
func (m *readMeter) start() counts {
	c := m.readFaults()
	m.readIO(&c)
	return c
}

// since is what has been charged from start on, less what start itself was.
func (m *readMeter) since(before counts) counts {
	io := unknownCounts
	m.readIO(&io)
	now := m.readFaults()
	less := func(now, before, own int64) int64 {
		if now == unknownCount || before == unknownCount {
			return unknownCount
		}
		return now - before - own
	}
	return counts{
		minor: less(now.minor, before.minor, 0), major: less(now.major, before.major, 0),
		reads:   less(io.reads, before.reads, m.own),
		copied:  less(io.copied, before.copied, before.overhead),
		fetched: less(io.fetched, before.fetched, 0),
	}
}

func (m *readMeter) readFaults() counts {
	c := unknownCounts
	if m.thread != nil {
		if minor, major, err := m.thread.faults(); err == nil {
			c.minor, c.major = minor, major
		}
	}
	return c
}

// readIO reads /proc/thread-self/io (proc_pid_io(5)).
func (m *readMeter) readIO(c *counts) {
	if m.thread == nil || m.thread.io == nil {
		return
	}
	data, err := m.thread.read(m.thread.io)
	if err != nil {
		return
	}
	c.overhead = int64(len(data))
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "syscr":
			c.reads = n
		case "rchar":
			c.copied = n
		case "read_bytes":
			c.fetched = n
		}
	}
}

// processMemory is what the process has in memory: pages of files that it maps,
// and pages of its own (/proc/self/smaps_rollup, which counts and does not
// estimate as statm does; Linux 4.14).
func processMemory() (ofFiles, own int64) {
	data, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return unknownCount, unknownCount
	}
	kB := func(field string) int64 {
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, field+":"); ok {
				n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				return n << 10
			}
		}
		return 0
	}
	own = kB("Anonymous")
	return kB("Rss") - own, own
}

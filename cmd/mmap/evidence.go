package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// What the kernel tells a process of its own memory, in /proc/self. Every
// reader here answers an error where the kernel hides something or /proc is not
// mounted, and never a guess.

// vmArea is one area of the address space: a line of /proc/self/smaps with the
// figures below it.
type vmArea struct {
	start, end uintptr
	perms      string // "rw-s"
	offset     int64  // in the file, bytes
	path       string
	bytes      map[string]int64 // Rss, Pss, Anonymous, Locked, Shared_Dirty, ...
}

func (a vmArea) String() string { return fmt.Sprintf("%x-%x %s", a.start, a.end, a.perms) }

// areasOf is the areas that touch [addr, addr+n), in order.
func areasOf(addr uintptr, n int) ([]vmArea, error) {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	var areas []vmArea
	var inside bool
	for line := range strings.Lines(string(smaps)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if key, isFigure := strings.CutSuffix(words[0], ":"); isFigure {
			if inside && len(words) == 3 && words[2] == "kB" {
				kB, _ := strconv.ParseInt(words[1], 10, 64)
				areas[len(areas)-1].bytes[key] = kB << 10
			}
			continue
		}
		a, err := parseArea(line)
		if err != nil {
			return nil, err
		}
		if inside = a.start < addr+uintptr(n) && a.end > addr; inside {
			areas = append(areas, a)
		}
	}
	return areas, nil
}

// parseArea reads "start-end perms offset device inode   path".
func parseArea(line string) (vmArea, error) {
	a := vmArea{bytes: map[string]int64{}}
	var device string
	var inode uint64
	if _, err := fmt.Sscanf(line, "%x-%x %s %x %s %d", &a.start, &a.end, &a.perms, &a.offset, &device, &inode); err != nil {
		return a, fmt.Errorf("/proc/self/smaps: %q: %w", strings.TrimSpace(line), err)
	}
	if words := strings.SplitN(strings.TrimSpace(line), " ", 6); len(words) == 6 {
		a.path = strings.TrimLeft(words[5], " ")
	}
	return a, nil
}

// sum adds one figure over areas, in bytes.
func sum(areas []vmArea, figure string) (total int64) {
	for _, a := range areas {
		total += a.bytes[figure]
	}
	return total
}

// A pageEntry is what /proc/self/pagemap tells of one page of this process
// (Documentation/admin-guide/mm/pagemap.rst).
type pageEntry uint64

func (e pageEntry) present() bool { return e>>63&1 == 1 }

// ofFile reports whether the frame belongs to a file or to shared memory. A
// page that a private store has copied does not.
func (e pageEntry) ofFile() bool { return e>>61&1 == 1 }

// frame is the number of the page's frame; it is 0 for a process without
// CAP_SYS_ADMIN, which is told nothing (Linux 4.2).
func (e pageEntry) frame() uint64 { return uint64(e) & (1<<55 - 1) }

// pageEntryOf looks the page at addr up.
func pageEntryOf(addr uintptr) (pageEntry, error) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [8]byte
	if _, err := f.ReadAt(b[:], int64(addr/uintptr(os.Getpagesize()))*8); err != nil {
		return 0, err
	}
	return pageEntry(binary.NativeEndian.Uint64(b[:])), nil
}

// statusField is a line of /proc/self/status.
func statusField(name string) (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if key, value, ok := strings.Cut(line, ":"); ok && key == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("/proc/self/status has no %s", name)
}

// lockedBytes is VmLck: how much this process has locked.
func lockedBytes() (int64, error) {
	field, err := statusField("VmLck")
	if err != nil {
		return 0, err
	}
	kB, err := strconv.ParseInt(strings.TrimSuffix(field, " kB"), 10, 64)
	return kB << 10, err
}

// mayLockAnything reports whether the process has CAP_IPC_LOCK (bit 14), which
// makes RLIMIT_MEMLOCK void.
func mayLockAnything() (bool, error) {
	field, err := statusField("CapEff")
	if err != nil {
		return false, err
	}
	caps, err := strconv.ParseUint(field, 16, 64)
	return caps>>14&1 == 1, err
}

// unlimited is a limit that is none.
const unlimited = -1

// memlockLimit is the soft RLIMIT_MEMLOCK in bytes, or unlimited.
func memlockLimit() (int64, error) {
	limits, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max locked memory"); ok {
			words := strings.Fields(rest)
			if len(words) > 0 && words[0] == "unlimited" {
				return unlimited, nil
			}
			if len(words) > 0 {
				return strconv.ParseInt(words[0], 10, 64)
			}
		}
	}
	return 0, errors.New("/proc/self/limits has no locked memory")
}

// A threadMeter counts what the kernel charges to one thread, so that faults of
// the Go runtime's other threads are left out. The goroutine must be locked to
// its thread (runtime.LockOSThread) as long as it is in use.
type threadMeter struct {
	stat, io *os.File
	buf      []byte // kept, so that reading the counters touches no new memory
}

// charges are counters of one thread.
type charges struct {
	minor, major int64 // page faults without and with waiting for a read
	readBytes    int64 // bytes fetched from storage; hidden when ioErr is set
	ioErr        error
}

func newThreadMeter() (*threadMeter, error) {
	stat, err := os.Open("/proc/thread-self/stat")
	if err != nil {
		return nil, err
	}
	// The kernel may hide this one: hardened systems, or a program file that
	// its user may not read.
	io, _ := os.Open("/proc/thread-self/io")
	m := &threadMeter{stat: stat, io: io, buf: make([]byte, 4096)}
	_, err = m.during(func() {}) // the counting code itself is in memory from now on
	return m, err
}

func (m *threadMeter) close() {
	m.stat.Close()
	if m.io != nil {
		m.io.Close()
	}
}

// during tells what fn was charged. Storage bytes are read around the faults,
// so that reading them costs fn none.
func (m *threadMeter) during(fn func()) (charges, error) {
	runtime.GC() // so that no collection makes this thread help
	readBefore, ioErr := m.readBytes()
	minor, major, err := m.faults()
	if err != nil {
		return charges{}, err
	}
	fn()
	minorAfter, majorAfter, err := m.faults()
	if err != nil {
		return charges{}, err
	}
	readAfter, _ := m.readBytes()
	return charges{minorAfter - minor, majorAfter - major, readAfter - readBefore, ioErr}, nil
}

// faults reads minflt and majflt, fields 10 and 12 of stat (proc_pid_stat(5)).
// The name in field 2 may hold anything: count from its closing parenthesis.
func (m *threadMeter) faults() (minor, major int64, err error) {
	text, err := m.read(m.stat)
	if err != nil {
		return 0, 0, err
	}
	at := len(text)
	for at > 0 && text[at-1] != ')' {
		at--
	}
	field := 2
	for i := at; i < len(text) && field <= 12; i++ {
		switch c := text[i]; {
		case c == ' ':
			field++
		case field == 10:
			minor = minor*10 + int64(c-'0')
		case field == 12:
			major = major*10 + int64(c-'0')
		}
	}
	if field <= 12 {
		return 0, 0, fmt.Errorf("/proc/thread-self/stat has %d fields", field)
	}
	return minor, major, nil
}

// readBytes reads read_bytes of io (proc_pid_io(5)).
func (m *threadMeter) readBytes() (int64, error) {
	if m.io == nil {
		return 0, errors.New("/proc/thread-self/io can't be read")
	}
	text, err := m.read(m.io)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "read_bytes: "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, errors.New("/proc/thread-self/io has no read_bytes")
}

func (m *threadMeter) read(f *os.File) ([]byte, error) {
	n, err := f.ReadAt(m.buf, 0)
	if err == io.EOF {
		err = nil
	}
	return m.buf[:n], err
}

// kernelRelease is "6.1.0", or "" where the kernel does not say.
func kernelRelease() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

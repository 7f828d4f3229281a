package mmap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/memwright/mmap/internal/sys"
)

// explainNoMemory finds the limit that a refused mapping of wanted bytes met.
// The kernel says ENOMEM for all of them (mmap(2), ERRORS), so each is looked at
// in turn; if none is met, the errno stands alone.
func explainNoMemory(errno error, wanted uint64, o Options) error {
	if o.HugePages.pageShift() != 0 {
		if e := hugePoolLimit(errno, wanted, o.HugePages.pageShift()); e != nil {
			return e
		}
	}
	if e := mapCountLimit(errno); e != nil {
		return e
	}
	if e := resourceLimit(errno, sys.AddressSpace, "RLIMIT_AS", "VmSize", wanted,
		"raise it with ulimit -v or LimitAS= (the hard limit needs CAP_SYS_RESOURCE)"); e != nil {
		return e
	}
	if o.Access == CopyOnWrite || o.Access == ReadWrite {
		if e := resourceLimit(errno, sys.DataSize, "RLIMIT_DATA", "VmData", wanted,
			"raise it with ulimit -d or LimitDATA= (the hard limit needs CAP_SYS_RESOURCE)"); e != nil {
			return e
		}
	}
	if e := overcommitLimit(errno, wanted); e != nil {
		return e
	}
	return because(errno, "%d bytes of address space were refused, and no limit this process can read explains it", wanted)
}

func mapCountLimit(errno error) error {
	limit, ok := readNumber("/proc/sys/vm/max_map_count")
	if !ok {
		return nil
	}
	have, err := countMaps()
	// The kernel compares before it adds, and one call may need two areas more.
	if err != nil || have+2 < limit {
		return nil
	}
	return &LimitError{Limit: "vm.max_map_count", Have: have, Want: 1, Max: limit, Unit: "mappings",
		Fix: "close mappings, or raise it as root with sysctl vm.max_map_count=N", Err: errno}
}

// countMaps counts the areas of the process. It keeps to a small buffer: at the
// limit the Go heap may be unable to grow, and the runtime dies of that.
func countMaps() (n uint64, err error) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var buf [4096]byte
	for {
		k, err := f.Read(buf[:])
		n += uint64(bytes.Count(buf[:k], []byte("\n")))
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func resourceLimit(errno error, r sys.Resource, name, used string, wanted uint64, fix string) error {
	soft, _, err := sys.Getrlimit(r)
	have := procStatusBytes(used)
	if err != nil || soft == sys.Unlimited || have+wanted <= soft {
		return nil
	}
	return &LimitError{Limit: name, Have: have, Want: wanted, Max: soft, Unit: "bytes", Fix: fix, Err: errno}
}

func overcommitLimit(errno error, wanted uint64) error {
	mode, ok := readNumber("/proc/sys/vm/overcommit_memory")
	if !ok {
		return nil
	}
	info := procFields("/proc/meminfo")
	switch {
	case mode == 2 && info["Committed_AS"]+wanted > info["CommitLimit"]:
		return &LimitError{Limit: "vm.overcommit_memory=2: CommitLimit", Have: info["Committed_AS"], Want: wanted, Max: info["CommitLimit"], Unit: "bytes",
			Fix: "raise vm.overcommit_ratio or add swap as root", Err: errno}
	case mode == 0 && wanted > info["MemTotal"]+info["SwapTotal"]:
		return &LimitError{Limit: "vm.overcommit_memory=0: memory and swap together", Have: 0, Want: wanted, Max: info["MemTotal"] + info["SwapTotal"], Unit: "bytes",
			Fix: "use NoReserve, map less, or set vm.overcommit_memory=1 as root", Err: errno}
	}
	return nil
}

func hugePoolLimit(errno error, wanted uint64, shift uint) error {
	dir := fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB/", 1<<shift>>10)
	total, ok := readNumber(dir + "nr_hugepages")
	if !ok {
		return because(errno, "this machine has no pool of %d KiB pages", 1<<shift>>10)
	}
	free, _ := readNumber(dir + "free_hugepages")
	need := wanted >> shift
	if free >= need {
		return nil
	}
	return &LimitError{Limit: "huge page pool", Have: total - free, Want: need, Max: total, Unit: "pages",
		Fix: "as root: echo N > " + dir + "nr_hugepages", Err: errno}
}

const raiseMemlock = "raise it with ulimit -l or LimitMEMLOCK= (the hard limit needs CAP_SYS_RESOURCE), or give the process CAP_IPC_LOCK"

// explainLockLimit says whether a refused lock of n bytes met RLIMIT_MEMLOCK:
// EPERM when the limit is 0, else ENOMEM, or EAGAIN from mmap (mlock(2)).
func explainLockLimit(err error, n uint64) error {
	soft, _, limErr := sys.Getrlimit(sys.LockedMemory)
	if limErr != nil || mayLockWithoutLimit() {
		return err
	}
	have := procStatusBytes("VmLck")
	if err != error(sys.EPERM) && have+n <= soft {
		return err
	}
	return &LimitError{Limit: "RLIMIT_MEMLOCK", Have: have, Want: n, Max: soft, Unit: "bytes", Fix: raiseMemlock, Err: err}
}

// mayLockWithoutLimit reports whether RLIMIT_MEMLOCK does not bind this process:
// it is unlimited, or CAP_IPC_LOCK (bit 14) is effective.
func mayLockWithoutLimit() bool {
	if soft, _, err := sys.Getrlimit(sys.LockedMemory); err == nil && soft == sys.Unlimited {
		return true
	}
	caps, err := strconv.ParseUint(procStatus("CapEff"), 16, 64)
	const capIPCLock = 14
	return err == nil && caps&(1<<capIPCLock) != 0
}

// protectionAt is the protection of the page at addr, from /proc/self/maps.
func protectionAt(addr uintptr) (p Prot, known bool) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var lo, hi uint64
		var perms string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &lo, &hi, &perms); err != nil {
			continue
		}
		if uint64(addr) < lo || uint64(addr) >= hi {
			continue
		}
		for i, bit := range []Prot{ProtRead, ProtWrite, ProtExec} {
			if i < len(perms) && perms[i] != '-' {
				p |= bit
			}
		}
		return p, true
	}
	return 0, false
}

// procStatus is a field of /proc/self/status, "" where there is none.
func procStatus(field string) string {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// procStatusBytes is a field of /proc/self/status that is given in kB.
func procStatusBytes(field string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(procStatus(field), " kB"), 10, 64)
	return n << 10
}

// procFields is a file of "Name: N kB" lines, in bytes.
func procFields(name string) map[string]uint64 {
	fields := make(map[string]uint64)
	data, _ := os.ReadFile(name)
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			fields[key] = n << 10
		}
	}
	return fields
}

func readNumber(name string) (uint64, bool) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	return n, err == nil
}

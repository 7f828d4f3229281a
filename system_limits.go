package mmap

import (
	"bytes"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/memwright/mmap/internal/sys"
)

// Unlimited is the value of a limit that is not set.
const Unlimited = uint64(math.MaxUint64)

// A Limit bounds what this process may map, lock, open or write.
type Limit struct {
	Name  string `json:"name"`  // "RLIMIT_MEMLOCK", "vm.max_map_count", "memory cgroup", ...
	Unit  string `json:"unit"`  // "bytes", "mappings" or "files"
	Known bool   `json:"known"` // false: the system does not tell
	Max   uint64 `json:"max"`   // what may be in use at most; Unlimited if nothing bounds it
	Hard  uint64 `json:"hard"`  // how far the process itself may raise Max
	Used  uint64 `json:"used"`  // in use now; 0 where it has no meaning
}

// A HugePool is the kernel's pool of huge pages of one size.
type HugePool struct {
	PageBytes uint64 `json:"page_bytes"` // size of one of its pages
	Total     uint64 `json:"total"`      // pages in the pool
	Free      uint64 `json:"free"`       // of them not in use
}

func examineLimits() []Limit {
	list := []Limit{
		resourceOf("RLIMIT_AS", sys.AddressSpace, "bytes", procStatusBytes("VmSize")),
		resourceOf("RLIMIT_DATA", sys.DataSize, "bytes", procStatusBytes("VmData")),
		resourceOf("RLIMIT_MEMLOCK", sys.LockedMemory, "bytes", procStatusBytes("VmLck")),
		resourceOf("RLIMIT_FSIZE", sys.FileSize, "bytes", 0),
		resourceOf("RLIMIT_NOFILE", sys.OpenFiles, "files", countEntries("/proc/self/fd")),
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	count, known := readNumber("/proc/sys/vm/max_map_count")
	list = append(list, Limit{Name: "vm.max_map_count", Unit: "mappings", Known: known, Max: count, Hard: count,
		Used: uint64(bytes.Count(maps, []byte("\n")))})
	info := procFields("/proc/meminfo")
	commit := Limit{Name: "CommitLimit", Unit: "bytes", Known: info["CommitLimit"] > 0, Max: Unlimited, Hard: Unlimited, Used: info["Committed_AS"]}
	if overcommitMode() == "never" { // else the kernel does not hold anyone to it
		commit.Max, commit.Hard = info["CommitLimit"], info["CommitLimit"]
	}
	return append(list, commit, memoryCgroup())
}

func resourceOf(name string, r sys.Resource, unit string, used uint64) Limit {
	soft, hard, err := sys.Getrlimit(r)
	return Limit{Name: name, Unit: unit, Known: err == nil, Max: soft, Hard: hard, Used: used}
}

func countEntries(dir string) uint64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	return uint64(len(entries) - 1) // less the directory's own descriptor
}

func overcommitMode() string {
	return map[string]string{"0": "heuristic", "1": "always", "2": "never"}[readLine("/proc/sys/vm/overcommit_memory")]
}

// memoryCgroup is the tightest limit of the memory cgroup and those above it,
// version 2 or 1. Mapped file pages count against it like any memory.
func memoryCgroup() Limit {
	l := Limit{Name: "memory cgroup", Unit: "bytes", Max: Unlimited, Hard: Unlimited}
	group, v2 := cgroupPath()
	if group == "" {
		return l
	}
	root, limitFile, usageFile := "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
	if v2 {
		root, limitFile, usageFile = "/sys/fs/cgroup", "memory.max", "memory.current"
	}
	for dir := group; ; dir = path.Dir(dir) {
		at := filepath.Join(root, dir)
		if used, ok := readNumber(filepath.Join(at, usageFile)); ok {
			limit, set := readNumber(filepath.Join(at, limitFile)) // "max" is no number
			if !l.Known {
				l.Known, l.Used = true, used
			}
			// Version 1 writes the largest multiple of the page for none.
			if set && limit < math.MaxInt64-1<<20 && limit < l.Max {
				l.Max, l.Hard, l.Used = limit, limit, used
			}
		}
		if dir == "/" || dir == "." {
			return l
		}
	}
}

// cgroupPath reads /proc/self/cgroup: "N:memory:PATH" for version 1, "0::PATH"
// for version 2.
func cgroupPath() (group string, v2 bool) {
	data, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(data)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(part) < 3:
		case slices.Contains(strings.Split(part[1], ","), "memory"):
			return part[2], false
		case part[0] == "0":
			group, v2 = part[2], true
		}
	}
	return group, v2
}

func examineCapabilities() Capabilities {
	effective, err := strconv.ParseUint(procStatus("CapEff"), 16, 64)
	has := func(bit uint) bool { return effective>>bit&1 == 1 }
	return Capabilities{Known: err == nil, Fowner: has(3), IPCLock: has(14), SysAdmin: has(21), SysResource: has(24)}
}

func examineContainer() Container {
	group, _ := cgroupPath()
	c := Container{
		Seccomp: map[string]string{"0": "none", "1": "strict", "2": "filter"}[procStatus("Seccomp")],
		Cgroup:  group,
		Marks:   []string{},
	}
	if m, err := mountOf("/"); err == nil {
		c.RootFS = m.kind
	}
	for _, name := range []string{"/.dockerenv", "/run/.containerenv", "/run/systemd/container", "/var/run/secrets/kubernetes.io"} {
		if _, err := os.Stat(name); err == nil {
			c.Marks = append(c.Marks, name)
		}
	}
	return c
}

func examineHugePools() []HugePool {
	pools := []HugePool{}
	dirs, _ := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-*kB")
	for _, dir := range dirs {
		size := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), "hugepages-"), "kB")
		kB, err := strconv.ParseUint(size, 10, 64)
		total, ok := readNumber(filepath.Join(dir, "nr_hugepages"))
		if err != nil || !ok {
			continue
		}
		free, _ := readNumber(filepath.Join(dir, "free_hugepages"))
		pools = append(pools, HugePool{PageBytes: kB << 10, Total: total, Free: free})
	}
	slices.SortFunc(pools, func(a, b HugePool) int { return int(a.PageBytes>>10) - int(b.PageBytes>>10) })
	return pools
}

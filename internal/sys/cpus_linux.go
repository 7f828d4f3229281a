package sys

import (
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CPUs is how many CPUs this process may use at once: those in the calling
// thread's affinity mask (sched_getaffinity(2)), or as many as its cgroup and
// the cgroups above have a quota for, a fraction perhaps (cpu.max of version 2,
// cpu.cfs_quota_us of version 1). 1 where that can't be told.
func CPUs() float64 {
	n := 1.0
	mask := make(unix.CPUSetDynamic, 128) // 8,192 CPUs, or 4,096
	if err := unix.SchedGetaffinityDynamic(0, mask); err == nil {
		n = float64(mask.Count())
	}
	return min(n, quotas(read("/proc/self/cgroup"), "/sys/fs/cgroup"))
}

// CPU is the number of the CPU on which the caller runs (getcpu(2)), and 0 where that
// can't be told. It takes some 100 ns, and is a RawSyscall: it does not wait.
func CPU() uint32 {
	var n uint32
	if _, _, e := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&n)), 0, 0); e != 0 {
		return 0
	}
	return n
}

// Yield lets another thread that is ready to run have the CPU, if there is one: see
// sched_yield(2). It takes some 300 ns if there is none, and as long as a time slice
// if that thread does not sleep. It is a RawSyscall, as it is no wait to the Go scheduler:
// the caller wants to go on at once.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// quotas is the least quota in CPUs that the lines of /proc/self/cgroup lead to,
// from the directory in which the hierarchies are mounted.
func quotas(groups, mounts string) float64 {
	least := noQuota
	for line := range strings.Lines(groups) {
		// "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[0] == "0" && f[1] == "":
			least = min(least, quota(mounts, f[2], func(dir string) (string, string) {
				max, period, _ := strings.Cut(read(dir+"/cpu.max"), " ")
				return max, period
			}))
		case strings.Contains(","+f[1]+",", ",cpu,"):
			least = min(least, quota(mounts+"/"+f[1], f[2], func(dir string) (string, string) {
				return read(dir + "/cpu.cfs_quota_us"), read(dir + "/cpu.cfs_period_us")
			}))
		}
	}
	return least
}

const noQuota = 1e9

// quota is the least quota in CPUs of a cgroup and those above it. In a
// container the names from the top may be others than the path says: those that
// are not there have no quota.
func quota(root, group string, look func(dir string) (max, period string)) float64 {
	least := noQuota
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		max, period := look(root + dir)
		m, err := strconv.ParseFloat(max, 64) // "max" and "" are none, and so is -1
		p, err2 := strconv.ParseFloat(period, 64)
		if err == nil && err2 == nil && m > 0 && p > 0 {
			least = min(least, m/p)
		}
		if dir == "/" {
			return least
		}
	}
}

func read(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

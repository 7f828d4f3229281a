package mmap

import (
	"os"
	"runtime"
	"strings"

	"github.com/memwright/mmap/internal/probe"
)

// System is what a kernel, the limits of this process and, for a path, its
// file system can do for mappings. [Examine] finds it out. What the system
// hides is "" or Unknown, and never a guess.
type System struct {
	OS       string `json:"os"`        // as in GOOS
	Arch     string `json:"arch"`      // as in GOARCH
	Release  string `json:"release"`   // the kernel's, "6.1.0"; "" when unknown
	PageSize int    `json:"page_size"` // bytes

	Features     []Feature    `json:"features"`     // in the order of the releases that brought them
	Limits       []Limit      `json:"limits"`       // those that bound mappings
	Overcommit   string       `json:"overcommit"`   // vm.overcommit_memory: "heuristic", "always", "never" or ""
	Capabilities Capabilities `json:"capabilities"` // of this process
	Container    Container    `json:"container"`    // what stands between this process and the kernel
	HugePools    []HugePool   `json:"huge_pools"`   // pools of huge pages, empty ones too
	Transparent  string       `json:"transparent"`  // transparent huge pages for memory: "always", "madvise", "never" or ""
	SharedHuge   string       `json:"shared_huge"`  // the same for shared memory: "always", "within_size", "advise", "never", ... or ""
	Place        *Place       `json:"place"`        // the path's file system; nil without a path
}

// Answer is what was found when a feature was tried.
type Answer uint8

// The answers.
const (
	NotKnown  Answer = iota // it could not be tried
	Available               // it was done, and had its effect
	Missing                 // this kernel or file system does not have it
	Refused                 // a filter, a missing privilege or a limit forbids it
)

func (a Answer) String() string { return name("Answer", a, "unknown", "yes", "no", "refused") }

// MarshalText is String, for JSON.
func (a Answer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Answer) UnmarshalText(text []byte) error {
	for v := range Refused + 1 {
		if v.String() == string(text) {
			*a = v
			return nil
		}
	}
	return invalid("no answer is called %q", text)
}

// A Feature is something that the kernel may do for mappings. The answer was
// found by doing it, and not by the kernel's version.
type Feature struct {
	Name   string `json:"name"`  // as in the manual
	Since  string `json:"since"` // the Linux release that brought it
	Answer Answer `json:"answer"`
	Reason string `json:"reason"` // the kernel's error; "" when available
}

// Feature finds a feature by its name. One that this package does not ask for
// is NotKnown.
func (s *System) Feature(name string) Feature {
	for _, f := range s.Features {
		if f.Name == name {
			return f
		}
	}
	return Feature{Name: name}
}

// Limit finds a limit by its name; it is not Known if there is none.
func (s *System) Limit(name string) Limit {
	for _, l := range s.Limits {
		if l.Name == name {
			return l
		}
	}
	return Limit{Name: name}
}

// Capabilities are those of this process that concern mappings
// (capabilities(7)).
type Capabilities struct {
	Known       bool `json:"known"`        // false: the system does not tell
	IPCLock     bool `json:"ipc_lock"`     // CAP_IPC_LOCK: RLIMIT_MEMLOCK is void
	SysAdmin    bool `json:"sys_admin"`    // CAP_SYS_ADMIN: the page table shows frame numbers
	Fowner      bool `json:"fowner"`       // CAP_FOWNER: the cache of files of others can be seen
	SysResource bool `json:"sys_resource"` // CAP_SYS_RESOURCE: hard limits can be raised
}

// Container is what hints at something between this process and the kernel.
type Container struct {
	Seccomp string   `json:"seccomp"` // "none", "strict", "filter" or ""
	Cgroup  string   `json:"cgroup"`  // path of the memory cgroup, "/" for the root, "" when unknown
	RootFS  string   `json:"root_fs"` // file system type of /; containers often have "overlay"
	Marks   []string `json:"marks"`   // files that container engines leave, such as "/.dockerenv"
}

// Examine finds out what the system can do for mappings. With a path, it also
// examines the file system there: it makes a file in the directory (of the path,
// or that the path is), uses it and removes it. Where no file can be made, it
// looks at the path's own file, if it is one, without changing it.
//
// An error is about the path: what can't be found out otherwise is unknown in
// the System.
func Examine(path string) (*System, error) {
	s := &System{
		OS: runtime.GOOS, Arch: runtime.GOARCH, PageSize: os.Getpagesize(),
		Release:      readLine("/proc/sys/kernel/osrelease"),
		Overcommit:   overcommitMode(),
		Limits:       examineLimits(),
		Capabilities: examineCapabilities(),
		Container:    examineContainer(),
		HugePools:    examineHugePools(),
		Transparent:  chosen(readLine("/sys/kernel/mm/transparent_hugepage/enabled")),
		SharedHuge:   chosen(readLine("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
	}
	for _, f := range probe.All() {
		s.Features = append(s.Features, asFeature(f))
	}
	if path == "" {
		return s, nil
	}
	place, err := examinePlace(path)
	if err != nil {
		return nil, &Error{Op: "examine", Path: path, Err: err}
	}
	s.Place = place
	return s, nil
}

func asFeature(f *probe.Feature) Feature {
	r := f.Ask()
	answer := map[probe.Answer]Answer{probe.Yes: Available, probe.No: Missing, probe.Refused: Refused}[r.Answer]
	out := Feature{Name: f.Name, Since: f.Since, Answer: answer}
	if r.Err != nil {
		out.Reason = r.Err.Error()
	}
	return out
}

// chosen is the word in brackets, by which files of /sys mark the choice.
func chosen(line string) string {
	_, rest, _ := strings.Cut(line, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}

// readLine is the first line of a small file, "" where there is none.
func readLine(name string) string {
	data, _ := os.ReadFile(name)
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

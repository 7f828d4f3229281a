package testenv

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// An inventory counts what the process holds: each mapping that has a name, and
// each descriptor, by a line that describes it. Private anonymous memory has
// no name: a leak of it can't be told from the Go heap.
type inventory map[string]int

// takeInventory reads the process's own entries in /proc.
func takeInventory() (inventory, error) {
	inv := inventory{}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return inv, err
	}
	for line := range strings.Lines(string(maps)) {
		if m, ok := mappingOf(line); ok {
			inv[m]++
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return inv, err
	}
	for _, e := range fds {
		// The descriptor that reads the directory is gone by now.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			inv["descriptor "+e.Name()+" of "+to]++
		}
	}
	return inv, nil
}

// mappingOf describes a line of /proc/self/maps if it is a mapping of an object
// with a path: a file, a memfd, shared anonymous memory. Those that the C
// library loads on demand are its own business.
func mappingOf(line string) (string, bool) {
	f := strings.Fields(line)
	if len(f) < 6 || !strings.HasPrefix(f[5], "/") {
		return "", false
	}
	path := strings.Join(f[5:], " ")
	if strings.Contains(path, ".so") || strings.Contains(path, "/locale/") || strings.Contains(path, "/gconv/") {
		return "", false
	}
	return fmt.Sprintf("mapping %s %s of %s at offset 0x%s", f[0], f[1], path, f[2]), true
}

// minus lists what inv has and before has not.
func (inv inventory) minus(before inventory) []string {
	var extra []string
	for what, n := range inv {
		if n > before[what] {
			extra = append(extra, what)
		}
	}
	slices.Sort(extra)
	return extra
}

package raw_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/raw"
)

// area is one area of /proc/self/smaps.
type area struct {
	start, end uintptr
	perms      string // "rw-s"
	offset     int64
	inode      uint64
	path       string
	kB         map[string]int // Size, Rss, Locked, ...
	flags      []string       // VmFlags, see proc_pid_smaps(5)
}

func (a area) size() int            { return int(a.end - a.start) }
func (a area) has(flag string) bool { return slices.Contains(a.flags, flag) }

// areas reads /proc/self/smaps.
func areas(t testing.TB) []area {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	must(t, err)
	defer f.Close()
	var all []area
	for s := bufio.NewScanner(f); s.Scan(); {
		word := strings.Fields(s.Text())
		if !strings.HasSuffix(word[0], ":") {
			all = append(all, parseArea(t, word))
			continue
		}
		last := &all[len(all)-1]
		if key := strings.TrimSuffix(word[0], ":"); key == "VmFlags" {
			last.flags = word[1:]
		} else if n, err := strconv.Atoi(word[1]); err == nil {
			last.kB[key] = n
		}
	}
	return all
}

func parseArea(t testing.TB, word []string) area {
	a := area{perms: word[1], kB: map[string]int{}, path: strings.Join(word[5:], " ")}
	_, err := fmt.Sscanf(word[0], "%x-%x", &a.start, &a.end)
	must(t, err)
	a.offset, err = strconv.ParseInt(word[2], 16, 64)
	must(t, err)
	a.inode, err = strconv.ParseUint(word[4], 10, 64)
	must(t, err)
	return a
}

// areasIn is the areas that touch [addr, addr+length).
func areasIn(t testing.TB, addr uintptr, length int) []area {
	return slices.DeleteFunc(areas(t), func(a area) bool {
		return a.end <= addr || a.start >= addr+uintptr(length)
	})
}

// areaAt is the area that holds addr.
func areaAt(t testing.TB, addr uintptr) area {
	t.Helper()
	in := areasIn(t, addr, 1)
	if len(in) == 0 {
		t.Fatalf("nothing is mapped at %#x", addr)
	}
	return in[0]
}

// status is a figure of /proc/self/status: VmLck, VmSize in kB.
func status(t testing.TB, key string) int {
	t.Helper()
	return figure(t, "/proc/self/status", key)
}

func figure(t testing.TB, file, key string) int {
	t.Helper()
	n, err := lookup(file, key, 10)
	must(t, err)
	return int(n)
}

// lookup is the number behind "key:" in a file of /proc.
func lookup(file, key string, base int) (uint64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			return strconv.ParseUint(strings.Fields(rest)[0], base, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}

// lockedPages is VmLck in pages.
func lockedPages(t testing.TB) int { return status(t, "VmLck") * 1024 / page }

// pte is what /proc/self/pagemap tells of a page (pagemap.rst): bit 63 that it
// has an entry in this process's page table, bit 61 that its frame belongs to
// a file or to shared memory.
type pte uint64

func (p pte) present() bool   { return p>>63&1 == 1 }
func (p pte) fileOwned() bool { return p>>61&1 == 1 }

func ptes(t testing.TB, addr uintptr, n int) []pte {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	must(t, err)
	defer f.Close()
	raw := make([]byte, 8*n)
	_, err = f.ReadAt(raw, int64(addr)/int64(page)*8)
	must(t, err)
	all := make([]pte, n)
	for i := range all {
		all[i] = pte(binary.NativeEndian.Uint64(raw[8*i:]))
	}
	return all
}

// present counts the pages of the range that have a page-table entry.
func present(t testing.TB, addr uintptr, n int) int {
	t.Helper()
	count := 0
	for _, p := range ptes(t, addr, n) {
		if p.present() {
			count++
		}
	}
	return count
}

// resident counts the pages of the range that mincore calls in memory.
func resident(t testing.TB, addr uintptr, n int) int {
	t.Helper()
	vec := make([]byte, n)
	must(t, raw.Mincore(addr, pages(n), vec))
	count := 0
	for _, b := range vec {
		count += int(b & 1)
	}
	return count
}

// cache is what cachestat(2) tells of n pages of f from the given one.
func cache(t testing.TB, f *os.File, first, n int) sys.CacheStat {
	t.Helper()
	testenv.Need(t, testenv.Cachestat)
	c, err := sys.Cachestat(int(f.Fd()), int64(pages(first)), int64(pages(n)))
	must(t, err)
	return c
}

func sysctl(t testing.TB, file string) int {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, err)
	return n
}

// capability answers why this process lacks the capability of that number.
func capability(bit int) error {
	set, err := lookup("/proc/self/status", "CapEff", 16)
	if err == nil && set>>bit&1 == 0 {
		err = fmt.Errorf("CapEff is %#x", set)
	}
	return err
}

// shmemPages answers why shared memory may come in larger pages.
func shmemPages() error {
	const file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	b, err := os.ReadFile(file)
	if err == nil && !strings.Contains(string(b), "[never]") && !strings.Contains(string(b), "[advise]") {
		return fmt.Errorf("%s: %s", file, b)
	}
	return nil
}

package raw_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/memwright/mmap/raw"
)

// calls is every call, with arguments that no kernel takes.
var calls = []struct {
	name string
	call func() error
}{
	{"mmap", func() error { _, err := raw.Mmap(0, 0, raw.PROT_READ, raw.MAP_PRIVATE, -1, 0); return err }},
	{"munmap", func() error { return raw.Munmap(1, 0) }},
	{"msync", func() error { return raw.Msync(1, 0, raw.MS_SYNC) }},
	{"mlock", func() error { return raw.Mlock(0, page) }},
	{"mlock2", func() error { return raw.Mlock2(0, page, -1) }},
	{"munlock", func() error { return raw.Munlock(0, page) }},
	{"mlockall", func() error { return raw.Mlockall(0) }},
	{"munlockall", raw.Munlockall},
	{"mprotect", func() error { return raw.Mprotect(0, page, raw.PROT_READ) }},
	{"madvise", func() error { return raw.Madvise(0, page, raw.MADV_NORMAL) }},
	{"mremap", func() error { _, err := raw.Mremap(1, page, page, 0, 0); return err }},
	{"mincore", func() error { return raw.Mincore(1, page, make([]byte, 1)) }},
}

func unsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }

func TestPlatformHasAllCallsOrAllButThreeOrNone(t *testing.T) {
	var missing []string
	for _, c := range calls {
		if unsupported(c.call()) {
			missing = append(missing, c.name)
		}
	}
	if n := len(missing); n != 0 && n != len(calls) && !slices.Equal(missing, []string{"mlock2", "mremap", "mincore"}) {
		t.Errorf("missing here are %v; want nothing (Linux), mlock2, mremap and mincore (darwin, freebsd), or everything", missing)
	}
}

func TestConstantsOfLinuxAreRefusedWhereTheyAreMissing(t *testing.T) {
	if _, err := raw.Mremap(1, page, page, 0, 0); !unsupported(err) {
		testFlagsAreTaken(t)
		return
	}
	for _, row := range []struct {
		name string
		err  error
	}{
		{"MAP_POPULATE", mapFlag(raw.MAP_POPULATE)},
		{"MAP_LOCKED", mapFlag(raw.MAP_LOCKED)},
		{"MAP_HUGETLB", mapFlag(raw.MAP_HUGETLB)},
		{"MAP_FIXED_NOREPLACE", mapFlag(raw.MAP_FIXED_NOREPLACE)},
		{"PROT_GROWSDOWN", raw.Mprotect(0, page, raw.PROT_GROWSDOWN)},
		{"MADV_FREE", raw.Madvise(0, page, raw.MADV_FREE)},
		{"MADV_REMOVE", raw.Madvise(0, page, raw.MADV_REMOVE)},
		{"MCL_ONFAULT", raw.Mlockall(raw.MCL_CURRENT | raw.MCL_ONFAULT)},
		{"MAP_32BIT", mapFlag(raw.MAP_32BIT)},
	} {
		if !unsupported(row.err) {
			t.Errorf("%s answered %v", row.name, row.err)
		}
	}
}

// testFlagsAreTaken is the other side: where the platform is Linux, no constant
// of it is refused as missing.
func testFlagsAreTaken(t *testing.T) {
	for _, flag := range []raw.Flag{raw.MAP_POPULATE, raw.MAP_LOCKED, raw.MAP_FIXED_NOREPLACE, raw.MAP_HUGE_16GB | raw.MAP_HUGETLB} {
		if err := mapFlag(flag); unsupported(err) {
			t.Errorf("flag %#x answered %v", flag, err)
		}
	}
}

func mapFlag(flag raw.Flag) error {
	addr, err := raw.Mmap(0, page, raw.PROT_READ, raw.MAP_PRIVATE|raw.MAP_ANONYMOUS|flag, -1, 0)
	if err == nil {
		err = raw.Munmap(addr, page)
	}
	return err
}

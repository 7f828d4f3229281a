package raw_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/memwright/mmap/raw"
)

func TestMprotectAnswers(t *testing.T) {
	needLinux(t)
	f := file(t, page)
	readOnly := reopened(t, f, os.O_RDONLY)
	shared := mapped(t, page, raw.PROT_READ, raw.MAP_SHARED, readOnly, 0)
	private := mapped(t, page, raw.PROT_READ, raw.MAP_PRIVATE, readOnly, 0)
	hole := holed(t, 3, 1)
	for _, row := range []struct {
		name   string
		addr   uintptr
		length int
		prot   raw.Prot
		want   error
	}{
		{"a mapping", zeros(t, 1), page, raw.PROT_READ, nil},
		{"an unaligned length", zeros(t, 2), page + 1, raw.PROT_READ, nil},
		{"length 0", zeros(t, 1), 0, raw.PROT_NONE, nil},
		{"PROT_SEM, which means nothing", zeros(t, 1), page, rw | raw.PROT_SEM, nil},
		{"writing through a shared mapping of a read-only descriptor", shared, page, rw, syscall.EACCES},
		{"writing through a private mapping of a read-only descriptor", private, page, rw, nil},
		{"an unaligned address", zeros(t, 1) + 1, page, raw.PROT_READ, syscall.EINVAL},
		{"address 0, where nothing is mapped", 0, page, raw.PROT_READ, syscall.ENOMEM},
		{"a page that is not mapped", plus(hole, 1), page, raw.PROT_READ, syscall.ENOMEM},
		{"a length that wraps around", zeros(t, 1), -1, rw, syscall.ENOMEM},
		{"an address that no process has", beyond, page, rw, syscall.ENOMEM},
		{"PROT_GROWSDOWN where nothing grows down", zeros(t, 1), page, rw | raw.PROT_GROWSDOWN, syscall.EINVAL},
		{"PROT_GROWSUP where nothing grows up", zeros(t, 1), page, rw | raw.PROT_GROWSUP, syscall.EINVAL},
		{"growing both ways", zeros(t, 1), page, rw | raw.PROT_GROWSDOWN | raw.PROT_GROWSUP, syscall.EINVAL},
		{"an unknown protection", zeros(t, 1), page, 1 << 20, syscall.EINVAL},
	} {
		t.Run(row.name, func(t *testing.T) { wantErr(t, raw.Mprotect(row.addr, row.length, row.prot), row.want) })
	}
}

func TestMprotectDecidesWhichAccessesPass(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name          string
		before, after raw.Prot
		loads, stores bool
	}{
		{"adding PROT_WRITE lets stores pass", raw.PROT_READ, rw, true, true},
		{"taking PROT_WRITE away stops stores", rw, raw.PROT_READ, true, false},
		{"PROT_NONE stops everything", rw, raw.PROT_NONE, false, false},
		{"PROT_READ after PROT_NONE lets loads pass", raw.PROT_NONE, raw.PROT_READ, true, false},
		{"PROT_READ with PROT_EXEC lets loads pass", rw, raw.PROT_READ | raw.PROT_EXEC, true, false},
	} {
		for kind, addr := range map[string]uintptr{
			"anonymous":    mapped(t, page, row.before, anon, nil, 0),
			"shared file":  mapped(t, page, row.before, raw.MAP_SHARED, file(t, page), 0),
			"private file": mapped(t, page, row.before, raw.MAP_PRIVATE, file(t, page), 0),
		} {
			t.Run(row.name+" ("+kind+")", func(t *testing.T) {
				mayLoad(addr) // so that there is a page-table entry to change
				mayStore(addr)
				must(t, raw.Mprotect(addr, page, row.after))
				if mayLoad(addr) != row.loads || mayStore(addr) != row.stores {
					t.Errorf("want loads to pass: %v, stores: %v", row.loads, row.stores)
				}
			})
		}
	}
}

// TestMprotectSplitsAndMergesAreas goes through protections of four pages, and
// counts areas: equal neighbours are one.
func TestMprotectSplitsAndMergesAreas(t *testing.T) {
	needLinux(t)
	base := zeros(t, 4)
	for i := range 4 {
		store(plus(base, i))
	}
	for _, step := range []struct {
		name    string
		from, n int
		prot    raw.Prot
		perms   []string // of the areas in the four pages
	}{
		{"the second page read-only splits in three", 1, 1, raw.PROT_READ, []string{"rw-p", "r--p", "rw-p"}},
		{"the third page joins the second", 2, 1, raw.PROT_READ, []string{"rw-p", "r--p", "rw-p"}},
		{"the last page alone", 3, 1, raw.PROT_READ | raw.PROT_EXEC, []string{"rw-p", "r--p", "r-xp"}},
		{"across two borders", 0, 3, raw.PROT_READ, []string{"r--p", "r-xp"}},
		{"everything writable again is one", 0, 4, rw, []string{"rw-p"}},
	} {
		must(t, raw.Mprotect(plus(base, step.from), pages(step.n), step.prot))
		got := areasIn(t, base, pages(4))
		for i := range max(len(got), len(step.perms)) {
			if len(got) != len(step.perms) || got[i].perms != step.perms[i] {
				t.Fatalf("%s: got %d areas, want %v", step.name, len(got), step.perms)
			}
		}
	}
	for i := range 4 {
		if at(plus(base, i), 1)[0] != 0xA5 {
			t.Errorf("page %d lost its byte", i)
		}
	}
}

func TestMprotectAcrossAHoleChangesThePagesBeforeIt(t *testing.T) {
	needLinux(t)
	base := holed(t, 3, 1)
	wantErr(t, raw.Mprotect(base, pages(3), raw.PROT_READ), syscall.ENOMEM)
	if mayStore(base) {
		t.Error("the page before the hole is still writable")
	}
	if !mayStore(plus(base, 2)) {
		t.Error("the page after the hole has changed")
	}
}

func TestProtNoneDoesNotFreeMemory(t *testing.T) {
	needLinux(t)
	addr := zeros(t, 1)
	store(addr)
	must(t, raw.Mprotect(addr, page, raw.PROT_NONE))
	must(t, raw.Mprotect(addr, page, raw.PROT_READ))
	if at(addr, 1)[0] != 0xA5 {
		t.Error("the byte is gone")
	}
}

// TestDirtyPagesOfReadOnlyMappingsStayReadOnly makes page-table entries dirty
// before the mapping turns read-only: none may be written through afterwards.
func TestDirtyPagesOfReadOnlyMappingsStayReadOnly(t *testing.T) {
	needLinux(t)
	for _, row := range []struct {
		name  string
		flags raw.Flag
		dirty func(addr uintptr) error
	}{
		{"dirtied by a store", raw.MAP_PRIVATE, func(a uintptr) error { store(a); return nil }},
		{"dirtied by a store to shared memory", raw.MAP_SHARED, func(a uintptr) error { store(a); return nil }},
		{"dirtied by MADV_POPULATE_WRITE", raw.MAP_PRIVATE, func(a uintptr) error {
			return raw.Madvise(a, page, raw.MADV_POPULATE_WRITE)
		}},
		{"dirtied and moved", raw.MAP_PRIVATE, func(a uintptr) error {
			store(a)
			_, err := raw.Mremap(a, page, page, raw.MREMAP_MAYMOVE|raw.MREMAP_FIXED, plus(a, 1))
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			base := arena(t, 2)
			place(t, base, page, rw, row.flags|raw.MAP_ANONYMOUS, nil, 0)
			must(t, row.dirty(base))
			for i := range 2 {
				addr := plus(base, i)
				if len(areasIn(t, addr, 1)) == 0 || areaAt(t, addr).perms[:2] != "rw" {
					continue
				}
				must(t, raw.Mprotect(addr, page, raw.PROT_READ))
				if mayStore(addr) {
					t.Error("a store passes")
				}
				return
			}
			t.Error("no page of the two is mapped")
		})
	}
}

package mmap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// An areaInfo is what the kernel says of a mapped area, from /proc/self/smaps.
type areaInfo struct {
	lo, hi uint64
	perms  string
	kB     map[string]int // "Rss", "Locked", ...
	flags  []string       // VmFlags
}

// areaAt is the area that holds addr.
func areaAt(t testing.TB, addr uintptr) areaInfo {
	t.Helper()
	testenv.Need(t, proc)
	data, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var a areaInfo
	inside := false
	for line := range strings.Lines(string(data)) {
		var lo, hi uint64
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &lo, &hi, &perms); n == 3 {
			if inside {
				return a
			}
			inside = lo <= uint64(addr) && uint64(addr) < hi
			a = areaInfo{lo: lo, hi: hi, perms: perms, kB: map[string]int{}}
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "VmFlags" {
			a.flags = strings.Fields(value)
		}
		if f := strings.Fields(value); len(f) == 2 && f[1] == "kB" {
			a.kB[name], _ = strconv.Atoi(f[0])
		}
	}
	if !inside {
		t.Fatalf("nothing is mapped at %#x", addr)
	}
	return a
}

func (a areaInfo) has(flag string) bool {
	for _, f := range a.flags {
		if f == flag {
			return true
		}
	}
	return false
}

// LTP's mmap04 and mprotect01 to 05 in our words.
func TestProtect(t *testing.T) {
	for _, row := range []struct {
		p          mmap.Prot
		perms      string
		load, stor error
	}{
		{mmap.ProtNone, "---", fs.ErrPermission, fs.ErrPermission},
		{mmap.ProtRead, "r--", nil, fs.ErrPermission},
		{mmap.ProtRead | mmap.ProtWrite, "rw-", nil, nil},
		{mmap.ProtRead | mmap.ProtExec, "r-x", nil, fs.ErrPermission},
		{mmap.ProtRead | mmap.ProtWrite | mmap.ProtExec, "rwx", nil, nil},
	} {
		for _, access := range []mmap.Access{mmap.ReadWrite, mmap.CopyOnWrite} {
			t.Run(row.p.String()+" of "+access.String(), func(t *testing.T) {
				m := hold(t)(mmap.OpenFile(newFile(t, pattern(4*pageSize)), mmap.Options{Access: access}))
				if err := m.Protect(int64(2*pageSize-1), 2, row.p); err != nil { // touches two pages
					t.Fatal(err)
				}
				base, _ := m.Span()
				for i, want := range []string{"rw-", row.perms, row.perms, "rw-"} {
					if a := areaAt(t, base+uintptr(i*pageSize)); a.perms[:3] != want {
						t.Errorf("page %d is %s, want %s", i, a.perms, want)
					}
				}
				check := func(what string, err, want error) {
					t.Helper()
					if want == nil && err != nil {
						t.Errorf("%s: %v", what, err)
					}
					if want != nil {
						wantFault(t, err, want, int64(pageSize))
					}
				}
				at := int64(pageSize)
				_, err := m.ReadAt(make([]byte, 1), at)
				check("ReadAt", err, row.load)
				check("a load in a View", m.View(at, 1, func(p []byte) error { _ = bytes.Clone(p); return nil }), row.load)
				_, err = m.WriteAt([]byte{1}, at)
				check("WriteAt", err, row.stor)
				check("a store in a View", m.View(at, 1, func(p []byte) error { p[0] = 1; return nil }), row.stor)

				if err := m.Protect(0, m.Len(), mmap.ProtRead|mmap.ProtWrite); err != nil {
					t.Fatal(err)
				}
				if _, err := m.WriteAt(pattern(m.Len()), 0); err != nil {
					t.Errorf("once it is writable again: %v", err)
				}
			})
		}
	}
}

func TestProtectRefuses(t *testing.T) {
	name := newFile(t, pattern(pageSize))
	for _, access := range []mmap.Access{mmap.ReadOnly, mmap.NoAccess} {
		m := hold(t)(mmap.Map(openFile(t, name, os.O_RDWR), mmap.Options{Access: access}))
		wantError(t, m.Protect(0, 1, mmap.ProtRead|mmap.ProtWrite), fs.ErrPermission, access.String())
		if err := m.Protect(0, 1, mmap.ProtRead); err != nil {
			t.Error(err)
		}
		if got := part(t, m, 0, 3); !bytes.Equal(got, pattern(3)) {
			t.Errorf("%v made readable shows %v", access, got)
		}
	}
	m := hold(t)(mmap.Open(name))
	wantError(t, m.Protect(0, 1, 8), fs.ErrInvalid)
	wantError(t, m.Protect(0, pageSize+1, mmap.ProtRead), mmap.ErrOutOfRange)
	wantError(t, m.Protect(-1, 1, mmap.ProtRead), mmap.ErrOutOfRange)
	wantError(t, m.Protect(0, -1, mmap.ProtRead), mmap.ErrOutOfRange)
}

// Reserved addresses become memory page by page.
func TestProtectOpensReservedAddresses(t *testing.T) {
	m := hold(t)(mmap.Anonymous(4*pageSize, mmap.Options{Access: mmap.NoAccess}))
	_, err := m.WriteAt([]byte{1}, 0)
	wantFault(t, err, fs.ErrPermission, 0)
	if err := m.Protect(int64(pageSize), pageSize, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt(pattern(pageSize), int64(pageSize)); err != nil {
		t.Error(err)
	}
	_, err = m.ReadAt(make([]byte, pageSize+1), int64(pageSize))
	wantFault(t, err, fs.ErrPermission, int64(2*pageSize))
}

func TestOptionsReachTheKernel(t *testing.T) {
	name := newFile(t, pattern(4*pageSize))
	for _, row := range []struct {
		what  string
		o     mmap.Options
		perms string
		flag  string
	}{
		{"read-only", mmap.Options{}, "r--s", ""},
		{"read-write", mmap.Options{Access: mmap.ReadWrite}, "rw-s", ""},
		{"copy-on-write", mmap.Options{Access: mmap.CopyOnWrite}, "rw-p", ""},
		{"no access", mmap.Options{Access: mmap.NoAccess}, "---s", ""},
		{"executable", mmap.Options{Exec: true}, "r-xs", ""},
		{"executable, copy-on-write", mmap.Options{Access: mmap.CopyOnWrite, Exec: true}, "rwxp", ""},
		{"sequential", mmap.Options{Pattern: mmap.Sequential}, "r--s", "sr"},
		{"random", mmap.Options{Pattern: mmap.Random}, "r--s", "rr"},
		{"locked now", mmap.Options{Lock: mmap.LockNow}, "r--s", "lo"},
		{"locked on fault", mmap.Options{Lock: mmap.LockOnFault}, "r--s", "lf"},
		{"transparent huge pages", mmap.Options{Access: mmap.CopyOnWrite, HugePages: mmap.TransparentHuge}, "rw-p", "hg"},
		{"no reserve", mmap.Options{Access: mmap.CopyOnWrite, NoReserve: true}, "rw-p", "nr"},
	} {
		t.Run(row.what, func(t *testing.T) {
			m := hold(t)(mmap.OpenFile(name, row.o))
			a := areaAt(t, m.Addr())
			if a.perms != row.perms || row.flag != "" && !a.has(row.flag) {
				t.Errorf("the kernel says %s %v, want %s %s", a.perms, a.flags, row.perms, row.flag)
			}
			if plain := areaAt(t, hold(t)(mmap.Open(name)).Addr()); row.flag != "" && plain.has(row.flag) {
				t.Errorf("a mapping without options has %s too", row.flag)
			}
		})
	}
}

func TestWordsOfTheOptions(t *testing.T) {
	for got, want := range map[fmt.Stringer]string{
		mmap.CopyOnWrite: "copy-on-write", mmap.Shared: "shared", mmap.Random: "random", mmap.LockOnFault: "lock on fault",
		mmap.Huge1GiB: "1 GiB pages", mmap.FixedNoReplace: "fixed, replacing nothing", mmap.ProtRead | mmap.ProtExec: "r-x",
		mmap.SyncInvalidate: "invalidate", mmap.AdvisePageOut: "page out", mmap.FreeLazily: "free lazily",
		mmap.Unknown: "unknown", mmap.PageCount(7): "7", mmap.Access(99): "Access(99)",
	} {
		if got.String() != want {
			t.Errorf("%#v is %q, want %q", got, got, want)
		}
	}
}

// Protect waits for a view that is out. Whoever is inside that view goes on using
// the mapping meanwhile: to wait for Protect would be to wait for ever.
func TestProtectWaitsForViewsAndTheyGoOn(t *testing.T) {
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(4*pageSize)), mmap.Options{Access: mmap.ReadWrite}))
	done := make(chan error)
	err := m.View(0, 1, func([]byte) error {
		go func() { done <- m.Protect(0, pageSize, mmap.ProtRead) }()
		for range 1000 { // some of them come while Protect waits
			if _, err := m.ReadAt(make([]byte, 10), 0); err != nil {
				return err
			}
			if err := m.View(int64(pageSize), 1, func([]byte) error { return nil }); err != nil {
				return err
			}
			runtime.Gosched()
		}
		select {
		case err := <-done:
			t.Errorf("Protect did not wait: %v", err)
		default:
		}
		wantError(t, m.Protect(0, 1, mmap.ProtNone), mmap.ErrBusy) // inside one's own view
		return nil
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.View(0, 1, func([]byte) error {
		go func() { done <- m.ProtectContext(ctx, 0, pageSize, mmap.ProtRead) }()
		err := <-done
		wantError(t, err, context.Canceled, "1 views are out")
		return nil
	})
}

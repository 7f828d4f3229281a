package mmap_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
)

// mapped reports whether the process's maps name the file.
func mapped(t *testing.T, name string) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(maps), name)
}

// freeAddr is an address with so many free bytes behind it.
func freeAddr(t *testing.T, n int) uintptr {
	t.Helper()
	m, err := mmap.Anonymous(n, mmap.Options{Access: mmap.NoAccess})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return m.Addr()
}

func TestFixedNoReplace(t *testing.T) {
	testenv.Need(t, testenv.FixedNoReplace)
	name := newFile(t, pattern(4*pageSize))
	for _, reserve := range []int{0, 8 * pageSize} {
		addr := freeAddr(t, 16*pageSize)
		m := hold(t)(mmap.OpenFile(name, mmap.Options{Offset: 100, Length: pageSize, Addr: addr + 100, Placement: mmap.FixedNoReplace, Reserve: reserve}))
		if m.Addr() != addr+100 {
			t.Errorf("it lies at %#x, want %#x", m.Addr(), addr+100)
		}
		want := pattern(4 * pageSize)[100 : 100+pageSize]
		// Whatever touches what is there is refused, in part or in whole.
		for what, o := range map[string]mmap.Options{
			"the same address":     {Addr: addr, Length: pageSize},
			"into it from below":   {Addr: addr - uintptr(pageSize), Length: 2 * pageSize},
			"its last page":        {Addr: addr + uintptr(pageSize), Length: 1},
			"all around it":        {Addr: addr - uintptr(pageSize), Length: 4 * pageSize},
			"into it, by reserve":  {Addr: addr - uintptr(pageSize), Length: 1, Reserve: 2 * pageSize},
			"into it, with holes":  {Addr: addr - uintptr(pageSize), Length: 4 * pageSize, Offset: 0},
			"the end, by one page": {Addr: addr + uintptr(pageSize), Length: 2 * pageSize},
		} {
			o.Placement = mmap.FixedNoReplace
			_, err := mmap.OpenFile(name, o)
			if err == nil {
				t.Errorf("%s: it was mapped", what)
				continue
			}
			wantError(t, err, fs.ErrExist, "taken")
			wantBytes(t, what+": what was there", contents(t, m), want)
		}
	}
}

func TestHint(t *testing.T) {
	addr := freeAddr(t, 8*pageSize)
	m := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Addr: addr, Placement: mmap.Hint}))
	if m.Addr() != addr {
		t.Errorf("a free address was asked for, %#x, and it lies at %#x", addr, m.Addr())
	}
	if _, err := m.WriteAt([]byte("here"), 0); err != nil {
		t.Fatal(err)
	}
	other := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Addr: addr, Placement: mmap.Hint}))
	if other.Addr() == addr {
		t.Error("a hint took the place of a mapping")
	}
	if got := part(t, m, 0, 4); string(got) != "here" {
		t.Errorf("what was there shows %q", got)
	}
}

// held reports whether nobody else is given this page.
func held(t *testing.T, addr uintptr) bool {
	t.Helper()
	m, err := mmap.Anonymous(pageSize, mmap.Options{Access: mmap.NoAccess, Addr: addr, Placement: mmap.FixedNoReplace})
	if err == nil {
		m.Close()
	}
	return errors.Is(err, fs.ErrExist)
}

func TestReservation(t *testing.T) {
	testenv.Need(t, testenv.FixedNoReplace)
	name := newFile(t, pattern(4*pageSize))
	r := hold(t)(mmap.Anonymous(16*pageSize, mmap.Options{Access: mmap.NoAccess}))
	at := func(page int) uintptr { return r.Addr() + uintptr(page*pageSize) }
	tenant := func(page, length, reserve int) *mmap.Mapping {
		t.Helper()
		return hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite, Length: length, Reserve: reserve, Addr: at(page), Placement: mmap.FixedReplace}))
	}
	a := tenant(2, 2*pageSize, 0)
	b := tenant(8, pageSize, 4*pageSize)
	if a.Addr() != at(2) || b.Addr() != at(8) {
		t.Errorf("they lie at %#x and %#x, want %#x and %#x", a.Addr(), b.Addr(), at(2), at(8))
	}
	wantBytes(t, "a tenant", contents(t, a), pattern(2*pageSize))

	// The tenants keep the reservation.
	wantError(t, r.Close(), mmap.ErrBusy, "2 mappings stand inside")
	wantError(t, r.Resize(20*pageSize), mmap.ErrBusy)
	// A tenant grows in its own reserve and no further.
	if err := b.Resize(4 * pageSize); err != nil || b.Addr() != at(8) {
		t.Errorf("growth in the reserve: %#x, %v", b.Addr(), err)
	}
	wantError(t, a.Resize(3*pageSize), mmap.ErrBusy)
	wantBytes(t, "a tenant that could not grow", contents(t, a), pattern(2*pageSize))

	for _, m := range []*mmap.Mapping{a, b} {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for page := range 16 {
		if !held(t, at(page)) {
			t.Errorf("page %d of the reservation was given up", page)
		}
	}
	c := tenant(2, pageSize, 0) // the place can be taken again
	c.Close()
	base := r.Addr()
	if err := r.Close(); err != nil {
		t.Fatalf("once the tenants have left: %v", err)
	}
	if held(t, base) {
		// Quarantined, then: whoever asks for them gets them.
		hold(t)(mmap.Anonymous(pageSize, mmap.Options{Addr: base, Placement: mmap.FixedNoReplace}))
	}
}

// A mapping that fails takes nothing away: the kernel unmaps what is there before
// it asks what is to come, and somebody else could be given those addresses.
func TestFailedMappingLeavesTheAddressesHeld(t *testing.T) {
	testenv.Need(t, testenv.FixedNoReplace)
	const huge, tooMuch = 2 << 20, min(32<<30, math.MaxInt/8+1) // no pool has that many huge pages
	r := hold(t)(mmap.Anonymous(2*tooMuch, mmap.Options{Access: mmap.NoAccess}))
	at := (r.Addr() + huge) &^ (huge - 1)

	o := mmap.Options{HugePages: mmap.Huge2MiB, Addr: at, Placement: mmap.FixedReplace}
	if _, err := mmap.Anonymous(tooMuch, o); err == nil {
		t.Fatal("there are too many huge pages")
	}
	if !held(t, at) {
		t.Error("a mapping that failed has made a hole in its reservation")
	}
	f := openFile(t, newFile(t, pattern(pageSize)), os.O_RDONLY)
	o = mmap.Options{Access: mmap.ReadWrite, Reserve: 4 * pageSize, Addr: at, Placement: mmap.FixedReplace}
	_, err := mmap.Map(f, o)
	wantError(t, err, fs.ErrPermission)
	if !held(t, at) || !held(t, at+uintptr(3*pageSize)) {
		t.Error("a mapping with a reserve that failed has made a hole in its reservation")
	}
	m := hold(t)(mmap.Anonymous(0, mmap.Options{HugePages: mmap.Huge2MiB, Reserve: tooMuch}))
	if err := m.Resize(tooMuch); err == nil {
		t.Fatal("there are too many huge pages")
	}
	if !held(t, m.Addr()) {
		t.Error("a Resize that failed has given up what the mapping held")
	}
}

// A Close that still waits may give up, and then the reservation has tenants.
func TestNoTenantWhileAReservationIsBeingClosed(t *testing.T) {
	r := hold(t)(mmap.Anonymous(16*pageSize, mmap.Options{Access: mmap.NoAccess}))
	tenant := mmap.Options{Addr: r.Addr(), Placement: mmap.FixedReplace}
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	err := r.View(0, 0, func([]byte) error {
		go func() { closed <- r.CloseContext(ctx) }()
		for r.Len() > 0 { // until the Close keeps others out
			time.Sleep(time.Millisecond)
		}
		_, err := mmap.Anonymous(pageSize, tenant)
		wantError(t, err, mmap.ErrBusy, "being closed")
		tenant.Addr += uintptr(15 * pageSize)
		_, err = mmap.Anonymous(2*pageSize, tenant)
		wantError(t, err, mmap.ErrBusy, "partly")
		cancel()
		return <-closed
	})
	wantError(t, err, context.Canceled)
	m := hold(t)(mmap.Anonymous(pageSize, tenant))
	wantError(t, r.Close(), mmap.ErrBusy, "1 mappings")
	m.Close()
}

// Whoever waits to be let into a reservation keeps nobody else from making one: the
// view that the wait is for may do that.
func TestWaitingForAReservationStopsNoOther(t *testing.T) {
	r := hold(t)(mmap.Anonymous(16*pageSize, mmap.Options{Access: mmap.NoAccess}))
	tenant := mmap.Options{Addr: r.Addr(), Placement: mmap.FixedReplace}
	done := make(chan error, 2)
	err := r.View(0, 0, func([]byte) error {
		go func() { done <- r.Protect(0, pageSize, mmap.ProtNone) }()
		time.Sleep(10 * time.Millisecond)
		go func() {
			m, err := mmap.Anonymous(pageSize, tenant)
			if err == nil {
				err = m.Close()
			}
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		m, err := mmap.Anonymous(pageSize, mmap.Options{Access: mmap.NoAccess})
		if err != nil {
			return err
		}
		return m.Close()
	})
	if err := errors.Join(err, <-done, <-done); err != nil {
		t.Error(err)
	}
}

func TestReservationsBorders(t *testing.T) {
	outer := hold(t)(mmap.Anonymous(16*pageSize, mmap.Options{Access: mmap.NoAccess}))
	at := outer.Addr()
	_, err := mmap.Anonymous(4*pageSize, mmap.Options{Addr: at + uintptr(14*pageSize), Placement: mmap.FixedReplace})
	wantError(t, err, mmap.ErrBusy, "partly")

	// A reservation in a reservation: the inner one is the tenant's.
	for range 20 { // whichever of the two is found first
		inner := hold(t)(mmap.Anonymous(8*pageSize, mmap.Options{Access: mmap.NoAccess, Addr: at, Placement: mmap.FixedReplace}))
		m := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Addr: at, Placement: mmap.FixedReplace}))
		wantError(t, inner.Close(), mmap.ErrBusy, "1 mappings")
		wantError(t, outer.Close(), mmap.ErrBusy, "1 mappings")
		_, err = mmap.Anonymous(2*pageSize, mmap.Options{Addr: at + uintptr(7*pageSize), Placement: mmap.FixedReplace})
		wantError(t, err, mmap.ErrBusy, "partly")
		if err := errors.Join(m.Close(), inner.Close()); err != nil {
			t.Fatal(err)
		}
	}
	// One that begins empty, or becomes so, is one all the same.
	late := hold(t)(mmap.Anonymous(0, mmap.Options{Access: mmap.NoAccess}))
	if err := late.Resize(4 * pageSize); err != nil {
		t.Fatal(err)
	}
	m := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Addr: late.Addr(), Placement: mmap.FixedReplace}))
	wantError(t, late.Close(), mmap.ErrBusy)
	m.Close()
	if err := errors.Join(late.Resize(0), late.Close(), outer.Close()); err != nil {
		t.Error(err)
	}
}

// A reserve belongs to its mapping, whatever its length is at the moment.
func TestReserveHoldsAddresses(t *testing.T) {
	testenv.Need(t, testenv.FixedNoReplace)
	m := hold(t)(mmap.OpenFile(newFile(t, pattern(8*pageSize)), mmap.Options{Length: pageSize, Reserve: 8 * pageSize}))
	last := m.Addr() + uintptr(7*pageSize)
	for _, n := range []int{pageSize, 8 * pageSize, 2, 0, 3 * pageSize} {
		if err := m.Resize(n); err != nil {
			t.Fatal(err)
		}
		if !held(t, last) {
			t.Errorf("at length %d the end of the reserve is free", n)
		}
	}
	m.Close()
	if held(t, last) { // quarantined, then: whoever asks for them gets them
		hold(t)(mmap.Anonymous(pageSize, mmap.Options{Addr: last, Placement: mmap.FixedNoReplace}))
	}
}

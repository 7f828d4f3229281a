package testenv

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

const thawer = "testenv.thaw"

// mostFrozen is when the watchdog thaws, so that no test run hangs on a frozen
// file system.
const mostFrozen = 10 * time.Second

// Freeze makes whoever writes to the file system mounted at root wait until
// thaw. It is thawed too when t ends, when the test process does, and after
// 10 seconds; the last is a failure of t.
func Freeze(t testing.TB, root string) (thaw func()) {
	t.Helper()
	Need(t, Root)
	refuseShared(t, root)
	fd, err := sys.OpenDir(root)
	if errors.Is(err, errors.ErrUnsupported) {
		Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	k := keep(t, thawer, thawSpec{root, mostFrozen})
	thaw = sync.OnceFunc(func() {
		if err := errors.Join(sys.ThawFS(fd), sys.Close(fd)); err != nil {
			t.Errorf("thaw %s, which the watchdog does after %v: %v", root, mostFrozen, err)
		}
		k.close()
	})
	t.Cleanup(thaw)
	var ready string
	k.ask(nil, &ready)
	if err := sys.FreezeFS(fd); err != nil {
		t.Fatalf("freeze %s: %v", root, err)
	}
	return thaw
}

type thawSpec struct {
	Root string
	Most time.Duration
}

// refuseShared keeps Freeze away from what the rest of the machine runs on.
func refuseShared(t testing.TB, root string) {
	t.Helper()
	dev := func(dir string) uint64 {
		fd, err := sys.OpenDir(dir)
		if err != nil {
			return 0
		}
		defer sys.Close(fd)
		st, err := sys.Fstat(fd)
		if err != nil {
			t.Fatal(err)
		}
		return st.Dev
	}
	for _, shared := range []string{"/", os.TempDir(), "."} {
		if d := dev(root); d != 0 && d == dev(shared) {
			t.Fatalf("%s is on the file system of %s: freezing it would stop more than this test", root, shared)
		}
	}
}

var _ = Register(thawer, func() {
	var s thawSpec
	spec(&s)
	fd, err := sys.OpenDir(s.Root) // before it is frozen
	if err != nil {
		childFailed(err)
	}
	thaw := func() { sys.ThawFS(fd) } // EINVAL when the test did
	time.AfterFunc(s.Most, thaw)
	onceOrphaned(thaw)
	say("ready")
	var nothing string
	json.NewDecoder(os.Stdin).Decode(&nothing) // waits for the end of the input
	thaw()
})

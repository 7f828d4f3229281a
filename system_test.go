package mmap_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

func examine(t testing.TB, path string) *mmap.System {
	t.Helper()
	s, err := mmap.Examine(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExamineTellsTheSystem(t *testing.T) {
	s := examine(t, "")
	if s.PageSize != pageSize || s.OS == "" || s.Arch == "" || s.Place != nil {
		t.Errorf("%+v", s)
	}
	if len(s.Features) == 0 {
		t.Fatal("no features")
	}
	for _, f := range s.Features {
		if got := s.Feature(f.Name); got != f {
			t.Errorf("Feature(%q) = %v", f.Name, got)
		}
		if (f.Answer == mmap.Available) != (f.Reason == "") {
			t.Errorf("%+v", f)
		}
	}
	if f := s.Feature("no such thing"); f.Answer != mmap.NotKnown {
		t.Errorf("%+v", f)
	}
	if l := s.Limit("no such thing"); l.Known {
		t.Errorf("%+v", l)
	}
	for _, l := range s.Limits {
		if l.Known && (l.Used > l.Max || l.Max > l.Hard && l.Name != "CommitLimit") {
			t.Errorf("%+v", l)
		}
	}
	var again mmap.System
	if text, err := json.Marshal(s); err != nil {
		t.Error(err)
	} else if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(&again, s) {
		t.Errorf("after JSON: %+v, %v", again, err)
	}
	if err := again.Features[0].Answer.UnmarshalText([]byte("perhaps")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an answer that does not exist: %v", err)
	}
}

func TestExamineCountsWhatIsInUse(t *testing.T) {
	testenv.Need(t, proc)
	before := examine(t, "")
	m := hold(t)(mmap.Anonymous(pageSize, mmap.Options{Lock: mmap.LockNow}))
	f, err := m.File()
	if err == nil {
		t.Fatal("private memory has a descriptor", f)
	}
	open, err := os.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	after := examine(t, "")
	for name, more := range map[string]uint64{"RLIMIT_MEMLOCK": uint64(pageSize), "RLIMIT_NOFILE": 1} {
		if b, a := before.Limit(name), after.Limit(name); !a.Known || a.Used != b.Used+more {
			t.Errorf("%s: %+v, then %+v", name, b, a)
		}
	}
}

func init() {
	testenv.Register("examine under limits", func() {
		s, err := mmap.Examine(os.Getenv("EXAMINE"))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.Limit("RLIMIT_MEMLOCK").Max, s.Limit("RLIMIT_FSIZE").Max, s.Feature("mlock2").Answer,
			s.Capabilities.IPCLock, s.Place.Probed, s.Place.CacheSeen, s.Place.Shared)
	})
}

// TestExamineChangesWithTheProcess asks as a user without rights and room.
func TestExamineChangesWithTheProcess(t *testing.T) {
	testenv.Need(t, proc, testenv.Root, testenv.Nobody, testenv.Mlock2, testenv.Cachestat)
	path := newFileIn(t, testenv.DiskDir(t), pattern(pageSize))
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(filepath.Dir(path), 0o555)); err != nil {
		t.Fatal(err)
	}
	r := testenv.Child{Name: "examine under limits", Nobody: true, Env: []string{"EXAMINE=" + path},
		Limits: map[sys.Resource]uint64{sys.LockedMemory: 0, sys.FileSize: 1 << 20}}.Run(t)
	if want := "0 1048576 refused false the file itself refused unknown\n"; r.Stdout != want {
		t.Errorf("%q, want %q\n%s", r.Stdout, want, r.Stderr)
	}
}

func TestExamineDisk(t *testing.T) {
	testenv.Need(t, proc, testenv.Cachestat)
	dir := testenv.DiskDir(t)
	p := examine(t, dir).Place
	if p.Probed != "a new file" || p.FileSystem == "" || p.MountPoint == "" || p.Total == 0 || p.Free > p.Total {
		t.Errorf("%+v", p)
	}
	if p.Shared != mmap.Available || p.CacheSeen != mmap.Available || p.CacheDropped != mmap.Available || p.StartsWriting != mmap.Available {
		t.Errorf("%+v", p)
	}
	if p.FolioBytes < int64(pageSize) || p.FolioBytes%int64(pageSize) != 0 {
		t.Errorf("one store made %d bytes dirty", p.FolioBytes)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestExamineTmpfs(t *testing.T) {
	testenv.Need(t, proc, testenv.Cachestat)
	p := examine(t, testenv.TmpfsDir(t)).Place
	if p.FileSystem != "tmpfs" || p.InPlace != mmap.Available || p.Reserves != mmap.Available || p.CacheDropped == mmap.Available || p.ReadAhead != -1 {
		t.Errorf("%+v", p)
	}
}

// TestExamineKnowsWhereAReservationIsNoPromise asks file systems that write
// elsewhere than in place.
func TestExamineKnowsWhereAReservationIsNoPromise(t *testing.T) {
	t.Run("btrfs", func(t *testing.T) {
		p := examine(t, testenv.LoopFS(t, "btrfs", 128<<20)).Place
		if p.FileSystem != "btrfs" || p.InPlace != mmap.Missing {
			t.Errorf("%+v", p)
		}
	})
	t.Run("xfs", func(t *testing.T) {
		root := testenv.LoopFS(t, "xfs", 320<<20)
		if p := examine(t, root).Place; p.FileSystem != "xfs" || p.InPlace != mmap.Available {
			t.Errorf("%+v", p)
		}
		one := newFileIn(t, root, pattern(4*pageSize))
		if out, err := exec.Command("cp", "--reflink=always", one, one+".copy").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if p := examine(t, one).Place; p.InPlace != mmap.Missing {
			t.Errorf("a file with shared blocks: %+v", p)
		}
	})
}

func TestExamineNeedsAPathThatIsThere(t *testing.T) {
	s, err := mmap.Examine(filepath.Join(t.TempDir(), "missing"))
	var e *mmap.Error
	if s != nil || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &e) || e.Op != "examine" {
		t.Errorf("%v, %v", s, err)
	}
}

func TestExamineOfADeviceExaminesItsDirectory(t *testing.T) {
	testenv.Need(t, proc)
	p := examine(t, "/dev/null").Place
	if p.FileSystem == "" || p.MountPoint != "/dev" && !strings.HasPrefix("/dev", p.MountPoint) {
		t.Errorf("%+v", p)
	}
}

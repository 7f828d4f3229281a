package mmap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

// slowPages is the length of the slow file, badPage the one that fails.
const slowPages, badPage = 16, 5

// slowAccesses read or write 10 pages from start on, or all of the mapping. n is
// what each tells of the bytes that it moved into p or out of it.
var slowAccesses = map[string]func(m *mmap.Mapping, p []byte, start int64) (n int, err error){
	"ReadAt": func(m *mmap.Mapping, p []byte, start int64) (int, error) { return m.ReadAt(p, start) },
	"View": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		return 0, m.View(start, len(p), func([]byte) error { return errors.New("fn ran") })
	},
	"a View's copy": func(m *mmap.Mapping, p []byte, start int64) (n int, err error) {
		err = m.View(start, len(p), func(v []byte) error {
			for i, b := range v { // one by one, as a fault tells no count
				p[i], n = b, i+1
			}
			return nil
		})
		return n, err
	},
	"ViewOf": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		return 0, mmap.ViewOf(m, start, len(p)/8, func([]uint64) error { return errors.New("fn ran") })
	},
	"WriteView": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		return 0, m.WriteView(start, len(p), func([]byte) error { return errors.New("fn ran") })
	},
	"SendTo": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		var b bytes.Buffer
		n, err := m.SendTo(&b, start, len(p))
		copy(p, b.Bytes())
		return int(n), err
	},
	"WriteAt": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		testenv.Pattern(p, start)
		return m.WriteAt(p, start)
	},
	"Reader": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		r := m.NewReader()
		if _, err := r.Seek(start, io.SeekStart); err != nil {
			return 0, err
		}
		return r.Read(p)
	},
	"WriteTo": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		r := m.NewReader()
		if _, err := r.Seek(start, io.SeekStart); err != nil {
			return 0, err
		}
		var b bytes.Buffer
		n, err := r.WriteTo(&b)
		copy(p, b.Bytes())
		return int(n), err
	},
	"Populate": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		return 0, m.Populate(context.Background(), start, len(p))
	},
	"a bare load": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		return copy(p, m.Bytes()[start:]), nil
	},
}

// TestSlowFailureIsAnError has a page fail late. A plain load of it never comes
// back: see TestSlowFailureHangsABareLoad. So each access has a process of its own.
//
// A file call meets a bad page twice, reading ahead and by itself. With bytes
// before that page it returns those, and is not made again to hear why there are
// no more, unless the kernel hides what is in memory. Populate asks by
// MADV_POPULATE_READ, which does not tell the page.
func TestSlowFailureIsAnError(t *testing.T) {
	for _, row := range []struct {
		access      string
		moves       bool // it tells how many bytes
		first, most int  // failures at most: of the first page, of a later one
	}{
		{"ReadAt", true, 2, 2},
		{"View", false, 2, 2},
		{"ViewOf", false, 2, 2},
		{"WriteView", false, 2, 2},
		{"WriteAt", true, 2, 2},
		{"Reader", true, 2, 2},
		{"WriteTo", true, 2, 2},
		{"SendTo", true, 2, 2},
		{"Populate", false, 4, 5},
	} {
		good := 0
		if row.moves {
			good = badPage*pageSize - 104
		}
		for _, how := range []struct {
			what        string
			start, good int
			delay       time.Duration
			most        int
			filter      string
		}{
			{"late, of the first page", badPage*pageSize + 104, 0, late, row.first, ""},
			{"late, of a later page", 104, good, late, row.most, ""},
			{"late, of a later page, behind a filter", 104, good, late, row.most + 1, "on"},
			{"at once, of a later page", 104, good, 0, row.most + 1, ""},
		} {
			t.Run(row.access+"/"+how.what, func(t *testing.T) {
				t.Parallel()
				if how.filter != "" {
					testenv.Need(t, testenv.Seccomp)
				}
				fs, child := failing(t, row.access, how.start, testenv.Fault{Err: sys.EIO, Delay: how.delay})
				child.Env = append(child.Env, "FILTER="+how.filter)
				wantSaid(t, child, how.good, badPage*pageSize, sys.EIO)
				wantFailures(t, fs, how.most)
			})
		}
	}
}

// late is later than a plain access can stand.
const late = 100 * time.Millisecond

// TestSlowFailureOfADisk is the same where file calls stand in for memory.
func TestSlowFailureOfADisk(t *testing.T) {
	testenv.Need(t, testenv.Cachestat)
	for _, access := range []string{"ReadAt", "View", "WriteAt", "Reader", "WriteTo"} {
		t.Run(access, func(t *testing.T) {
			t.Parallel()
			d := testenv.FailingDisk(t, "ext4", 32<<20)
			content := make([]byte, slowPages*pageSize)
			testenv.Pattern(content, 0)
			name := newFileIn(t, d.Root, content)
			m := hold(t)(mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}))
			if err := m.SyncRange(0, m.Len(), mmap.SyncInvalidate); err != nil {
				t.Fatal(err)
			}
			d.SetFile(name, testenv.Fault{Op: testenv.Read, Err: sys.EIO, Delay: late})
			child := testenv.Child{Name: "slow failure", Env: []string{"NAME=" + name, "ACCESS=" + access, "START=" + strconv.Itoa(badPage*pageSize+104)}}
			wantSaid(t, child, 0, badPage*pageSize, sys.EIO)
			wantFailures(t, d.Device, 2)
		})
	}
}

// TestTruncatedMidway has a file end while it is being read, and the kernel learns
// of it by an answer that is short and slow. That is no failure of the disk.
func TestTruncatedMidway(t *testing.T) {
	for _, access := range []string{"ReadAt", "Reader", "WriteTo", "a View's copy"} {
		t.Run(access, func(t *testing.T) {
			t.Parallel()
			_, child := failing(t, access, 104, testenv.Fault{Delay: late, TruncateTo: int64(badPage*pageSize + 100)})
			wantSaid(t, child, (badPage+1)*pageSize-104, (badPage+1)*pageSize, mmap.ErrPastEnd)
		})
	}
}

// wantSaid wants the child to have moved so many good bytes, and then a fault.
func wantSaid(t *testing.T, c testenv.Child, good, off int, cause error) {
	t.Helper()
	out := runBounded(t, c)
	want := fmt.Sprintf("%d good bytes, fault at %d, %v\n", good, off, cause)
	if out != want {
		t.Errorf("the child said\n%swant\n%s", out, want)
	}
}

func wantFailures(t *testing.T, fs *testenv.FaultFS, most int) {
	t.Helper()
	if n := failures(fs); n < 1 || n > most {
		t.Errorf("the bad page was asked for %d times, want 1 to %d", n, most)
	}
}

// failing is a file with a bad page, and a child that meets it.
func failing(t *testing.T, access string, start int, fault testenv.Fault) (*testenv.FaultFS, testenv.Child) {
	t.Helper()
	fs := testenv.SlowFS(t, testenv.SlowFile{Size: int64(slowPages * pageSize)})
	fault.Op, fault.Off, fault.Len = testenv.Read, int64(badPage*pageSize), int64(pageSize)
	fs.Set(fault)
	env := []string{"NAME=" + fs.Path, "ACCESS=" + access, "START=" + strconv.Itoa(start)}
	return fs, testenv.Child{Name: "slow failure", Env: env}
}

// failures counts the requests that were answered EIO.
func failures(fs *testenv.FaultFS) (n int) {
	for _, r := range fs.Requests() {
		if r.Op == testenv.Read && r.Err == sys.EIO {
			n++
		}
	}
	return n
}

// TestSlowFailureHangsABareLoad shows that the rig would notice an access that
// touches the page: the runtime's preemption signal interrupts the wait, and the
// kernel starts the read again, and again.
func TestSlowFailureHangsABareLoad(t *testing.T) {
	fs, child := failing(t, "a bare load", 104, testenv.Fault{Err: sys.EIO, Delay: late})
	cmd := child.Command(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	for failures(fs) < 8 {
		select {
		case <-ended:
			t.Errorf("the child ended after %d failures", failures(fs))
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	cmd.Process.Kill()
	<-ended
}

var _ = testenv.Register("slow failure", func() {
	if os.Getenv("FILTER") != "" {
		must(sys.RefuseRareCalls())
	}
	start, err := strconv.ParseInt(os.Getenv("START"), 10, 64)
	if err != nil {
		panic(err)
	}
	m, err := mmap.OpenFile(os.Getenv("NAME"), mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		panic(err)
	}
	p := make([]byte, 10*pageSize)
	n, err := slowAccesses[os.Getenv("ACCESS")](m, p, start)
	good, want := 0, make([]byte, n)
	testenv.Pattern(want, start)
	if errors.Is(err, mmap.ErrPastEnd) { // what is behind the end is zero
		clear(want[badPage*pageSize+100-int(start):])
	}
	for good < n && p[good] == want[good] {
		good++
	}
	off, cause := int64(-1), err
	if f := new(mmap.FaultError); errors.As(err, &f) {
		off = f.Off
	}
	for _, c := range []error{sys.EIO, mmap.ErrPastEnd} {
		if errors.Is(err, c) {
			cause = c
		}
	}
	fmt.Printf("%d good bytes, fault at %d, %v\n", good, off, cause)
	if n != good || off < 0 {
		fmt.Println(n, "were told;", err)
	}
})

// childPatience bounds what a test waits for a child that may never end.
const childPatience = 30 * time.Second

// runBounded is runChild for a child that a bug would make loop for ever.
func runBounded(t testing.TB, c testenv.Child) string {
	t.Helper()
	cmd := c.Command(t)
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(childPatience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s%s", err, out.String(), stderr.String())
	}
	return out.String()
}

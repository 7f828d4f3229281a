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
	"ViewOf": func(m *mmap.Mapping, p []byte, start int64) (int, error) {
		return 0, mmap.ViewOf(m, start, len(p)/8, func([]uint64) error { return errors.New("fn ran") })
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
// before that page it returns those first, and a third failure tells why there
// are no more. Populate asks by MADV_POPULATE_READ, which does not tell the page.
func TestSlowFailureIsAnError(t *testing.T) {
	for _, row := range []struct {
		access      string
		moves       bool // it tells how many bytes
		first, most int  // failures at most: of the first page, of a later one
	}{
		{"ReadAt", true, 2, 3},
		{"View", false, 2, 3},
		{"ViewOf", false, 2, 3},
		{"WriteAt", true, 2, 3},
		{"Reader", true, 2, 3},
		{"WriteTo", true, 2, 3},
		{"Populate", false, 4, 5},
	} {
		t.Run(row.access+"/of the first page", func(t *testing.T) {
			t.Parallel()
			slowFailure(t, row.access, badPage*pageSize+104, 0, row.first)
		})
		t.Run(row.access+"/of a later page", func(t *testing.T) {
			t.Parallel()
			good := 0
			if row.moves {
				good = badPage*pageSize - 104
			}
			slowFailure(t, row.access, 104, good, row.most)
		})
	}
}

func slowFailure(t *testing.T, access string, start, good, most int) {
	fs, child := failingLate(t, access, start)
	out := runBounded(t, child)
	want := fmt.Sprintf("%d good bytes, fault at %d, EIO true\n", good, badPage*pageSize)
	if out != want {
		t.Errorf("the child said\n%swant\n%s", out, want)
	}
	if n := failures(fs); n < 1 || n > most {
		t.Errorf("the bad page was asked for %d times, want 1 to %d", n, most)
	}
}

// failingLate is a file with a bad page, and a child that meets it.
func failingLate(t *testing.T, access string, start int) (*testenv.FaultFS, testenv.Child) {
	t.Helper()
	fs := testenv.SlowFS(t, testenv.SlowFile{Size: int64(slowPages * pageSize)})
	fs.Set(testenv.Fault{Op: testenv.Read, Off: int64(badPage * pageSize), Len: int64(pageSize),
		Delay: 100 * time.Millisecond, Err: sys.EIO})
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
	fs, child := failingLate(t, "a bare load", 104)
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
	for good < n && p[good] == want[good] {
		good++
	}
	off := int64(-1)
	if f := new(mmap.FaultError); errors.As(err, &f) {
		off = f.Off
	}
	fmt.Printf("%d good bytes, fault at %d, EIO %v\n", good, off, errors.Is(err, sys.EIO))
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

package mmap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/testenv"
)

const hostilePages = 300 // more than one look at what is in memory takes for granted

// TestHostileSurroundings makes a tour of the package where something is refused
// or different. What must hold everywhere the tour sees to; what it prints is
// what may differ, and must be the truth.
func TestHostileSurroundings(t *testing.T) {
	loop := func(kind string, size int64) func(t *testing.T) string {
		return func(t *testing.T) string { return testenv.LoopFS(t, kind, size) }
	}
	disk := func(t *testing.T) string { return testenv.DiskDir(t) }
	const (
		known     = "resident all, then all of it\n"
		unknown   = "resident unknown, then unsupported\n"
		dropped   = "invalidate: <nil>\n"
		hidden    = "invalidate: unsupported\n"
		notOnDisk = "invalidate: still cached\n"
	)
	for _, row := range []struct {
		where  string
		dir    func(t *testing.T) string
		nobody bool
		filter string
		want   string
	}{
		{"an ordinary process on a disk", disk, false, "", known + dropped},
		{"a filter that refuses rare calls", disk, false, "on", unknown + hidden},
		{"a user without privileges", disk, true, "", known + dropped},
		{"a user without privileges, and the filter", disk, true, "on", unknown + hidden},
		{"tmpfs", func(t *testing.T) string { return testenv.TmpfsDir(t) }, false, "", known + notOnDisk},
		{"tmpfs, and the filter", func(t *testing.T) string { return testenv.TmpfsDir(t) }, false, "on", unknown + hidden},
		{"overlayfs", func(t *testing.T) string { return testenv.Overlay(t).Merged }, false, "", known + dropped},
		{"overlayfs, and the filter", func(t *testing.T) string { return testenv.Overlay(t).Merged }, false, "on", unknown + hidden},
		{"ext4", loop("ext4", 32<<20), true, "", known + dropped},
		{"XFS", loop("xfs", 300<<20), true, "", known + dropped},
		{"Btrfs", loop("btrfs", 128<<20), true, "", known + dropped},
		{"Btrfs, and the filter", loop("btrfs", 128<<20), false, "on", unknown + hidden},
	} {
		t.Run(row.where, func(t *testing.T) {
			testenv.Need(t, proc)
			if row.nobody {
				testenv.Need(t, testenv.Nobody)
			}
			if row.filter != "" {
				testenv.Need(t, testenv.Seccomp)
			}
			dir := row.dir(t)
			out := runBounded(t, testenv.Child{Name: "tour", Nobody: row.nobody, Env: []string{"DIR=" + dir, "FILTER=" + row.filter}})
			if out != row.want {
				t.Errorf("the tour said\n%swant\n%s", out, row.want)
			}
		})
	}
}

var _ = testenv.Register("tour", func() {
	if os.Getenv("FILTER") != "" {
		if err := sys.RefuseRareCalls(); err != nil {
			panic(err)
		}
		refused(sys.Mincore(0, 0, nil))
		_, err := sys.Cachestat(0, 0, 0)
		refused(err)
		_, err = sys.Userfaultfd(true)
		refused(err)
		_, err = sys.PreadNow(0, nil, 0)
		refused(err)
		refused(sys.Madvise(0, 0, sys.MADV_POPULATE_READ))
	}
	name := filepath.Join(os.Getenv("DIR"), "toured")
	want := pattern(hostilePages * pageSize)
	tourWrites(name, want)
	tourReads(name, want)
	tourTells(name)
	tourResizes(name, want)
	tourFaults(name, want)
})

func refused(err error) {
	if !errors.Is(err, sys.EPERM) {
		panic(fmt.Sprint("the filter let a call through: ", err))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func mustEqual(what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		panic(fmt.Sprintf("%s: %d bytes that are not the %d wanted", what, len(got), len(want)))
	}
}

func tourWrites(name string, want []byte) {
	m, err := mmap.Create(name, len(want), 0o600)
	must(err)
	_, err = m.WriteAt(want[:1000], 0)
	must(err)
	_, err = m.WriteAt(want[1000:], 1000)
	must(err)
	must(m.WriteView(50, 10, func(p []byte) error { copy(p, want[50:]); return nil }))
	must(m.SyncRange(0, m.Len(), mmap.SyncStart))
	must(m.Sync())
	must(m.Close())
}

func tourReads(name string, want []byte) {
	for _, o := range []mmap.Options{{}, {Access: mmap.CopyOnWrite}, {Access: mmap.ReadWrite, Pattern: mmap.Random}, {Populate: true}} {
		m, err := mmap.OpenFile(name, o)
		must(err)
		p := make([]byte, len(want))
		_, err = m.ReadAt(p[:10], 5000)
		must(err)
		mustEqual("ReadAt", p[:10], want[5000:5010])
		must(m.View(0, m.Len(), func(v []byte) error { copy(p, v); return nil }))
		mustEqual("View", p, want)
		all, err := io.ReadAll(m.NewReader())
		must(err)
		mustEqual("Reader", all, want)
		var b bytes.Buffer
		_, err = m.WriteTo(&b)
		must(err)
		mustEqual("WriteTo", b.Bytes(), want)
		must(m.Lock(0, pageSize, mmap.LockNow))
		must(m.Unlock(0, pageSize))
		must(m.Protect(0, pageSize, mmap.ProtNone))
		must(m.Protect(0, pageSize, mmap.ProtRead))
		must(m.Populate(context.Background(), 0, m.Len()))
		must(m.Advise(0, m.Len(), mmap.AdviseWillNeed))
		must(m.Close())
	}
}

// tourTells prints what the kernel may hide.
func tourTells(name string) {
	m, err := mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite})
	must(err)
	must(m.Populate(context.Background(), 0, m.Len()))
	r, err := m.Residency(0, m.Len())
	must(err)
	resident := r.Resident.String()
	if r.Resident == r.Pages {
		resident = "all"
	}
	ranges := "nothing"
	for run, err := range m.ResidentRanges(0, m.Len()) {
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			ranges = "unsupported"
		case err != nil:
			panic(err)
		case run.Len == int64(m.Len()):
			ranges = "all of it"
		}
	}
	fmt.Printf("resident %s, then %s\n", resident, ranges)
	err = m.SyncRange(0, m.Len(), mmap.SyncInvalidate)
	switch {
	case errors.Is(err, mmap.ErrStillCached):
		fmt.Println("invalidate: still cached")
	case errors.Is(err, errors.ErrUnsupported) && strings.Contains(err.Error(), "hides"):
		fmt.Println("invalidate: unsupported")
	default:
		fmt.Println("invalidate:", err)
	}
	must(m.Close())
}

func tourResizes(name string, want []byte) {
	m, err := mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite})
	must(err)
	must(m.Resize(2 * len(want)))
	_, err = m.WriteAt(want, int64(len(want)))
	must(err)
	must(m.Sync())
	must(m.Resize(len(want)))
	must(m.Close())
	got, err := os.ReadFile(name)
	must(err)
	mustEqual("the file", got, append(bytes.Clone(want), want...))
}

func tourFaults(name string, want []byte) {
	m, err := mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite})
	must(err)
	must(os.Truncate(name, int64(pageSize)))
	p := make([]byte, 2*pageSize)
	for what, access := range map[string]func() (int, error){
		"ReadAt":  func() (int, error) { return m.ReadAt(p, 10) },
		"WriteAt": func() (int, error) { return m.WriteAt(want[10:10+len(p)], 10) },
		"View": func() (int, error) {
			return pageSize - 10, m.View(10, len(p), func(v []byte) error { copy(p, v); return nil })
		},
		"Populate": func() (int, error) { return pageSize - 10, m.Populate(context.Background(), 0, m.Len()) },
	} {
		n, err := access()
		var f *mmap.FaultError
		if n != pageSize-10 || !errors.As(err, &f) || f.Off != int64(pageSize) || !errors.Is(err, mmap.ErrPastEnd) {
			panic(fmt.Sprintf("%s in a truncated file: %d, %v", what, n, err))
		}
	}
	if st, err := os.Stat(name); err != nil || st.Size() != int64(pageSize) {
		panic(fmt.Sprint("the file has ", st.Size(), " bytes ", err))
	}
	must(m.Close())
}

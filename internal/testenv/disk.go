package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/sys"
)

// A Disk is a file system on a block device that fails on command.
type Disk struct {
	Root   string   // where it is mounted
	Device *FaultFS // what the block device asks for; its file is the device
}

// FailingDisk is like [LoopFS], for ext4 and xfs, on a device that can be made
// slow or failing: a loop device whose file lies on a [FaultFS]. It works well
// until told otherwise and again when t ends. The device flushes itself by Sync
// requests. A failure under the file system's own blocks can end it for good
// (ext4 aborts its journal, xfs shuts down); SetFile is about data alone.
func FailingDisk(t testing.TB, kind string, size int64) *Disk {
	t.Helper()
	if kind != "ext4" && kind != "xfs" {
		t.Fatalf("%s does not tell where on the device a file lies", kind)
	}
	needLoop(t, kind)
	image, root := newImage(t, TmpfsDir(t), kind, size), newDir(t, os.TempDir())
	dev := serve(t, faultSpec{SlowFile: SlowFile{Size: size}, Image: image, Over: root})
	mount(t, root, "-t", kind, "-o", "loop", dev.Path)
	t.Cleanup(func() { dev.Set() })
	return &Disk{Root: root, Device: dev}
}

// SetFile replaces every fault of the disk by those of a file on it: their
// offsets are the file's. The ranges must have blocks already. Reads of what
// the page cache has, and writes to it, are not the device's business: evict
// before the one, and sync after the other. All that the kernel reads in one go
// with a bad byte fails with it, and in a large folio stays so; a mapping with
// MADV_RANDOM fails page by page.
func (d *Disk) SetFile(name string, faults ...Fault) {
	t := d.Device.t
	t.Helper()
	fd, err := sys.OpenFile(name, sys.OpenRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(fd)
	st, err := sys.Fstat(fd)
	if err != nil {
		t.Fatal(err)
	}
	var below []Fault
	for _, fault := range faults {
		if fault.Len == 0 {
			fault.Len = st.Size - fault.Off
		}
		extents, err := sys.Extents(fd, fault.Off, fault.Len)
		if err != nil || len(extents) == 0 {
			t.Fatalf("the place of %s on its device: %v, %v", name, extents, err)
		}
		for _, e := range extents {
			fault.Off, fault.Len = e.Device, e.Len
			below = append(below, fault)
		}
	}
	d.Device.Set(below...)
}

// mostToFill keeps Fill away from disks that are not a test's own.
const mostToFill = 1 << 30

// Fill takes every block of the small file system that dir is on, those for
// root too, and free gives them back. A test that does not is cleaned up after.
func Fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	fd, err := sys.OpenFile(ballast, sys.OpenCreate, 0o600)
	if errors.Is(err, errors.ErrUnsupported) {
		Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	free = func() {
		if err := os.Remove(ballast); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	t.Cleanup(free)
	defer sys.Close(fd)
	if space, err := sys.FileSystemSpace(fd); err != nil || space.Total > mostToFill {
		t.Fatalf("%s is on a file system of %d bytes, too large to fill (%v)", dir, space.Total, err)
	}
	if err := fill(fd); err != nil {
		t.Fatalf("filling %s: %v", dir, err)
	}
	return free
}

// fill allocates blocks at the end of a file until not even one page fits.
func fill(fd int) error {
	var size int64
	for _, step := range []int64{1 << 20, int64(os.Getpagesize())} {
		err := sys.Extend(fd, size, step)
		for ; err == nil; err = sys.Extend(fd, size, step) {
			size += step
		}
		if !errors.Is(err, sys.ENOSPC) {
			return err
		}
	}
	return nil
}

// Reflink makes the new file to, which shares all its blocks with from. t is
// skipped where the file system can't do that.
func Reflink(t testing.TB, from, to string) {
	t.Helper()
	err := reflink(from, to)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, sys.EOPNOTSUPP) {
		Skip(t, fmt.Sprintf("needs reflinks on the file system of %s: %v", to, err))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func reflink(from, to string) error {
	in, err := sys.OpenFile(from, sys.OpenRead, 0)
	if err != nil {
		return err
	}
	defer sys.Close(in)
	out, err := sys.OpenFile(to, sys.OpenCreate, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(sys.CloneFile(out, in), sys.Close(out))
}

// An OverlayDir is an overlay file system and the two directories it shows as one.
type OverlayDir struct {
	Lower, Upper, Merged string
}

// Overlay mounts an overlay file system, on a disk. What is put in Lower before
// its first use shows in Merged; what Merged changes goes to Upper.
func Overlay(t testing.TB) OverlayDir {
	t.Helper()
	Need(t, Root, tool("mount"), Feature{Name: "the file systems of Linux", Probe: func() error {
		_, err := os.Stat("/proc/filesystems")
		return err
	}})
	dir := DiskDir(t)
	o := OverlayDir{filepath.Join(dir, "lower"), filepath.Join(dir, "upper"), filepath.Join(dir, "merged")}
	work := filepath.Join(dir, "work")
	for _, d := range []string{o.Lower, o.Upper, o.Merged, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layers := []string{"lowerdir=" + o.Lower, "upperdir=" + o.Upper, "workdir=" + work}
	mount(t, o.Merged, "-t", "overlay", "-o", strings.Join(layers, ","), "overlay")
	return o
}

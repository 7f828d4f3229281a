package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/sys"
)

// File systems by the number that statfs(2) tells (linux/magic.h).
const tmpfs = 0x01021994

var disks = map[int64]string{
	0xef53:     "ext2, ext3 or ext4",
	0x58465342: "xfs",
	0x9123683e: "btrfs",
	0xf2f52010: "f2fs",
	0x2fc12fc1: "zfs",
	0xca451a4e: "bcachefs",
}

// DiskDir is a new directory on a file system that keeps its bytes on a disk;
// t is skipped where there is none. Any user may write there, so that a child
// can run as nobody. It is removed when t ends. On systems whose file systems
// have no number, it is a temporary directory of whatever kind.
func DiskDir(t testing.TB) string {
	t.Helper()
	var seen []string
	for _, parent := range diskCandidates() {
		magic, err := fileSystem(parent)
		if errors.Is(err, errors.ErrUnsupported) || err == nil && disks[magic] != "" {
			return newDir(t, parent)
		}
		seen = append(seen, fmt.Sprintf("%s is %#x", parent, magic))
	}
	Skip(t, "needs a directory on a disk file system (MMAP_TEST_DISK): "+strings.Join(seen, ", "))
	return ""
}

func diskCandidates() []string {
	list := []string{os.TempDir(), "/var/tmp", "."}
	if d := os.Getenv("MMAP_TEST_DISK"); d != "" {
		list = []string{d}
	}
	return list
}

// TmpfsDir is like DiskDir, in memory: a directory on tmpfs.
func TmpfsDir(t testing.TB) string {
	t.Helper()
	magic, err := fileSystem("/dev/shm")
	if err == nil && magic != tmpfs {
		err = fmt.Errorf("it is of the kind %#x", magic)
	}
	if err != nil {
		Skip(t, fmt.Sprintf("needs tmpfs at /dev/shm: %v", err))
	}
	return newDir(t, "/dev/shm")
}

// LoopFS is the root of a new file system of the given kind ("ext4", "xfs",
// "btrfs") and size in bytes, in a file on a disk; t is skipped where it can't
// be made or mounted. xfs takes 300 MiB and btrfs 110 MiB at least. It is
// unmounted when t ends.
func LoopFS(t testing.TB, kind string, size int64) string {
	t.Helper()
	needLoop(t, kind)
	dir := DiskDir(t)
	image, root := newImage(t, dir, kind, size), filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	mount(t, root, "-t", kind, "-o", "loop", image)
	return root
}

// SmallTmpfs is the root of a new tmpfs of size bytes; t is skipped where it can't
// be mounted.
func SmallTmpfs(t testing.TB, size int64) string {
	t.Helper()
	Need(t, Root, tool("mount"))
	root := newDir(t, os.TempDir())
	mount(t, root, "-t", "tmpfs", "-o", fmt.Sprint("size=", size), "tmpfs")
	return root
}

func needLoop(t testing.TB, kind string) {
	t.Helper()
	Need(t, Root, Feature{Name: "loop devices", Probe: func() error { return openable("/dev/loop-control") }}, tool("mkfs."+kind), tool("mount"))
}

// newImage is the name of a new file in dir with a file system in it.
func newImage(t testing.TB, dir, kind string, size int64) string {
	t.Helper()
	image := filepath.Join(dir, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs."+kind, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
	}
	return image
}

// mount runs mount(8) on root, which any user may then write to, until t ends.
// t is skipped where the kernel lacks the kind of file system or root, as in a
// container, may not mount.
func mount(t testing.TB, root string, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", append(args, root)...).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "unknown filesystem type") {
			Skip(t, "needs a file system that the kernel lacks: "+strings.TrimSpace(string(out)))
		}
		if strings.Contains(string(out), "permission denied") {
			Skip(t, "needs the right to mount: "+strings.TrimSpace(string(out)))
		}
		t.Fatalf("mount %v: %v\n%s", args, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", root).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v\n%s", root, err, out)
			exec.Command("umount", "-l", root).Run() // so that the directory can go
		}
	})
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
}

func tool(name string) Feature {
	return Feature{Name: "the command " + name, Probe: func() error {
		_, err := exec.LookPath(name)
		return err
	}}
}

func newDir(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "mmap-test-"+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fileSystem(dir string) (int64, error) {
	fd, err := sys.OpenDir(dir)
	if err != nil {
		return 0, err
	}
	defer sys.Close(fd)
	return sys.FileSystem(fd)
}

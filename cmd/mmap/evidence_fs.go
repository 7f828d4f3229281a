package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// A fileSystem is what /proc/self/mountinfo tells of the file system that a
// path lies on.
type fileSystem struct {
	kind   string // "ext4", "tmpfs", ...
	source string // "/dev/vda1", "tmpfs", ...
}

// storage is how much a file system resembles a disk: eviction and write-out
// can be shown on a disk, while a file in memory has nowhere else to be.
type storage int

const (
	inMemory storage = iota
	elsewhere
	onDisk
)

var (
	memoryFileSystems = []string{"tmpfs", "ramfs", "devtmpfs", "hugetlbfs", "rootfs"}
	diskFileSystems   = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "nilfs2"}
	// overwriters store a page where its block was reserved, so that a reserved
	// block is a promise.
	overwriters = []string{"ext2", "ext3", "ext4", "xfs", "f2fs", "tmpfs"}
	// coherent are those whose file calls and mappings share one page cache, as
	// the library knows; from others it sends copies.
	coherent = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs"}
)

func (f fileSystem) storage() storage {
	switch {
	case slices.Contains(memoryFileSystems, f.kind):
		return inMemory
	case slices.Contains(diskFileSystems, f.kind):
		return onDisk
	}
	return elsewhere // network, overlay, FUSE, or unknown
}

func (f fileSystem) String() string {
	switch {
	case f.source == "" || f.source == f.kind || f.source == "none":
		return f.kind
	}
	return f.kind + " (" + f.source + ")"
}

// fileSystemOf finds the mount that holds path: the longest mount point above
// it, and of several at one point the last, which covers the others.
func fileSystemOf(path string) (fileSystem, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fileSystem{}, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return fileSystem{}, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return fileSystem{}, err
	}
	return findMount(string(mounts), path)
}

// findMount reads lines of "id parent device root point options [tags] - kind
// source options" (proc_pid_mountinfo(5)).
func findMount(mounts, path string) (found fileSystem, err error) {
	best := -1
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 2 {
			continue
		}
		point := unescapeMount.Replace(left[4])
		if len(point) >= best && (path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")) {
			best, found = len(point), fileSystem{kind: right[0], source: unescapeMount.Replace(right[1])}
		}
	}
	if best < 0 {
		return found, errors.New("/proc/self/mountinfo has no mount for " + path)
	}
	return found, nil
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// sampleDirs are where a sample may be made.
func sampleDirs() []string {
	dirs := []string{os.TempDir(), "/var/tmp"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, home)
	}
	return append(dirs, ".")
}

// makeSampleDir makes a new directory in the first of dirs that is on a disk
// and may be written; if none is, in the one that comes closest.
func makeSampleDir(dirs []string) (string, error) {
	var failed error
	for _, want := range []storage{onDisk, elsewhere, inMemory} {
		for _, parent := range dirs {
			on, _ := fileSystemOf(parent) // unknown counts as elsewhere
			if on.storage() != want {
				continue
			}
			dir, err := os.MkdirTemp(parent, "mmap-tour-")
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			return filepath.Abs(dir)
		}
	}
	return "", errors.Join(errors.New("no directory for a sample file; set TMPDIR to one that you may write"), failed)
}

// allocatedBytes is how much room the file has on its file system: st_blocks,
// which counts 512 bytes whatever the block size is (stat(2)). Not every system
// has the field.
func allocatedBytes(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	st := reflect.Indirect(reflect.ValueOf(info.Sys()))
	if st.Kind() != reflect.Struct {
		return 0, errors.ErrUnsupported
	}
	if blocks := st.FieldByName("Blocks"); blocks.CanInt() {
		return blocks.Int() * 512, nil
	}
	return 0, errors.ErrUnsupported
}

// overwrites reports whether a store goes where the block was reserved.
func (f fileSystem) overwrites() bool { return slices.Contains(overwriters, f.kind) }

// shares reports whether file calls and mappings are known to share one cache.
func (f fileSystem) shares() bool { return slices.Contains(coherent, f.kind) }

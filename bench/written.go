package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/memwright/mmap"
	"golang.org/x/sys/unix"
)

const (
	changedBytes = 256
	changedSize  = 256 << 20
)

// amplification: what the device is given for each byte that is changed. The
// file system is ext4 on a loop device of its own, so nobody else writes there.
func amplification(dir string) (trial, error) {
	d, err := newDevice(dir)
	t := trial{
		title:   fmt.Sprintf("Change %d single bytes at random places of a file of 256 MiB in memory, and sync: ext4, large folios", changedBytes),
		columns: []string{"bytes written to the device for each byte changed", "the stores and the sync, ms"},
		close:   []func() error{d.close},
	}
	if err != nil {
		return t, err
	}
	name := filepath.Join(d.mount, "file")
	if err := grow(name, changedSize); err != nil {
		return t, err
	}
	for _, w := range []struct {
		name    string
		pattern mmap.Pattern
		change  func(f *os.File, m *mmap.Mapping, offs []int64) error
	}{
		{"pwrite, fdatasync", mmap.Normal, byCalls},
		{"this module: stores in View, Sync", mmap.Normal, byStores},
		{"this module: WriteAt, Sync", mmap.Normal, byWriteAt},
		{"this module: WriteAt with Pattern Random, Sync", mmap.Random, byWriteAt},
	} {
		t.rows = append(t.rows, trialRow{name: w.name, run: func() ([]float64, error) {
			return d.measure(name, w.pattern, w.change)
		}})
	}
	return t, nil
}

var changes uint64

func byCalls(f *os.File, _ *mmap.Mapping, offs []int64) error {
	for i, off := range offs {
		if _, err := f.WriteAt([]byte{byte(i)}, off); err != nil {
			return err
		}
	}
	return unix.Fdatasync(int(f.Fd()))
}

func byStores(_ *os.File, m *mmap.Mapping, offs []int64) error {
	for i, off := range offs {
		if err := m.View(off, 1, func(p []byte) error { p[0] = byte(i); return nil }); err != nil {
			return err
		}
	}
	return m.Sync()
}

func byWriteAt(_ *os.File, m *mmap.Mapping, offs []int64) error {
	for i, off := range offs {
		if _, err := m.WriteAt([]byte{byte(i)}, off); err != nil {
			return err
		}
	}
	return m.Sync()
}

// A device is a loop device with ext4 on it.
type device struct {
	mount string
	stat  string // of the block layer
}

func newDevice(dir string) (*device, error) {
	d := &device{mount: filepath.Join(dir, "mount")}
	image := filepath.Join(dir, "image")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 4*changedSize), os.Mkdir(d.mount, 0o700),
		command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image),
		command("mount", "-o", "loop,noatime", image, d.mount))
	if err != nil {
		return d, err
	}
	var st unix.Stat_t
	if err := unix.Stat(d.mount, &st); err != nil {
		return d, err
	}
	d.stat = fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))
	return d, nil
}

func (d *device) close() error { return unix.Unmount(d.mount, 0) }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// written is how many bytes the device has been given.
func (d *device) written() (int64, error) {
	const sector = 512 // the unit of this file, whatever the device's (Documentation/block/stat.rst)
	text, err := os.ReadFile(d.stat)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0, fmt.Errorf("%s: %q", d.stat, text)
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	return sectors * sector, err
}

// measure warms the file up, in order, so that the kernel reads ahead into large
// folios, and counts what one change of bytes writes.
func (d *device) measure(name string, p mmap.Pattern, change func(*os.File, *mmap.Mapping, []int64) error) ([]float64, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	syscall.Sync()
	if err := evict(f); err != nil {
		return nil, err
	}
	for buf, off := make([]byte, 1<<20), int64(0); off < changedSize; off += 1 << 20 {
		if _, err := f.ReadAt(buf, off); err != nil {
			return nil, err
		}
	}
	m, err := mmap.Map(f, mmap.Options{Access: mmap.ReadWrite, Pattern: p})
	if err != nil {
		return nil, err
	}
	offs := make([]int64, changedBytes)
	for i := range offs {
		changes = changes*6364136223846793005 + 1442695040888963407
		offs[i] = int64((changes >> 33) % changedSize)
	}
	before, err := d.written()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := errors.Join(change(f, m, offs), m.Close()); err != nil {
		return nil, err
	}
	took := time.Since(start)
	after, err := d.written()
	return []float64{float64(after-before) / changedBytes, float64(took.Microseconds()) / 1e3}, err
}

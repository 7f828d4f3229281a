package mmap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/memwright/mmap/internal/sys"
)

// Place is the file system at a path, as far as mappings of files there are
// concerned.
type Place struct {
	Path       string   `json:"path"`        // as it was given
	FileSystem string   `json:"file_system"` // its type by name, "ext4"; "" when unknown
	Source     string   `json:"source"`      // the device, or what the mount names instead
	MountPoint string   `json:"mount_point"` // where it is mounted
	Options    []string `json:"options"`     // of the mount, then of the file system
	ReadOnly   bool     `json:"read_only"`   // mounted ro
	NoExec     bool     `json:"no_exec"`     // mounted noexec: PROT_EXEC is refused
	ReadAhead  int64    `json:"read_ahead"`  // bytes the device reads ahead at most; -1 when unknown
	Free       uint64   `json:"free"`        // bytes that an ordinary user may still take
	Total      uint64   `json:"total"`       // bytes

	// InPlace tells whether a store to a reserved block is written to that
	// block, so that growth which reserved blocks leaves no store without room.
	InPlace       Answer `json:"in_place"`
	InPlaceReason string `json:"in_place_reason"`

	// The rest was found by doing. Probed tells on what: "a new file", "the file
	// itself", or "nothing"; ProbeError why it was not a new file.
	Probed     string `json:"probed"`
	ProbeError string `json:"probe_error"`

	Shared        Answer `json:"shared"`         // a store through a shared mapping reaches file calls
	Reserves      Answer `json:"reserves"`       // fallocate reserves blocks
	CacheSeen     Answer `json:"cache_seen"`     // which pages are cached can be seen
	CacheDropped  Answer `json:"cache_dropped"`  // pages can be dropped from the cache, and are then gone
	StartsWriting Answer `json:"starts_writing"` // sync_file_range starts writing dirty pages
	DirectAccess  Answer `json:"direct_access"`  // DAX: mappings show the device itself, without a page cache
	FolioBytes    int64  `json:"folio_bytes"`    // how much one store made dirty: the page cache's unit here; -1 when unknown
}

func examinePlace(path string) (*Place, error) {
	name, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	dir := name
	if !info.IsDir() {
		dir = filepath.Dir(name)
	}
	file := info.Mode().IsRegular()
	if !file {
		name = dir // opening a device may do something
	}
	m, err := mountOf(name)
	if err != nil {
		return nil, err
	}
	p := &Place{
		Path: path, FileSystem: m.kind, Source: m.source, MountPoint: m.point, Options: m.options,
		ReadOnly: slices.Contains(m.options, "ro"), NoExec: slices.Contains(m.options, "noexec"),
		ReadAhead: m.readAhead(), FolioBytes: -1, Probed: "nothing",
	}
	if err := p.tryNewFile(dir); err != nil {
		p.ProbeError = err.Error()
		if file {
			p.lookAt(name)
		}
	}
	p.InPlace, p.InPlaceReason = inPlace(m, name, file)
	if fd, err := sys.OpenDir(dir); err == nil {
		space, _ := sys.FileSystemSpace(fd)
		p.Free, p.Total = space.Free, space.Total
		sys.Close(fd)
	}
	return p, nil
}

// inPlace knows file systems by what they are, because trying it would need a
// full disk.
func inPlace(m mount, path string, isFile bool) (Answer, string) {
	switch m.kind {
	case "ext2", "ext3", "ext4", "vfat", "exfat", "jfs":
		return Available, m.kind + " overwrites in place"
	case "tmpfs", "ramfs", "devtmpfs", "hugetlbfs":
		return Available, m.kind + " keeps the reserved memory"
	case "xfs":
		if isFile {
			if fd, err := sys.OpenFile(path, sys.OpenRead, 0); err == nil {
				defer sys.Close(fd)
				if shared, err := sys.SharesBlocks(fd); err == nil && shared {
					return Missing, "the file shares blocks with a copy or snapshot, and a store to them needs new ones"
				}
			}
		}
		return Available, "XFS overwrites in place, except blocks that a reflink copy shares"
	case "btrfs", "zfs", "bcachefs", "nilfs2", "f2fs":
		return Missing, m.kind + " writes every change to a new place, which a reservation does not hold"
	case "overlay":
		return NotKnown, "overlayfs writes to its upper directory's file system; ask for that path"
	case "":
		return NotKnown, "the type of the file system is not known"
	}
	return NotKnown, m.kind + " may keep its data anywhere"
}

// probeBytes is as much as the largest folio.
const probeBytes = 2 << 20

// tryNewFile makes a file that has no name from its first moment on, and
// exercises it.
func (p *Place) tryNewFile(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".mmap-probe-")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	p.Reserves = answerOf(sys.Allocate(int(f.Fd()), 0, probeBytes))
	if _, err := f.WriteAt(make([]byte, probeBytes), 0); err != nil {
		return err
	}
	p.Probed = "a new file"
	p.DirectAccess = directAccess(f)
	m, err := Map(f, Options{Access: ReadWrite})
	if err != nil {
		p.Shared = answerOf(err)
		return nil
	}
	defer m.Close()
	p.tryShared(f, m)
	p.tryCache(m)
	return nil
}

func (p *Place) tryShared(f *os.File, m *Mapping) {
	var got [1]byte
	_, storeErr := m.WriteAt([]byte("x"), 0)
	_, readErr := f.ReadAt(got[:], 0)
	p.Shared = answerOf(errors.Join(storeErr, readErr))
	if p.Shared == Available && got[0] != 'x' {
		p.Shared = Missing
	}
}

// tryCache watches one byte go from a store to the device and out of memory.
func (p *Place) tryCache(m *Mapping) {
	if err := m.Sync(); err != nil {
		return
	}
	clean, err := m.Residency(0, m.Len())
	if err != nil || clean.Dirty == Unknown {
		p.CacheSeen = Refused
		return
	}
	p.CacheSeen = Available
	if clean.Dirty != 0 {
		return // file systems in memory: always dirty, and nothing is ever written
	}
	if _, err := m.WriteAt([]byte("y"), 0); err != nil {
		return
	}
	if r, err := m.Residency(0, m.Len()); err == nil && r.Dirty > 0 {
		p.FolioBytes = int64(r.Dirty) * int64(r.PageSize)
		if m.SyncRange(0, m.Len(), SyncStart) == nil {
			r, err = m.Residency(0, m.Len())
			p.StartsWriting = Missing
			if err == nil && r.Dirty == 0 {
				p.StartsWriting = Available
			}
		}
	}
	p.CacheDropped = Missing
	if m.SyncRange(0, m.Len(), SyncInvalidate) == nil {
		p.CacheDropped = Available
	}
}

// lookAt asks what can be asked without writing: it drops nothing but the
// file's first page, which the next read brings back.
func (p *Place) lookAt(path string) {
	f, err := os.Open(path)
	if err != nil {
		p.ProbeError = fmt.Sprintf("%s; %v", p.ProbeError, err)
		return
	}
	defer f.Close()
	p.Probed = "the file itself"
	p.DirectAccess = directAccess(f)
	m, err := Map(f, Options{})
	if err != nil || m.Len() == 0 {
		return
	}
	defer m.Close()
	n := min(m.Len(), m.PageSize())
	if _, err := m.ReadAt(make([]byte, 1), 0); err != nil {
		return
	}
	if r, err := m.Residency(0, n); err != nil || r.Resident != 1 {
		p.CacheSeen = Refused
		return
	}
	p.CacheSeen = Available
	p.CacheDropped = Missing
	if m.SyncRange(0, n, SyncInvalidate) == nil {
		p.CacheDropped = Available
	}
}

func directAccess(f *os.File) Answer {
	switch dax, err := sys.DirectAccess(int(f.Fd())); {
	case err != nil:
		return NotKnown
	case dax:
		return Available
	}
	return Missing
}

func answerOf(err error) Answer {
	switch {
	case err == nil:
		return Available
	case errors.Is(err, sys.EPERM), errors.Is(err, sys.EACCES):
		return Refused
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, sys.ENODEV), errors.Is(err, sys.EINVAL):
		return Missing
	}
	return NotKnown
}

// A mount is a line of /proc/self/mountinfo; its zero value is one not known.
type mount struct {
	device, point, kind, source string
	options                     []string
}

// mountOf finds the mount that path lies on: by the number that the kernel
// gives for an open descriptor, which is right whatever is mounted over what.
// Where the kernel does not tell, the mount is not known.
func mountOf(path string) (mount, error) {
	fd, err := sys.OpenFile(path, sys.OpenRead, 0)
	if err != nil { // a file that may not be read: its directory will do
		if fd, err = sys.OpenDir(filepath.Dir(path)); err != nil {
			return mount{}, explainOpen(err)
		}
	}
	defer sys.Close(fd)
	fdinfo, _ := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	for line := range strings.Lines(string(fdinfo)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return mountByID(strings.TrimSpace(id)), nil
		}
	}
	return mount{}, nil
}

// mountByID reads "id parent device root point options [tags] - kind source
// options" (proc_pid_mountinfo(5)).
func mountByID(id string) mount {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 3 || left[0] != id {
			continue
		}
		options := strings.Split(left[5], ",")
		for _, o := range strings.Split(right[2], ",") {
			if !slices.Contains(options, o) {
				options = append(options, o)
			}
		}
		unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
		return mount{device: left[2], point: unescape.Replace(left[4]), kind: right[0], source: unescape.Replace(right[1]), options: options}
	}
	return mount{}
}

// readAhead is the device's limit in bytes. A partition's stands with its
// disk, and a file system without a device of its own names one as its source.
func (m mount) readAhead() int64 {
	for _, name := range []string{
		"/sys/dev/block/" + m.device + "/queue/read_ahead_kb",
		"/sys/dev/block/" + m.device + "/../queue/read_ahead_kb",
		"/sys/class/bdi/" + m.device + "/read_ahead_kb",
		"/sys/class/block/" + filepath.Base(m.source) + "/queue/read_ahead_kb",
		"/sys/class/block/" + filepath.Base(m.source) + "/../queue/read_ahead_kb",
	} {
		if kB, ok := readNumber(name); ok {
			return int64(kB) << 10
		}
	}
	return -1
}

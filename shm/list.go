package shm

import (
	"errors"
	"io/fs"
	"os"

	"github.com/memwright/mmap/internal/sys"
)

// Info is what can be told of a named segment without attaching to it.
type Info struct {
	Name         string
	Size         int64  // bytes
	ABI          uint64 // see Options.ABI
	Slots        int    // how many can take part at once
	Participants int    // how many do
	Readers      bool   // somebody only reads it
	Keep         bool   // it stays when the last one leaves
}

// Stat tells of a segment by name. It needs the right to read it.
func Stat(name string) (Info, error) {
	info, err := stat(name)
	return info, failed("stat", name, err)
}

func stat(name string) (Info, error) {
	path, err := pathOf(name)
	if err != nil {
		return Info{}, err
	}
	fd, h, size, err := peek(path)
	if err != nil {
		return Info{}, err
	}
	defer sys.Close(fd)
	if err := h.fills(size); err != nil {
		return Info{}, err
	}
	i := Info{Name: name, Size: int64(h.size), ABI: h.abi, Slots: int(h.slots), Keep: h.flags&flagKeep != 0}
	for slot := range i.Slots {
		held, err := sys.HeldOFD(fd, int64(slot), 1)
		if err != nil {
			return i, err
		}
		if held {
			i.Participants++
		}
	}
	i.Readers, err = sys.HeldOFD(fd, readersByte, 1)
	return i, err
}

// peek opens a file to read, and reads its header and size, which need not agree. The
// caller closes the descriptor.
func peek(path string) (fd int, h header, size int64, err error) {
	if fd, err = openPath(path, sys.OpenRead); err != nil {
		return -1, h, 0, err
	}
	var b [encodedBytes]byte
	st, err := sys.Fstat(fd)
	if err == nil && st.Kind != sys.Regular {
		err = because(ErrNotSegment, "no regular file")
	}
	if err == nil {
		var n int
		if n, err = sys.Pread(fd, b[:], 0); err == nil {
			h, err = decode(b[:n])
		}
	}
	if err != nil {
		sys.Close(fd)
		return -1, h, 0, err
	}
	return fd, h, st.Size, nil
}

// List tells of the segments in a directory, [Directory] if it is "". It leaves
// out what is no segment, what this process may not read, and what vanishes
// meanwhile.
func List(dir string) ([]Info, error) {
	var list []Info
	err := each(dir, func(name string) error {
		i, err := stat(name)
		if err == nil {
			list = append(list, i)
		}
		return ignorable(err)
	})
	return list, failed("list", dir, err)
}

// Collect takes away the names of segments in a directory, [Directory] if it is
// "", that nobody uses any more, since all who did were killed: not those made
// with Keep, nor those that this process may not write or remove. One that was
// truncated goes, too, unless that took its header. It answers what it took away.
func Collect(dir string) (removed []string, err error) {
	err = each(dir, func(name string) error {
		gone, err := collect(name)
		if gone {
			removed = append(removed, name)
		}
		return ignorable(err)
	})
	return removed, failed("collect", dir, err)
}

func collect(name string) (gone bool, err error) {
	path, err := pathOf(name)
	if err != nil {
		return false, err
	}
	look, h, _, err := peek(path) // of whatever size: it may have been truncated
	if err != nil {
		return false, err
	}
	defer sys.Close(look)
	if h.flags&flagKeep != 0 {
		return false, nil
	}
	// For writing only now: what is no segment is not touched.
	fd, err := sys.Reopen(look, sys.OpenReadWrite)
	if err != nil {
		return false, err
	}
	defer sys.Close(fd)
	// Somebody who attaches or leaves takes part: there is nothing to wait for.
	if err := sys.LockOFD(fd, sys.LockExclusive, birthByte, 1); err != nil {
		if err == error(sys.EAGAIN) {
			err = nil
		}
		return false, err
	}
	used, err := occupied(fd)
	if used || err != nil {
		return false, err
	}
	if mine, err := named(path, fd); !mine || err != nil {
		return false, err
	}
	err = sys.Unlink(path)
	return err == nil, err
}

// each calls f with the name of every file in a directory.
func each(dir string, f func(name string) error) error {
	if dir == "" {
		dir = Directory
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !file.Type().IsRegular() {
			continue
		}
		name := file.Name()
		if dir != Directory {
			name = dir + "/" + name // with a slash: a path
		}
		if err := f(name); err != nil {
			return err
		}
	}
	return nil
}

// ignorable drops the errors of a file that is none of ours.
func ignorable(err error) error {
	for _, e := range []error{ErrNotSegment, ErrVersion, fs.ErrPermission, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

package shm

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/memwright/mmap/internal/sys"
	"github.com/memwright/mmap/internal/word"
)

// Directory is where a segment whose name has no slash lies.
const Directory = "/dev/shm"

// The bytes of a segment's file that locks stand for. They have no content of
// their own: byte i below readersByte is participant i.
const (
	readersByte = 1 << 20 // shared by all who only read
	birthByte   = readersByte + 1
	lockedBytes = birthByte + 1
)

// birthWait bounds how long an attach waits for another to attach or leave,
// which takes some hundred microseconds unless its process is stopped.
const birthWait = 5 * time.Second

// pathOf is where a segment of this name lies.
func pathOf(name string) (string, error) {
	switch {
	case strings.ContainsRune(name, '/'):
		return name, nil
	case name == "" || name == "." || name == "..":
		return "", invalid("name %q", name)
	}
	return filepath.Join(Directory, name), nil
}

// lockBirth excludes everybody else from attaching to the file and from leaving
// it. Those who only read can't exclude each other, and need not.
func lockBirth(fd int, readOnly bool) error {
	kind := sys.LockExclusive
	if readOnly {
		kind = sys.LockShared
	}
	pause := 50 * time.Microsecond
	for until := time.Now().Add(birthWait); ; pause = min(2*pause, 10*time.Millisecond) {
		err := sys.LockOFD(fd, kind, birthByte, 1)
		if err != error(sys.EAGAIN) {
			return err
		}
		if time.Now().After(until) {
			return because(ErrBusy, "another process has been attaching or leaving for %v", birthWait)
		}
		time.Sleep(pause)
	}
}

func unlockBirth(fd int) { sys.LockOFD(fd, sys.Unlock, birthByte, 1) }

// openPath opens a file by its own name. A symbolic link is refused: the last one to
// leave would take the link away and not the name, and another user may have made it.
func openPath(path string, mode int) (fd int, err error) {
	fd, err = sys.OpenNoFollow(path, mode)
	if err == error(sys.ELOOP) {
		err = because(ErrNotSegment, "a symbolic link")
	}
	return fd, err
}

// named reports whether path is still a name of fd's file.
func named(path string, fd int) (bool, error) {
	there, err := sys.StatName(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mine, err := sys.Fstat(fd)
	return err == nil && there.Dev == mine.Dev && there.Ino == mine.Ino, err
}

// openNamed opens the file that path names for good: with its birth lock, so that
// nobody can take the name away. The result is an open file description of its
// own, for locks: nobody else ever gets it.
func openNamed(path string, readOnly bool) (fd int, err error) {
	mode := sys.OpenReadWrite
	if readOnly {
		mode = sys.OpenRead
	}
	// A name can vanish between its open and the lock, and another come: each
	// round is one segment that died meanwhile.
	for range 1000 {
		fd, err := openPath(path, mode)
		if err != nil {
			return -1, err
		}
		word.Place("opened")
		err = lockBirth(fd, readOnly)
		if err == nil {
			var still bool
			if still, err = named(path, fd); still && err == nil {
				return fd, nil
			}
		}
		sys.Close(fd)
		if err != nil {
			return -1, err
		}
	}
	return -1, because(ErrBusy, "the name keeps changing hands")
}

// claimSlot takes the liveness lock of a slot from first on that nobody holds.
func claimSlot(fd int, first, slots int) (int, error) {
	for i := first; i < slots; i++ {
		err := sys.LockOFD(fd, sys.LockExclusive, int64(i), 1)
		if err == nil {
			return i, nil
		}
		if err != error(sys.EAGAIN) {
			return 0, err
		}
	}
	return 0, because(ErrFull, "all %d participants' slots are taken", slots)
}

// occupied reports whether anybody but fd's own description takes part in the
// file. The caller holds the birth lock.
func occupied(fd int) (bool, error) { return sys.HeldOFD(fd, 0, readersByte+1) }

package shm

import (
	"errors"
	"fmt"
	"io/fs"
)

// The errors that calls of this package wrap, beside fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission, fs.ErrClosed, fs.ErrInvalid (an argument makes no sense),
// errors.ErrUnsupported, errnos such as ENOSPC, and those of mmap and shmsync.
var (
	// ErrNotSegment: the file is no segment, or a damaged one, or a symbolic link.
	ErrNotSegment = errors.New("not a segment")
	// ErrVersion: the segment was laid out by another version of this package.
	ErrVersion = errors.New("the segment has another layout version")
	// ErrABI: the segment was made for other types.
	ErrABI = errors.New("the segment was made for other types")
	// ErrFull: all the segment's participants' slots, or its objects, are taken.
	ErrFull = errors.New("the segment has no room left")
	// ErrBusy: somebody has been attaching or leaving for too long, or the
	// segment is in use.
	ErrBusy = errors.New("the segment is in use")
	// ErrNotSealed: a descriptor was handed over whose memory could go missing:
	// its size is not sealed, or its pages are of a pool (MFD_HUGETLB).
	ErrNotSealed = errors.New("not memory of a sealed size")
)

// Error is the error of every call of this package that fails.
type Error struct {
	Op   string // the call, in lower case: "create", "open", "close", ...
	Name string // the segment's name, "" for an anonymous one
	Err  error
}

func (e *Error) Error() string {
	name := e.Name
	if name == "" {
		name = "anonymous segment"
	}
	return "shm: " + e.Op + " " + name + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// because puts a sentence before err.
func because(err error, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// invalid is a bad argument.
func invalid(format string, args ...any) error { return because(fs.ErrInvalid, format, args...) }

package mmap

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/memwright/mmap/internal/sys"
)

// The errors that calls of this package wrap, beside fs.ErrClosed (the mapping
// is closed), fs.ErrPermission, fs.ErrExist, fs.ErrInvalid (an argument makes
// no sense), errors.ErrUnsupported (this platform or kernel can't) and errnos.
var (
	// ErrOutOfRange: the range does not lie within the mapping.
	ErrOutOfRange = fmt.Errorf("the range does not lie within the mapping: %w", fs.ErrInvalid)
	// ErrPastEnd: the file ends before the bytes asked for.
	ErrPastEnd = errors.New("past the end of the file")
	// ErrBusy: views are out, or other mappings stand inside this one.
	ErrBusy = errors.New("the mapping is in use")
	// ErrViewTooLarge: a View of a file spans more than ViewBytes.
	ErrViewTooLarge = errors.New("the view is too large")
	// ErrNoFile: stores to this memory reach no file, so there is nothing to
	// sync or to hand out.
	ErrNoFile = errors.New("stores to this memory reach no file")
	// ErrSyncFailed: an earlier sync of this file failed, and what is in it
	// now is not known.
	ErrSyncFailed = errors.New("an earlier sync of this file failed")
	// ErrStillCached: SyncInvalidate wrote the range, and some of it stayed in
	// the page cache.
	ErrStillCached = errors.New("pages stayed in the page cache")
)

// Error is the error of every call of this package that fails, except for
// io.EOF and for what the caller's own function or writer answered. It tells the
// call, the object and the range.
type Error struct {
	Op   string // the call, in lower case: "open", "read", "sync", ...
	Path string // the file's name, "" for anonymous memory
	Off  int64  // start of the range in bytes: in the file for calls that map, in the mapping for all others
	Len  int    // its length in bytes; 0 when no range is meant
	Err  error
}

func (e *Error) Error() string {
	where := e.Path
	if where == "" {
		where = "anonymous memory"
	}
	if e.Len != 0 || e.Off != 0 {
		where += fmt.Sprintf(" [%d, +%d)", e.Off, e.Len)
	}
	return "mmap: " + e.Op + " " + where + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// A FaultError is a memory fault that was caught: the kernel could not satisfy
// a load or a store. It stands inside an [Error].
type FaultError struct {
	Off int64 // the page's offset in the file, or in the mapping for anonymous memory; bytes
	Err error // ErrPastEnd, fs.ErrPermission, an errno such as EIO or ENOSPC, or "unknown cause"

	anonymous bool // there is no file
}

func (e *FaultError) Error() string {
	of := "file offset"
	if e.anonymous {
		of = "offset"
	}
	return fmt.Sprintf("memory fault at %s %d: %v", of, e.Off, e.Err)
}

// Unwrap gives the cause.
func (e *FaultError) Unwrap() error { return e.Err }

// A LimitError tells which limit a refused request met. It wraps the errno.
type LimitError struct {
	Limit string // "vm.max_map_count", "RLIMIT_AS", "RLIMIT_MEMLOCK", ...
	Have  uint64 // in use now, in the limit's unit
	Want  uint64 // asked for on top
	Max   uint64 // the limit's value
	Unit  string // "bytes", "mappings", "pages"
	Fix   string // who may raise it and how
	Err   error  // the kernel's errno
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: %s is %d %s, %d in use, %d more asked for; %s",
		e.Err, e.Limit, e.Max, e.Unit, e.Have, e.Want, e.Fix)
}

// Unwrap gives the errno.
func (e *LimitError) Unwrap() error { return e.Err }

// advice is an error with a sentence that says what to do.
type advice struct {
	text string
	err  error
}

func (a *advice) Error() string { return a.text + ": " + a.err.Error() }
func (a *advice) Unwrap() error { return a.err }

func because(err error, format string, args ...any) error {
	return &advice{fmt.Sprintf(format, args...), err}
}

// invalid is a bad argument.
func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, fs.ErrInvalid)...)
}

// fail makes the Error of an operation on m. It reads only what never changes.
func (m *Mapping) fail(op string, off int64, n int, err error) error {
	return &Error{Op: op, Path: m.path, Off: off, Len: n, Err: err}
}

// failIf is fail for an error that may be nil.
func (m *Mapping) failIf(op string, off int64, n int, err error) error {
	if err == nil {
		return nil
	}
	return m.fail(op, off, n, err)
}

// translate says what the errno of a refused mapping means and what to do.
func (m *Mapping) translate(err error, wanted uint64) error {
	errno, ok := err.(sys.Errno)
	if !ok {
		return err
	}
	switch errno {
	case sys.EACCES:
		return m.explainAccess(err)
	case sys.ENODEV:
		switch m.stat.Kind {
		case sys.Directory:
			return because(err, "it is a directory; map a file in it")
		case sys.FIFO, sys.Socket:
			return because(err, "a pipe or socket of this type holds no bytes to map; read it")
		}
		return because(err, "the kernel can't map this object or its file system; read it instead (os.ReadFile)")
	case sys.EIO:
		if m.stat.Size == 0 {
			return because(err, "the kernel can't map this object; read it instead (os.ReadFile)")
		}
	case sys.ENOMEM, sys.EAGAIN:
		return explainNoMemory(errno, wanted, m.opt)
	case sys.EEXIST:
		return because(err, "the address range at %#x is taken; use another Addr, Hint or Anywhere", m.opt.Addr)
	case sys.EPERM:
		switch {
		case m.opt.Exec:
			return because(err, "the file system is mounted noexec, or a seal or security policy forbids executable memory")
		case m.opt.Addr != 0:
			return because(err, "addresses below vm.mmap_min_addr need CAP_SYS_RAWIO")
		}
		return because(err, "a seal or a security policy forbids this mapping")
	case sys.EINVAL:
		if m.opt.HugePages.pageShift() != 0 {
			return because(err, "this kernel has no pool of %v", m.opt.HugePages)
		}
	case sys.EOVERFLOW:
		return because(err, "offset plus length is more than a file can have")
	case sys.ETXTBSY:
		return because(err, "the file is in use as a program or swap area")
	}
	return err
}

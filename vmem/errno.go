package vmem

import (
	"cmp"
	"strconv"
)

// An Errno is why a call was refused. Its numbers and names are those of Linux
// on amd64 and arm64, on every platform that the engine runs on, so that a
// test can set it beside the kernel's answer.
type Errno uint8

// The errors that the calls of this package answer with.
const (
	EPERM      Errno = 1
	EIO        Errno = 5
	EBADF      Errno = 9
	EAGAIN     Errno = 11
	ENOMEM     Errno = 12
	EACCES     Errno = 13
	EFAULT     Errno = 14
	EBUSY      Errno = 16
	EEXIST     Errno = 17
	EINVAL     Errno = 22
	EFBIG      Errno = 27
	EOVERFLOW  Errno = 75
	EOPNOTSUPP Errno = 95
)

var errnos = map[Errno]struct{ name, text string }{
	EPERM:      {"EPERM", "operation not permitted"},
	EIO:        {"EIO", "input/output error"},
	EBADF:      {"EBADF", "bad file descriptor"},
	EAGAIN:     {"EAGAIN", "resource temporarily unavailable"},
	ENOMEM:     {"ENOMEM", "cannot allocate memory"},
	EACCES:     {"EACCES", "permission denied"},
	EFAULT:     {"EFAULT", "bad address"},
	EBUSY:      {"EBUSY", "device or resource busy"},
	EEXIST:     {"EEXIST", "file exists"},
	EINVAL:     {"EINVAL", "invalid argument"},
	EFBIG:      {"EFBIG", "file too large"},
	EOVERFLOW:  {"EOVERFLOW", "value too large for defined data type"},
	EOPNOTSUPP: {"EOPNOTSUPP", "operation not supported"},
}

// Error is the kernel's text for e.
func (e Errno) Error() string { return errnos[e].text }

// Name is e as C programs write it: "EINVAL".
func (e Errno) Name() string { return cmp.Or(errnos[e].name, "errno "+strconv.Itoa(int(e))) }

// A storeError is an EIO with its cause: errors.Is finds both.
type storeError struct{ cause error }

func (e *storeError) Error() string   { return EIO.Error() + ": " + e.cause.Error() }
func (e *storeError) Unwrap() []error { return []error{EIO, e.cause} }

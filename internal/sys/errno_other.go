//go:build !linux && !darwin && !freebsd

package sys

import "strconv"

// Errno stands in for the kernel's error number: no call of this platform
// returns one, but code that compares against them compiles.
type Errno int

func (e Errno) Error() string { return "errno " + strconv.Itoa(int(e)) }

// The error numbers that this module gives a meaning, numbered as on Linux.
const (
	EPERM      Errno = 1
	ENOENT     Errno = 2
	EINTR      Errno = 4
	EIO        Errno = 5
	ENXIO      Errno = 6
	EBADF      Errno = 9
	EAGAIN     Errno = 11
	ENOMEM     Errno = 12
	EACCES     Errno = 13
	EFAULT     Errno = 14
	EBUSY      Errno = 16
	EEXIST     Errno = 17
	EXDEV      Errno = 18
	ENODEV     Errno = 19
	EISDIR     Errno = 21
	EINVAL     Errno = 22
	ETXTBSY    Errno = 26
	EFBIG      Errno = 27
	ENOSPC     Errno = 28
	ESPIPE     Errno = 29
	ENOSYS     Errno = 38
	ELOOP      Errno = 40
	EOVERFLOW  Errno = 75
	EOPNOTSUPP Errno = 95
	ETIMEDOUT  Errno = 110
	EDQUOT     Errno = 122
)

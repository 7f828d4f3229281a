//go:build linux || darwin || freebsd

package sys

import "syscall"

// Errno is the kernel's error number.
type Errno = syscall.Errno

// The error numbers that this module gives a meaning.
const (
	EACCES     = syscall.EACCES
	EAGAIN     = syscall.EAGAIN
	EBADF      = syscall.EBADF
	EBUSY      = syscall.EBUSY
	EDQUOT     = syscall.EDQUOT
	EEXIST     = syscall.EEXIST
	EFAULT     = syscall.EFAULT
	EFBIG      = syscall.EFBIG
	EINTR      = syscall.EINTR
	EINVAL     = syscall.EINVAL
	EIO        = syscall.EIO
	EISDIR     = syscall.EISDIR
	ELOOP      = syscall.ELOOP
	ENODEV     = syscall.ENODEV
	ENOENT     = syscall.ENOENT
	ENOMEM     = syscall.ENOMEM
	ENOSPC     = syscall.ENOSPC
	ENOSYS     = syscall.ENOSYS
	ENXIO      = syscall.ENXIO
	EOPNOTSUPP = syscall.EOPNOTSUPP
	EOVERFLOW  = syscall.EOVERFLOW
	EPERM      = syscall.EPERM
	ESPIPE     = syscall.ESPIPE
	ETIMEDOUT  = syscall.ETIMEDOUT
	ETXTBSY    = syscall.ETXTBSY
	EXDEV      = syscall.EXDEV
)

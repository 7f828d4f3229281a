//go:build linux || darwin || freebsd

package sys

import "golang.org/x/sys/unix"

// Getrlimit is getrlimit(2).
func Getrlimit(r Resource) (soft, hard uint64, err error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(number(r), &lim); err != nil {
		return 0, 0, err
	}
	return limit(uint64(lim.Cur)), limit(uint64(lim.Max)), nil
}

// Setrlimit is setrlimit(2). The Go runtime does not survive every value:
// tests that lower a limit do so in a child.
func Setrlimit(r Resource, soft, hard uint64) error {
	var lim unix.Rlimit
	set(&lim.Cur, soft)
	set(&lim.Max, hard)
	return unix.Setrlimit(number(r), &lim)
}

func number(r Resource) int {
	switch r {
	case LockedMemory:
		return unix.RLIMIT_MEMLOCK
	case DataSize:
		return unix.RLIMIT_DATA
	case OpenFiles:
		return unix.RLIMIT_NOFILE
	case FileSize:
		return unix.RLIMIT_FSIZE
	}
	return unix.RLIMIT_AS
}

// limit maps each platform's infinity (the largest int64 on the BSDs) to Unlimited.
func limit(v uint64) uint64 {
	if v >= 1<<63-1 {
		return Unlimited
	}
	return v
}

// set stores v in a field of Rlimit, whose type differs between platforms.
func set[T int64 | uint64](field *T, v uint64) {
	if v == Unlimited {
		v = unix.RLIM_INFINITY
	}
	*field = T(v)
}

//go:build linux && !mips && !mipsle && !mips64 && !mips64le

package sys

import "golang.org/x/sys/unix"

// MAP_SYNC is a flag of Mmap that mips lacks.
const MAP_SYNC = unix.MAP_SYNC

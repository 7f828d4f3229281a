//go:build linux && (amd64 || 386)

package sys

import "golang.org/x/sys/unix"

// Flags of Mmap that only x86 has.
const (
	MAP_32BIT   = unix.MAP_32BIT
	MAP_ABOVE4G = unix.MAP_ABOVE4G
)

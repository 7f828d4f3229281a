//go:build !linux || (!amd64 && !386)

package sys

// Flags of Mmap that only Linux on x86 has.
const (
	MAP_32BIT   = missing + 100
	MAP_ABOVE4G = missing + 101
)

//go:build linux && (mips || mipsle || mips64 || mips64le)

package sys

// MAP_SYNC is a flag of Mmap that mips lacks.
const MAP_SYNC = missing + 16

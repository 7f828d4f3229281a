//go:build !linux

package sys

// RefuseRareCalls is missing here.
func RefuseRareCalls() error { return Unsupported("seccomp") }

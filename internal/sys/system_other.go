//go:build !linux && !darwin && !freebsd

package sys

// Getrlimit is missing here.
func Getrlimit(r Resource) (soft, hard uint64, err error) { return 0, 0, Unsupported("getrlimit") }

// Setrlimit is missing here.
func Setrlimit(r Resource, soft, hard uint64) error { return Unsupported("setrlimit") }

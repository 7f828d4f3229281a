//go:build !linux

package sys

// CPUs is 1 here: nothing is known of what this process may use.
func CPUs() float64 { return 1 }

// CPU is 0 here.
func CPU() uint32 { return 0 }

// Yield does nothing here.
func Yield() {}

//go:build !linux

package sys

// FreezeFS is missing here.
func FreezeFS(fd int) error { return Unsupported("FIFREEZE") }

// ThawFS is missing here.
func ThawFS(fd int) error { return Unsupported("FITHAW") }

// SealWrites is missing here.
func SealWrites(fd int) error { return Unsupported("F_SEAL_FUTURE_WRITE") }

// CloneFile is not tried here.
func CloneFile(to, from int) error { return Unsupported("FICLONE") }

// Extents is missing here.
func Extents(fd int, off, n int64) ([]Extent, error) { return nil, Unsupported("FIEMAP") }

package sys

// Resource names a limit of Getrlimit.
type Resource int

// The limits that bound mappings.
const (
	AddressSpace Resource = iota // RLIMIT_AS, bytes
	LockedMemory                 // RLIMIT_MEMLOCK, bytes
	DataSize                     // RLIMIT_DATA, bytes
	OpenFiles                    // RLIMIT_NOFILE, a count
	FileSize                     // RLIMIT_FSIZE, bytes
)

// Unlimited is the value of a limit that is not set.
const Unlimited = ^uint64(0)

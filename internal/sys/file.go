package sys

// Kind is the type of a file, from the mode bits of stat(2).
type Kind uint8

// The types of files.
const (
	Other Kind = iota // sockets, anonymous inodes, and what has no name here
	Regular
	Directory
	CharDevice
	BlockDevice
	FIFO
	Socket
)

// Stat is what fstat(2) tells that this module asks for. Size and Blocks (of
// 512 bytes) are 0 for what is no regular file.
type Stat struct {
	Kind     Kind
	Size     int64
	Blocks   int64
	Dev, Ino uint64
	Blksize  int64
	Uid      uint32
	Virtual  bool // no block device stands behind the file system
}

// How OpenFile opens. The values are this package's own.
const (
	OpenRead      = iota // O_RDONLY
	OpenReadWrite        // O_RDWR
	OpenCreate           // O_RDWR|O_CREAT|O_EXCL
)

// CacheStat is the answer of cachestat(2): pages of the queried range.
type CacheStat struct {
	Cached, Dirty, Writeback, Evicted, RecentlyEvicted uint64
}

// LockKind is what LockOFD sets.
type LockKind uint8

// The kinds of locks.
const (
	Unlock LockKind = iota
	LockShared
	LockExclusive
)

// Package mmap maps files and other objects into memory: complete, and safe to
// use from Go.
//
//	m, err := mmap.Open("index.bin") // whole file, read-only
//	if err != nil {
//		return err
//	}
//	defer m.Close()
//	err = m.View(off, n, func(p []byte) error { ... }) // p is the file; a fault becomes an error
//
// [Open], [OpenFile], [Create] and [Map] map files, and [Anonymous] maps memory
// without one. Offsets and lengths are bytes and need no alignment. Every error
// is an [*Error] with the call, the file and the range, and says what to do.
//
// # What is not promised
//
//   - Durability before Sync has returned nil. Close does not sync.
//   - Atomicity: after a crash any mixture of old and new pages may be in the
//     file, whatever was synced before.
//   - A snapshot: others may change a shared file while it is read, even
//     between two loads of one View.
//   - Ordering between processes: use atomics, as between goroutines.
//
// # Hazards
//
// The guard of View, WriteView, ReadAt, WriteAt, WriteTo and the Reader turns a
// memory fault into an error for the goroutine that calls. It can't help:
//
//   - bare slices: [Mapping.Bytes] and [Slice] are unguarded, and what they give
//     becomes invalid with Close and with a Resize that moves or shrinks;
//   - other goroutines started inside a View, and C code;
//   - a value in mapped memory that is sent on a channel, or used as a map key:
//     the runtime faults with its own locks held and dies. Copy it out first;
//   - a page whose read fails only after more than about 10 ms, touched by a
//     plain load: the runtime's preemption signals make the kernel start the read
//     again, for ever. [Mapping.Populate] returns the error;
//   - other goroutines of the program while a load waits for a disk: a page fault
//     keeps the goroutine's P. Populate does not;
//   - the race detector sees no race in mapped memory.
//
// A store to a hole of a file needs a block. Where the disk is full, that is a
// fault. Growth by this package reserves blocks, so that the error comes from the
// call that grows; on file systems that write elsewhere than in place (Btrfs,
// snapshot or reflinked files) a reserved block is no guarantee.
//
// A Mapping that is dropped without Close stays mapped until the process ends:
// slices of it may still be in use, and nobody can know.
//
// # Lock order
//
//	Mapping.gate (exclusion; waits for accesses)
//	    reservations.Mutex
//	        Mapping.gate of a reservation (shared)
//	    inodes.Mutex
//	    inode.entry (held across fsync)
//	    gate.slow (a few instructions)
//
// An access holds the gate shared and may take inode.entry and gate.slow. A
// reservation's gate is entered with reservations.Mutex held; nothing that
// excludes on it waits for that mutex before its accesses are out.
//
// # Platforms
//
// Linux is complete. On darwin and freebsd the core is built and untested: open,
// read, write, sync, protect, lock, close. Elsewhere every call that maps answers
// an error for which errors.Is(err, errors.ErrUnsupported) holds, and so does
// every feature that a platform lacks.
package mmap

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
//   - the race detector sees no race in mapped memory.
//
// A page fault keeps the goroutine's P until the disk has answered, and with it
// other goroutines and the garbage collector; and a page whose read fails after
// more than about 10 ms never comes back from a plain load, since the runtime's
// preemption signals make the kernel start the read again. So the guarded ways
// touch only what they believe to be in memory, and have the rest brought in, or
// written, by system calls. What remains:
//
//   - bare slices, and stores made inside a View or WriteView;
//   - pages that were evicted since they were last looked at: for [StalePeriod], and
//     at least for 16 accesses of each of 32 to 256 seats (the next power of two from
//     eight for each processor on), they are touched as if they were in memory. Where the
//     kernel hides what is in memory, beliefs are dropped after that time and pages are
//     read again;
//   - WriteAt where no file call can stand in for a store (private and protected
//     pages, O_APPEND descriptors that could not be reopened, overlayfs, FUSE and
//     network file systems): the pages are brought in first, but a store can still
//     wait for a frozen disk or for a block;
//   - WriteAt to a file that another process truncates at that very instant: the
//     file grows back to the end of what is written;
//   - a ReadAt that races a Close or a Resize and is stopped in the midst of its
//     copy: it may touch what has been mapped at these addresses since, and wait for that
//     page. What it found there is thrown away;
//   - Populate, Sync and long sends, while a Resize, Protect or Lock of the same
//     mapping waits for them.
//
// A store to a hole of a file needs a block. Where the disk is full, that is a
// fault. Growth by this package reserves blocks, so that the error comes from the
// call that grows; on file systems that write elsewhere than in place (Btrfs,
// snapshot or reflinked files) a reserved block is no guarantee.
//
// After Close the addresses of a mapping that handed memory out stay held for a
// while, so that a stale slice faults instead of reading what is mapped there next:
// up to 1,024 closed mappings, and no more than a 64th of vm.max_map_count and of
// RLIMIT_AS. A slice that is staler than that is not caught.
//
// A Mapping that is dropped without Close is released by the collector, unless
// memory was ever handed out: then it stays mapped until the process ends, since a
// slice of it may still be in use. [ReportDrops] tells of both.
//
// A store to a shared mapping makes the whole folio dirty that its page lies in, on
// ext4 and XFS up to 2 MiB for one byte. With Pattern Random, WriteAt writes its
// blocks alone; stores through View and Bytes do so only as far as the file was
// not in memory before, or came in by small writes.
//
// # Lock order
//
//	Mapping.gate (exclusion; waits for accesses)
//	    reservations.Mutex
//	    inodes.Mutex
//	    inode.entry (held across fsync)
//	    gate.slow (a few instructions)
//	    quarantine.Mutex (held across munmap)
//
// An access holds the gate shared and may take inode.entry and gate.slow. No gate is
// entered with a mutex held.
//
// # Platforms
//
// Linux is complete. On darwin and freebsd the core is built and untested: open,
// read, write, sync, protect, lock, close. Elsewhere every call that maps answers
// an error for which errors.Is(err, errors.ErrUnsupported) holds, and so does
// every feature that a platform lacks.
package mmap

// Package testenv is what the tests of this module need from the machine, and
// how they say so. Only tests import it.
//
// [Main] runs a package's tests and then looks for what they left behind:
// mappings, descriptors, goroutines. [Need] skips a test whose feature this
// machine lacks, and fails it where the kernel is new enough to have it: a skip
// proves itself. [Child] runs a function of the test binary in a process of its
// own, as another user or under lower limits. [DiskDir], [TmpfsDir] and [LoopFS]
// give directories on a file system of a known kind. [Seed] makes what is
// random repeatable.
//
// # Rigs
//
// What a healthy machine does not do by itself. [SlowFS] is a file whose reads,
// writes and syncs are slow or fail on command, and [FailingDisk] an ext4 or
// xfs on such a device. [Fill] leaves a file system without a free block,
// [Freeze] one that lets no writer on, [Reflink] a file that shares its blocks,
// [Overlay] one directory over another. [Truncate] has another process cut a
// file while it is in use. What a rig mounts or freezes is given back when the
// test ends; a child sees to it even when the test process is killed, except
// for the mounts of [LoopFS] and [Overlay].
//
// # Lock order
//
// No goroutine holds two of the mutexes: the records', a child's pipe and, in
// the process that serves a SlowFS, its file's state.
//
// # What was not proven
//
// The go command shows nothing of a package whose tests pass, so a skip would
// go unseen. Every skip is therefore recorded in a file, one for each package,
// in [RecordDir], and the package witness prints them all at the end of
// "go test ./...".
//
// # Environment
//
//	MMAP_TEST_SEED     the seed to repeat
//	MMAP_TEST_DISK     a directory on a real disk file system
//	MMAP_TEST_RECORDS  where skips are recorded
//	MMAP_TEST_COLLECT  how often to collect garbage while tests run, as 10ms
package testenv

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
package testenv

// Package agree sets the engine of package vmem beside the kernel: the same
// calls and accesses, step by step, must do the same in both. It has no code of
// its own, only tests.
//
// # Reading it
//
// A step is one call or access of one process, and has a text of one line
// (step_test.go). A machine carries steps out and can be looked at
// (machine_test.go): the engine (engine_test.go), the kernel, in processes of
// package tracee (kernel_test.go), and the kernel once more, through package
// raw, in a Go process (raw_test.go). A pair carries each step out in two
// machines and compares what is told and what can be seen (pair_test.go).
//
// Programs are random (random_test.go, agree_test.go) or written down
// (table_test.go: what manual pages and other people's tests promise;
// regression_test.go: where the engine was wrong once; merge_test.go). A
// failing random program is shrunk and printed as text, ready to be written
// down.
//
// # Undetermined
//
// What a kernel may do either way is not compared. Every such thing is a
// constant in undetermined_test.go, with its reason.
//
// # Longer runs
//
//	make agree        30 seconds
//	make agree-long   a million steps
//
// MMAP_AGREE=30s, or a number of steps, sets the length of a run.
package agree

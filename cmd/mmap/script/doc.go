// Package script is the small language of mmap explain: programs of mapping
// calls, loads and stores by several processes, one to a line, that run on the
// engine of package vmem and can be looked at after each step.
//
//	file f 10000 "hello"                                  # a file of 10,000 bytes
//	p1: a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
//	p1: store a+3 "X"
//	p2 = fork(p1)
//	p2: load a 5
//	truncate(f, 4096)
//	powercut
//
// # Lines
//
// A line is a call, an access, or a setting. Calls are written as in their
// manual pages, and the names of flags are those of C; the address of mmap may
// be left out where it is NULL. What a call returns may be given a name:
// addresses are named by mmap and mremap, processes by fork, open files by open.
//
//	file NAME BYTES ["text" [at OFFSET "text"] ...]       a file, zeros where nothing is said
//	load ADDRESS [BYTES]        store ADDRESS "text"      what a processor does
//	mmap munmap mprotect mremap madvise msync mincore     of a process
//	mlock mlock2 munlock mlockall munlockall
//	pread pwrite open close fsync truncate fork exit      of files and processes
//	evict(f, PAGE)              writeback(f)              what a kernel does when it likes
//	powercut                                              all memory is lost
//
// NAME: before a call or an access says which process does it; a process begins
// with its first line. Without a name the process of the line before goes on,
// at first p1.
//
// A number is decimal or hexadecimal; numbers may be added, subtracted and
// multiplied, and added to a name: a+2*4096. Texts are Go's string literals.
//
// Settings come before everything else: frames N bounds the memory to N pages,
// readahead N and faultaround N set how many pages come in at once. Unlike
// Linux, which takes 32 and 16, a script takes 1 unless it says so. Memory has
// 1024 pages unless frames says less or more, a process has 1 GiB of addresses
// (RLIMIT_AS), and a file at most 4 MiB: a script is there to be read.
//
// # Remarks
//
// What follows # is a remark. It belongs to the step on its line, or to the next
// one, and is shown with it; #zh begins one in Chinese, shown instead where
// Chinese is asked for. The first remark of a script, with an empty line behind
// it, is its title.
package script

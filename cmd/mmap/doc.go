// Command mmap shows, measures and checks memory mapping on this machine.
//
//	mmap tour [FILE]         walk through the mechanism on a real file
//	mmap compare FILE|SIZE   measure mapping against read, pread and ReadFile
//	mmap claims              check what is said of mmap against this kernel
//	mmap doctor [PATH]       tell what this system can do for mappings
//	mmap explain [SCRIPT]    show what mmap does, step by step, on an engine
//	mmap shm ls|stat|top|gc|rm|bench
//	                         look after memory that processes share
//
// It uses the module's public packages only, but for explain --kernel: package
// kernel below it has processes that are not Go.
package main

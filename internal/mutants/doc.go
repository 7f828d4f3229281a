// Package mutants breaks the library on purpose, one claim at a time, and wants
// the tests to notice. It has no code of its own.
//
// Each mutant replaces one piece of source in the build of one test binary, and
// there the test must fail that should: the first time, and every time. A test
// that needs luck for that is mended, not run more often. That every piece is
// still there is tested always; the runs take some five minutes and are made with
// MMAP_MUTANTS=1, or a larger number of runs for each mutant:
//
//	MMAP_MUTANTS=1 go test -parallel 4 -timeout 1h ./internal/mutants
//
// Many a mutant has its test hang, so more of them than there are processors
// share the time.
package mutants

// Package mutants breaks the root package and the engine on purpose, one claim
// at a time, and wants their tests to notice. It has no code of its own.
//
// Each mutant replaces one piece of source in a copy of the module and runs the
// test that should fail. That every piece is still there is tested always; the
// runs take some ten minutes and are made with MMAP_MUTANTS=1:
//
//	MMAP_MUTANTS=1 go test -timeout 1h ./internal/mutants
package mutants

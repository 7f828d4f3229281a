// Package house holds the rules of this module as tests: who may import whom,
// where build tags and unsafe may stand, what must be documented, which lock
// comes before which. It has no code of its own.
//
// # Reading it
//
// A rule is a function from a tree of source files to a list of findings, one
// sentence each. [TestRules] runs every rule on the module; TestRulesFail runs
// each on a few lines of source that break it, so that no rule can pass by
// looking at nothing. imports_test.go has the table of who may import whom:
// a new package gets a row there first.
package house

// Package invariant states what must hold, in a form that compiles away.
//
// Build with -tags invariants to turn the assertions on; the test suite's
// thorough runs do. Without the tag [Enabled] is the constant false, so the
// compiler removes every block that it guards.
package invariant

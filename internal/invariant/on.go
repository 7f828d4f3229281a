//go:build invariants

package invariant

// Enabled tells whether assertions are compiled in. Guard every check that
// costs something with it.
const Enabled = true

package invariant

import "fmt"

// Check panics with the formatted message when assertions are on and ok is
// false. The arguments are evaluated either way: guard costly ones with
// [Enabled].
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}

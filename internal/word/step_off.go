//go:build !steps

package word

import "time"

// Stepped tells whether the seam is compiled in.
const Stepped = false

func step(string) {}

func sleep(time.Duration, []Wait) (done, timedOut bool) { return false, false }

func wake(*U32, int) bool { return false }

// Install is for tests of the builds with the tag steps, and panics in others.
func Install(Stepper) { panic("word: built without the tag steps") }

//go:build !steps

package shm_test

import (
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

// TestSteps kills, closes and truncates at every step, which needs the seam.
func TestSteps(t *testing.T) {
	need(t)
	testenv.Tagged(t, "steps", "^Test(Killed|Closing|LostAtEveryStep)")
}

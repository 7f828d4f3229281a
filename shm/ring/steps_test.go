//go:build !steps

package ring

import (
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

// TestModels runs the models of this package, and truncates at every step: both need
// the seam.
func TestModels(t *testing.T) { testenv.Tagged(t, "steps", "^Test(Model|LostAtEveryStep)") }

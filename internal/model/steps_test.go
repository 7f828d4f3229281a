//go:build !steps

package model_test

import (
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestModel runs the tests of this package, which need the seam.
func TestModel(t *testing.T) { testenv.Tagged(t, "steps", "^Test(Finds|EverySchedule|Killed)$") }

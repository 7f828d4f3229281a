//go:build !steps

package shmnet

import (
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

// TestModels runs the models of this package, which need the seam.
func TestModels(t *testing.T) { testenv.Tagged(t, "steps", "^TestModel") }

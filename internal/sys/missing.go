package sys

import (
	"errors"
	"fmt"
)

// missing marks a constant that this platform does not have. Bit 30 is in no
// kernel's protections, flags or advice, except for Linux's largest huge page
// sizes, and on Linux only the constants of another architecture carry it.
const missing = 1 << 30

// Unsupported is the answer to a call that this platform lacks.
func Unsupported(call string) error {
	return fmt.Errorf("%s: %w on this platform", call, errors.ErrUnsupported)
}

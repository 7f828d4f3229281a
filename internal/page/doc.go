// Package page is the arithmetic of byte ranges and pages: rounding that
// cannot overflow, and ranges checked against a bound.
//
// It knows nothing of a kernel. Offsets and lengths are bytes unless a name
// says pages.
package page

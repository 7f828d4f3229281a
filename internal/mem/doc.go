// Package mem turns addresses into typed views. Beside internal/sys it is the
// only package that may import unsafe; everything else in the module holds
// memory through the slices made here.
//
// # Hazards
//
// A view does not keep its memory mapped. Whoever calls this package must
// guarantee that the range stays mapped for as long as the view is used, and
// that it is not memory of the Go heap.
package mem

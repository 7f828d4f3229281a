// Package fleet makes participants of a shmsync.Space on memory of the Go heap:
// for tests that run protocols without processes, freely under the race detector,
// or step by step in a model. What the kernel does for real participants it does
// itself: the liveness lock, and the mark on a dead one's word.
package fleet

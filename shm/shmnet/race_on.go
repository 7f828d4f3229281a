//go:build race

package shmnet

import "sync/atomic"

// The race detector does not see shared memory: of two goroutines of one process
// that speak over a connection it would not know which came first. So each Write
// is an edge to each Read after it, as with the connections of package net.
var edge atomic.Uint64

func release() { edge.Add(1) }
func acquire() { edge.Load() }

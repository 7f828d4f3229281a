// Package model runs code that shares memory through every order of its steps,
// and ends processes at every one of them.
//
// It is for tests, in builds with the tag steps. A test builds a [World]: fresh
// memory of the Go heap and a few processes, which are goroutines that run the
// real code. A step is an access to shared memory, a sleep, a wake, or a place
// named by the code (internal/word). One process runs at a time, from one step to
// the next, and at each step the world chooses who goes on, or who is killed.
// [Explore] builds the world again for every sequence of choices.
//
// # What is explored
//
// All of it is too much, and most errors need little: Explore goes through all
// schedules with a bounded number of preemptions (switches away from a process
// that could go on) and of crashes, or takes random ones without that bound. A
// time-out fires only where nothing else could happen, so that a wake-up which got
// lost shows: see [World.TimedOut].
//
// # Hazards
//
// A process must not wait for another except through word.Sleep and World.Await, and
// must not start goroutines. What build does must be the same each time. The world is
// sequentially consistent, as Go's atomics are; and since one process runs at a
// time the race detector sees no race here. For that, run the same code freely on
// heap memory.
package model

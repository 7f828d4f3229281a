// Package shmsync has locks and events in memory that processes share, and the
// way to wait for them. A lock whose owner is killed goes to the next one, who is
// told.
//
// # Not promised
//
//   - Fairness: who comes at the right moment overtakes those who sleep.
//   - Protection from a process that may write the memory and means harm: it can
//     take every lock and free every one. What it writes causes errors, and no
//     panic, no access elsewhere and no endless loop.
//   - Anything after a fork without exec: parent and child would be one
//     participant. (os/exec is no such thing.)
//
// # How a death is noticed
//
// Three things tell, each for what the one before leaves out:
//
//  1. One word of each participant is on the robust list of one thread of its
//     process, which does nothing else (set_robust_list(2)). When the process
//     ends, however, the kernel marks the word and wakes one of those who sleep on
//     it; that one wakes the others. Whoever waits for a lock sleeps on three
//     words at once (futex_waitv(2)): the lock, its owner's word, and a word of
//     their own that a context ends the sleep by.
//  2. A lock on a byte of the file (F_OFD_SETLK, fcntl(2)) says that the process
//     is gone for good: threads of a process that is ending may still run for
//     some microseconds after the mark. Nothing is repaired before it is free.
//  3. A sleep lasts 250 ms at most. That covers one who was woken to take a lock
//     and died before taking it, and before waking another.
//
// Who has slept and takes a lock wakes one of those who sleep still, so that it
// sleeps on the word of the owner that there is now. Who leaves with a lock held
// marks its own word, and wakes all.
//
// Who finds a participant dead writes it into the table, so that all others see
// it by a load. See [Space] for its states.
//
// # Hazards
//
// Memory of a named file can be truncated under those who use it. Calls answer that
// with [ErrLost]; see [Space.Guard] for accesses of one's own.
//
// # Lock order
//
//	Space.locals
//	Space.sleepers
//	cpuCount
//
// Each is taken while nothing else is held.
package shmsync

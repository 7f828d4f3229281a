// Package ring has queues in memory that processes share: a [Stream] of bytes
// from one writer to one reader.
//
// # Not promised
//
//   - Protection of what lies in the queue from a process that may write the
//     memory: it can change bytes while they are read, lose them, and keep others
//     waiting. It can't cause a panic, an access elsewhere or a loop without end in
//     those who share with it: each index read from the memory is read once and
//     checked, and a wrong one is [ErrCorrupt].
//   - Anything after the memory is unmapped: what a call hands out is the shared
//     memory itself.
//   - Bytes that stay: they are gone with the segment.
//
// # Waiting
//
// Who finds nothing to do says so in a word of its own, looks once more, and
// sleeps on that word. Who has published something looks at the other side's word,
// and enters the kernel only if somebody sleeps. Both sides announce first and
// look afterwards, so one of them sees the other.
//
// A process that dies between publishing and waking leaves a sleeper: the sleeper
// also sleeps on the other's liveness word, and on none for more than 250 ms.
//
// # Lock order
//
// The package has no locks. What one goroutine at a time may use says so.
package ring

// Package ring has queues in memory that processes share. A [Stream] is bytes from
// one writer to one reader. A [Ring] is records from any number of producers: each
// to one consumer, to every consumer, or to readers who copy while the oldest are
// overwritten. Records are filled and read where they lie.
//
// # Not promised
//
//   - Protection of what lies in the queue from a process that may write the
//     memory: it can change bytes while they are read, lose them, and keep others
//     waiting. It can't cause a panic, an access elsewhere or a loop without end in
//     those who share with it: each index read from the memory is read once and
//     checked, and a wrong one is [ErrCorrupt].
//   - Exactly once, where a consumer dies. What it had taken and not released comes
//     again, marked by [Record.Redelivered]: it may have been acted upon.
//   - That others go on while somebody fills a record. Consumers deliver in order,
//     and wait for it; so a producer reserves, fills and commits without waiting. Who
//     repairs what a dead one had begun holds others up in the same way.
//   - Anything after the memory is unmapped: what a call hands out is the shared
//     memory itself.
//   - Records that stay: they are gone with the segment.
//
// # A death
//
// Whoever dies, at any instruction, leaves the words of a ring in one of their
// listed states, since each change is one store or one compare-and-swap. What a
// record waits for is named in its word: the seat of a producer or a consumer, and
// the seat names a participant, which never comes back under the same name. Who is
// held up asks whether that participant lives, and if not takes the seat over and
// undoes what it had begun. No time-out takes part in that.
//
// # Waiting
//
// Who finds nothing to do says so in a word, looks once more, and sleeps on that
// word. Who has published something looks at the word afterwards, and enters the
// kernel only if somebody sleeps. Both announce first and look afterwards, so one of
// them sees the other.
//
// A process that dies between publishing and waking leaves a sleeper: the sleeper
// also sleeps on the liveness word of who is in its way, and never for more than
// 250 ms.
//
// # Hazards
//
// The file of a named segment can be truncated under those who use it. Every call
// then fails with [shmsync.ErrLost], one that waits within 250 ms. What a call has
// handed out has no guard: the bytes of a [Reservation] and a [Record], those of
// TryReserve and TryNext. An access to them kills the process, by SIGBUS, unless it is
// made under a guard of the caller's:
//
//	func fill(s *shmsync.Space, b []byte) (err error) {
//		defer s.Guard().End(&err)
//		...
//
// Send and Recv, which copy, need none. A hole that somebody punches into the file reads
// as zeros, as if they had been stored: who is about to sleep looks whether the ring and its
// seat still stand there.
//
// # Lock order
//
// The package has no locks. What one goroutine at a time may use says so.
package ring

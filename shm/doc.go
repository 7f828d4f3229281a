// Package shm gives several processes one memory: a [Segment], found by name or
// handed over as a descriptor, in which locks (shmsync) and queues (ring) live.
//
// # Not promised
//
//   - That bytes survive: a segment is memory, gone with the machine's power.
//   - Protection between processes that may write: each can change every byte. A
//     process that must not be trusted is given a read-only descriptor of an
//     anonymous segment; see [Segment.SealWriters].
//   - Use after a fork without exec: parent and child would be one participant.
//
// # Birth and death
//
//	unnamed ──reserved, laid out, joined, linked──▶ named
//	named   ──the last participant leaves──▶ unlinked     (Keep: stays named)
//	named   ──all participants are killed──▶ named, and nobody alive
//	        ──Open──▶ named   the newcomer declares the others dead
//	        ──Collect──▶ unlinked
//
// A segment has its name only once it is whole: nobody ever opens half of one.
// Its blocks are reserved before that, so that a full tmpfs is an error of the
// call that creates.
//
// Each participant holds a lock on a byte of the file (F_OFD_SETLK), which the
// kernel takes away from a process however it ends. That is how a participant
// is known to live: process ids, containers and time play no part. Two Opens in
// one process are two participants.
//
// # Lock order
//
//	views of Segment.Mapping
//	  Segment.closing
//	    birth, a lock on the segment's file
//	      slot, another
//
// Birth and slot are given back together. The birth lock is held for as long as it
// takes to attach or to leave, never while waiting for anything else.
//
// # Hazards
//
//   - A named file can be truncated by whoever may write it. Every call of this
//     package, of shmsync and of ring, and [Segment.Mapping]'s guarded accesses, then
//     fail with [shmsync.ErrLost], or mmap.ErrPastEnd; a call that waits, within 250 ms.
//     Memory that was handed out has no guard: a slice of ring's Reserve, Next or
//     TryNext, what [shmsync.At] and Space.Memory answer. An access to it kills the
//     process with SIGBUS, unless it is made under a [shmsync.Space.Guard]. Anonymous
//     segments are sealed against truncation.
//   - Whoever may write the file can also punch a hole into it, which reads as zeros:
//     free locks, an empty directory. That is noticed where zeros make no sense, as any
//     other bytes that a peer may write.
//   - When a process ends, one of whose segments was truncated, the kernel may mark none
//     of its others: the waiters there hear of its end up to 250 ms late.
//   - systemd removes the segments of a user who logs out (RemoveIPC=,
//     logind.conf(5)), and a container has 64 MiB of /dev/shm unless told otherwise.
package shm

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
// None: the locks of a segment's file are taken in the order birth, then slot, and
// given back together. The birth lock is held for as long as it takes to attach or
// to leave, never while waiting for anything else.
//
// # Hazards
//
//   - A named file can be truncated by whoever may write it. [Segment.Mapping]'s
//     guarded accesses turn that into an error; a lock or queue that meets it
//     kills the process with SIGBUS. Anonymous segments are sealed against it.
//   - systemd removes the segments of a user who logs out (RemoveIPC=,
//     logind.conf(5)), and a container has 64 MiB of /dev/shm unless told otherwise.
package shm

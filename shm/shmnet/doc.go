// Package shmnet connects two processes of one machine through shared memory: a
// [net.Listener] and [net.Conn] for programs that know nothing of it.
//
//	l, err := shmnet.Listen("/run/echo.sock")
//	c, err := shmnet.Dial("/run/echo.sock")
//
//	s.Serve(l)                                                        // gRPC, net/http
//	grpc.NewClient("passthrough:///run/echo.sock", grpc.WithContextDialer(shmnet.DialContext), ...)
//
// # Not promised
//
//   - That what was written has been read: as with any connection, what stands in
//     the buffer when the reading process dies is lost.
//   - Progress against a peer that means harm: it can keep its end waiting, change
//     bytes while they are read, and wake the other for nothing. It can't cause a
//     panic, a fault, an access elsewhere or a loop that Close and a deadline do
//     not end. What it writes into the words that both share is an error of the
//     call that finds it.
//   - Release of a Conn that is dropped: it holds two descriptors, memory and a
//     goroutine until Close.
//   - Anything but Linux: elsewhere Listen and Dial fail with errors.ErrUnsupported.
//
// # How it works
//
// An address is that of a Unix socket. The dialer makes the memory, a memfd of two
// rings (see [github.com/memwright/mmap/shm/ring.Stream]), seals it against
// truncation and hands it over through the socket. From then on bytes go through
// the rings. The socket stays: a byte on it wakes a peer that has parked. With the
// memory the dialer hands over one of two ends of a second socket, the line, on
// which nothing ever comes: its end is how a death is noticed, however the process
// ended. A connection has these two descriptors at each end, and one goroutine that
// waits for the end of the line.
//
// # How a call waits
//
//	look ──▶ spin ──▶ park
//
// It looks into the ring. It spins for as long as is worth while there (see
// [github.com/memwright/mmap/shm/shmsync.Spinner]), so that an answer that comes at
// once costs no system call: no more goroutines than GOMAXPROCS-1 do at once, and
// none where the process has one processor. Where the peer last waited on the same
// processor, the spin gives that away (sched_yield(2)). Then it parks: its goroutine waits in
// the poller for the socket, and costs no thread. Where a Read and a Write park, one
// waits for the socket and wakes the other.
//
// Who parks says so in a word of the memory, and looks once more. Who has written
// or read looks at that word, and sends a byte only if it says so. No more than a
// few bytes ever lie in the socket, so one can always be sent.
//
// The byte is sent and received by system calls that the runtime does not hear of:
// else each would wake the runtime's monitor thread, in a process that was idle,
// before anything else. It is woken from here 100 times a second at most, which is
// as often as it looks for goroutines that run too long.
//
// # Lock order
//
//	Conn.in
//	  Conn.out
//	deadline.timer
//
// Who waits for the peer holds the lane that waits, and no other lock. Close takes
// both once nobody waits any more.
package shmnet

// Command twoprocs lets one process see live what another one writes, through a
// file that both have mapped.
//
//	go run ./examples/twoprocs               # both processes, started by a third
//	go run ./examples/twoprocs -engine       # the same on package vmem: see engine.go
//	go run ./examples/twoprocs write FILE    # process A: what you type is stored
//	go run ./examples/twoprocs read FILE     # process B, in another terminal
//
// The steps of the two processes, and where they stand in write.go and read.go:
//
//	process A                                   here
//	creates the file                            mmap.Create(name, fileBytes, 0o644)
//	maps it MAP_SHARED                          the same call: Create maps read-write
//	writes data                                 board.post: atomic stores
//
//	process B                                   here
//	opens the same file                         mmap.Open(name)
//	maps it MAP_SHARED                          the same call: Open maps read-only and shared
//	reads, and sees A's changes live            board.look
//
// Nothing is sent and nothing is synced: both map the same page of the page
// cache, and a store is there for the other as soon as it is made. (Sync is
// about the disk, not about who sees what.)
//
// # What the bare recipe leaves out
//
// A text is more than one store, so B could see half of it. The two therefore
// share a sequence number: A makes it odd, changes the text, and makes it even
// again; B takes a copy and keeps it only if the number was even, and the same
// before and after. Every load and store of it is atomic, those of the text too:
// an arm64 processor may make a plain load of the text after the atomic load of
// the number that stands behind it.
//
//	 0        4        8        12       16                          4096
//	+--------+--------+--------+--------+---------------------------+
//	| magic  | number | ended  | length | text                      |
//	+--------+--------+--------+--------+---------------------------+
//	  uint32   uint32   uint32   uint32   length bytes
//
// # What is not promised
//
// B sees the latest text, and not each one: what A replaces before B looks is
// gone (examples/appendlog keeps everything). If A is killed, B waits until it
// is interrupted.
package main

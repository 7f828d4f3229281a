// Command appendlog keeps an append-only log in a mapped file: it grows, it is
// safe on the disk when it says so, and other processes read it while it is
// written.
//
//	go run ./examples/appendlog append FILE    # each line of the input becomes a record
//	go run ./examples/appendlog follow FILE    # prints each record, and those to come
//	go run ./examples/appendlog dump FILE      # checks the records and lists them with their places
//
// Logs are what mmap is often recommended for. This is what the recommendation
// leaves to the programmer, and where it stands:
//
//   - The file must grow under the mapping, and a full disk must not be a SIGBUS:
//     the data is mapped with Reserve and grown by Resize, in steps of 1 MiB with
//     real blocks (writer.room).
//   - Stores reach the disk whenever the kernel likes, in any order. So a record is
//     made durable first (WriteView), and then the header's one word that says up
//     to where the log is valid (writer.commit). What lies behind that word is
//     nothing.
//   - Readers must not see half a record: they read only up to that word, which is
//     loaded and stored atomically.
//   - A process that is killed, even by kill -9, leaves that word and everything
//     before it as they are. So opening a log again needs no repair: the writer
//     checks the records up to the word and goes on behind the last (openWriter).
//   - A file that somebody truncates must not kill those who have mapped it:
//     ReadAt, View and WriteView turn the fault into an error.
//
// The file's format, and what a power cut can and can't do to it, are in
// docs/format/appendlog.md. From the ground up: format.go says what is in the
// file, log.go maps it and reads one record after another, writer.go appends, and
// main.go has the three commands.
//
// # What is not promised
//
// One process writes at a time, and the caller sees to that, for instance with
// "flock FILE appendlog append FILE". The log has no lock of its own, since Go's
// standard library offers none. It notices a second writer instead: the word is
// replaced by compare-and-swap, so one of the two fails; and where both have
// stored into the same place, the checksum tells.
package main

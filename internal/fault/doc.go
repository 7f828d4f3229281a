// Package fault runs a function and turns a memory fault inside a given range
// into an answer.
//
// A load or store that the kernel can't satisfy raises SIGBUS or SIGSEGV. With
// debug.SetPanicOnFault the Go runtime makes it a panic whose value tells the
// address; this package recovers that panic when the address lies in the range
// that the caller guards, and lets every other panic pass.
//
// # Hazards
//
//   - The setting belongs to a goroutine. A fault in a goroutine that the
//     guarded function starts still kills the process.
//   - A fault in C code, inside a channel operation, or in a map insert that
//     compares keys in the guarded memory can't be recovered (runtime.canpanic).
//   - The address is where the instruction faulted, and a block copy does not
//     start at its first byte: it tells the page, not how much was copied.
package fault

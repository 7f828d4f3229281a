// Package word is the one way to touch a word of memory that processes share:
// atomic, and a place where a test can stop the world.
//
// [U32] and [U64] are views of mapped memory, made by internal/mem. Each access
// is sequentially consistent (golang.org/ref/mem), so a store followed by a load
// of another word can't be turned round: protocols of the kind "announce, then
// look" need nothing more. Goroutines that wait for each other in one process use
// words too, where a model goes through their steps. [Sleep] and [Wake] are the kernel's futex, always the
// kind that other processes see.
//
// # The seam
//
// With the build tag steps every access, sleep and wake, and every [Place], first
// calls the [Stepper] that a test has installed. It can run goroutines as
// processes, one step at a time in an order of its choice, and end one of them
// at any step (internal/model), or stop a real process at its n-th step for
// another to kill. Without the tag [Stepped] is the constant false and the
// compiler removes the seam.
//
// # Hazards
//
// A word is untrusted: another process may write anything to it at any time.
// Load it once into a variable, check that, and use the variable.
package word

// Package kernel runs the steps of a script on this system's kernel, each after
// the engine has done it, so that the two can be compared.
//
// A [Machine] has a process of package internal/tracee for each process of the
// script: no Go program, so it forks, locks all of its memory and is killed by
// nothing that it does. Its files are in a directory. It has no capabilities and
// the limits of the engine's processes, and no huge pages, which a script does
// not know.
//
// What a kernel chooses freely is given to it from what the engine chose: an area
// that may be anywhere goes where the engine's is, by MAP_FIXED_NOREPLACE. What
// it can't be made to do is an error: [ErrElsewhere].
//
// # Waiting
//
// Every method takes its turn on the one thread that ptrace allows, and waits for
// it: until the context of [Start] is done or [Patience] is over. Then all
// processes are killed, and the machine is of no use any more but for Close. One
// goroutine at a time may call methods.
package kernel

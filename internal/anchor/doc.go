// Package anchor has the kernel mark a word of shared memory when this process
// ends, however it ends.
//
// Linux does that for words on the robust list of a thread (set_robust_list(2)):
// when the thread ends, each word on the list that holds the thread's number gets
// FUTEX_OWNER_DIED, and one of those who sleep on it is woken. Goroutines wander
// between threads, so the list belongs to one thread that does nothing else: a
// goroutine locked to it, which never returns, and which never calls C. (In a
// program with cgo the C library sets a list for each of its threads. It is
// replaced here, on a thread that no C code runs on.)
//
// # The list
//
// The kernel finds the word at one distance from each entry of the list. The
// entries must not lie in shared memory, where others could bend them, so the
// words are mapped a second time, each page beside a private one:
//
//	 entries, private                    words, shared
//	┌──────┬──────┬──────┬─ ─ ─┬──────┬──────┬──────┬──────┬─ ─ ─┐
//	│ 0 ●──┼▶1 ●  │      │     │ head │ word │ word │      │     │
//	└──────┴──────┴──────┴─ ─ ─┴──────┴──────┴──────┴──────┴─ ─ ─┘
//	  └──────────── one distance ───────▶┘
//
// A page stays mapped until its entry is off the list: one entry whose word can't
// be reached ends the kernel's walk, and the others stay unmarked.
//
// # Hazards
//
// An exec of this process marks all words, as its end does. A child that
// os/exec starts changes nothing. After a fork without exec the child has no list.
package anchor

// Package vmem is the mechanism of mmap, in Go: address spaces of areas, page
// tables filled by faults, a bounded cache of pages shared by everybody who
// maps them, copy-on-write, write-back, locking. What is mapped is a [Store]:
// anything that can be read by offset. Loads and stores are method calls.
//
// It does what Linux does on amd64, call by call and errno by errno, without a
// kernel: on every platform, over any object, and the same each time.
//
// # Not promised
//
//   - It is no faster way to anything. A load is a call of a few dozen
//     nanoseconds; the hardware needs none.
//   - There is no swap: a page that belongs to no Store stays in memory until
//     it is unmapped. When nothing can be evicted an access answers ENOMEM,
//     where a kernel would kill a process.
//   - Huge pages, NUMA, protection keys, userfaultfd, sealing, and stacks that
//     grow are left out.
//   - Bytes stored beyond the end of a file, in its last page, are lost at
//     some moment; when is nobody's promise.
//
// # How it is built
//
// Read it in this order. A [Machine] has frames, objects and processes
// (machine.go). A [Store] becomes an [Object] by being brought in, and is
// opened as a [File] (store.go, object.go). Each [Process] has areas, which
// say what an address means (space.go), and a page table, which says where the
// page is (table.go). Frames hold the pages (frame.go); those of an object are
// its page cache (cache.go). An access that the table does not allow is a
// fault, and the decision what that means is in fault.go. The calls move areas
// about and drop entries: faults do the rest (calls_map.go, calls_protect.go,
// calls_lock.go, calls_sync.go, calls_advise.go, calls_remap.go, calls_file.go,
// calls_process.go). What a power cut may leave is in crash.go. What happens
// inside a step is told as it happens (event.go), and all there is can be looked
// at without changing it (inspect.go).
//
// # Choices
//
// Where Linux is free to choose, the engine has a rule of its own, the same
// each time, and a way to be told: [Choices] for what is chosen inside a call,
// and [Machine.WriteBack], [Machine.Evict], [Process.DropFree] for what a kernel
// does when it likes. A choice that a kernel could not have made is refused
// with [ErrChoice], and the step that asked for it is not done.
//
// # Hazards
//
// A Machine and everything in it belongs to one goroutine at a time: callers
// lock. A Store is called from inside the engine's calls and must not call it.
package vmem

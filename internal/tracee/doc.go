// Package tracee runs single system calls, loads and stores in tiny processes
// that do nothing of their own, so that it can be watched what the kernel makes
// of each: by the tests, and by mmap explain.
//
// A [Process] is a static ELF executable of some thirty instructions that
// [Start] writes itself: no Go runtime, no C library, no stack, no vdso. Two
// pages are mapped in it, [Code] and [Scratch], and after that only what the
// caller maps. It is always stopped; [Process.Syscall], [Process.Load] and the
// others let it run one instruction and stop it again by ptrace(2). A signal
// that the instruction raises is reported with its code and its address, and
// never delivered. [Process.Fork] is a real fork.
//
// [Process.Areas], [Process.Locked] and [Process.Pages] look at a process
// through /proc, which touches none of its pages.
//
// # Rules
//
// ptrace knows threads, not processes: whoever calls Start must be locked to
// its thread (runtime.LockOSThread), must make every later call from there, and
// should let the goroutine end without unlocking it, since Start ties the thread
// to one processor. The processes die with the thread. [Rig.Stop] alone may be
// called from anywhere: it ends a call that blocks.
//
// # Errors
//
// What the kernel answers is an error of type syscall.Errno from a system call,
// and of type *[Fault] from an access. Any other error is of the rig, and it is of
// no use any more but for Close: most often [ErrGone], when somebody has killed
// the process.
//
// Start answers errors.ErrUnsupported elsewhere than on Linux for amd64. Where
// ptrace is refused it answers EPERM, where the directory lets no program run
// EACCES, and says which of the system's rules may be behind it.
package tracee

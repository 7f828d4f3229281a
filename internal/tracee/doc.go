// Package tracee runs single system calls, loads and stores in tiny processes
// that do nothing of their own, so that tests can watch what the kernel makes
// of each. It is for tests alone.
//
// A [Process] is a static ELF executable of some thirty instructions that
// [Start] writes itself: no Go runtime, no C library, no stack, no vdso. Two
// pages are mapped in it, [Code] and [Scratch], and after that only what the
// test maps. It is always stopped; [Process.Syscall], [Process.Load] and the
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
// to one processor. Start can fail; what fails later is a broken rig, and
// panics. The processes die with the thread.
//
// Start answers errors.ErrUnsupported elsewhere than on Linux for amd64, and
// EPERM or EACCES where ptrace is refused.
package tracee

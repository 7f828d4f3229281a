// Package raw is the memory-mapping system calls with the signatures of their
// manual pages: mmap(2), munmap(2), msync(2), mlock(2), mlock2(2), munlock(2),
// mlockall(2), munlockall(2), mprotect(2), madvise(2), mremap(2), mincore(2).
//
// It is for those who know them, for tests, and for comparing the kernel with
// anything else. It adds no policy, no registry and no lock: an argument goes
// to the kernel as it is, and the answer comes back as it is. Most programs
// want the package [github.com/memwright/mmap] instead.
//
// # Errors
//
// Every failure is an *os.SyscallError that names the call and wraps the errno,
// so errors.Is(err, syscall.EINVAL) holds where the kernel said EINVAL. A call,
// or a constant, that the platform lacks answers an error for which
// errors.Is(err, errors.ErrUnsupported) holds.
//
// # Hazards
//
//   - MAP_FIXED replaces what is mapped at the address, the Go heap included.
//     MAP_FIXED_NOREPLACE (Linux 4.17) refuses instead.
//   - Munmap, Mprotect, Madvise and Mremap on memory that the Go runtime owns
//     corrupt the program.
//   - Msync with MS_ASYNC has done nothing since Linux 2.6.19, and on a private
//     mapping every Msync does nothing; both answer success.
//   - MAP_POPULATE and MAP_LOCKED swallow the failure to bring pages in.
//   - Mlockall(MCL_FUTURE) makes the Go heap's next growth count against
//     RLIMIT_MEMLOCK; where that fails, the process dies.
package raw

// Package sys is the kernel: every system call, ioctl and ABI struct that this
// module uses, with no policy. It is the only importer of golang.org/x/sys, the
// only package with build tags for an operating system or an architecture, and
// with internal/mem the only owner of unsafe.
//
// Calls take addresses and lengths as the kernel does and answer the bare
// errno. A call or a flag that the platform lacks answers an error for which
// errors.Is(err, errors.ErrUnsupported) holds; none silently does less.
//
// # Adding a platform
//
// The files are a concern and a suffix: const_ (numbers), memory_ (the calls on
// address ranges), file_ (the calls on descriptors), system_ (limits), process_
// (other processes). linux is complete, bsd is darwin and freebsd, unix is what the
// three share, other refuses.
// Give the new platform its own files and take it out of the tags of
// other; nothing outside this package changes.
package sys

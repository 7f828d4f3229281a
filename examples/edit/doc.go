// Command edit prints a file and changes its first character to H, through
// memory.
//
//	go run ./examples/edit FILE
//	go run ./examples/edit -engine FILE    # the same on package vmem: see engine.go
//
// It is the C program that everybody writes first with mmap, step by step:
//
//	C                                          here
//	1. fd = open(file, O_RDWR)                 os.OpenFile(name, os.O_RDWR, 0)
//	2. fstat(fd, &st)                          f.Stat
//	3. mmap(NULL, size, PROT_READ|PROT_WRITE,  mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})
//	        MAP_SHARED, fd, 0)
//	4. printf("%s", addr); addr[0] = 'H'       m.WriteTo(os.Stdout); m.WriteView(0, 1, ...)
//	5. munmap(addr, size)                      m.Close
//	6. close(fd)                               f.Close
//
// Four things differ, because the C program gets them wrong:
//
//   - printf("%s") reads up to the first zero byte. A file need not have one,
//     and where the file fills its last page nothing stops the read behind the
//     mapping. Here exactly the bytes of the file are printed.
//   - An empty file can't be mapped by the call, and there is no first character
//     to change. It is refused with words instead of "Invalid argument".
//   - munmap and close make nothing durable. WriteView syncs what was stored, so
//     that the H is on the disk when the program says so.
//   - A file that somebody truncates meanwhile kills the C program with SIGBUS.
//     WriteTo and WriteView return an error.
//
// Steps 1 to 3 are one call where the descriptor itself is not wanted:
// mmap.OpenFile(name, mmap.Options{Access: mmap.ReadWrite}).
package main

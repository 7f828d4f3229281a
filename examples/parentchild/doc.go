// Command parentchild shares memory between a parent and its child: the child
// stores 100, and the parent reads it.
//
//	go run ./examples/parentchild
//	go run ./examples/parentchild -engine    # the same on package vmem: see engine.go
//
// It is the C program with an anonymous shared mapping and a fork:
//
//	C                                            here
//	mmap(NULL, 4096, PROT_READ|PROT_WRITE,       mmap.Anonymous(4096, mmap.Options{Sharing: mmap.Shared})
//	     MAP_ANONYMOUS|MAP_SHARED, -1, 0)
//	int *shared_data                             mmap.Slice[int32](m, 0, 1)
//	*shared_data = 0                             atomic.StoreInt32(&shared[0], 0)
//	fork()                                       exec.Command(self, "child") with m.File() in ExtraFiles
//	  child:  *shared_data = 100; printf         mmap.Map(os.NewFile(3, ...)), atomic.StoreInt32, fmt.Println
//	          munmap; exit(0)                    m.Close; return from main
//	  parent: wait(NULL); printf; munmap         cmd.Run has waited; atomic.LoadInt32, fmt.Println; m.Close
//
// Two things differ:
//
//   - A Go program can't fork: its runtime has many threads, and a fork copies
//     only one of them. So the child is this program started anew, and does not
//     inherit the mapping. What it inherits is the descriptor of the memory (a
//     memfd), which it maps itself. The address differs; the memory is the same.
//   - The loads and stores are atomic. Here the wait orders them too, but two
//     processes that run at the same time need atomics as two goroutines do.
package main

// Command bench measures this module beside its peers, in one run, and prints
// the tables of docs/BENCHMARKS.md.
//
//	go run .            # the tables, about a minute
//	go run . -slow      # also what takes long, about ten minutes, as root
//	go run . -short     # a few seconds: proves that every row runs, measures little
//	go run . -only KEY  # the tables whose key, in main.go, matches
//
// The rows of a table take turns: one round runs every row once, in an order
// that moves on by one each round, so that whatever else the machine does
// falls on all of them alike. A ratio is taken inside a round, and the
// table shows the median of the ratios with their quartiles.
//
// With -slow it also reads files of 1 and 2 GiB, in memory and not, reads a file
// system whose reads take 20 ms (FUSE, served by a process of its own), and counts
// what reaches a loop device. That needs root, FUSE and mkfs.ext4.
//
// # Lock order
//
// None: the locks of the program are there to be measured.
//
// It needs Linux on a 64-bit machine: its base line is the system calls.
package main

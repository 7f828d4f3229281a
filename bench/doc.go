// Command bench measures this module beside its peers, in one run, and prints
// the tables of docs/BENCHMARKS.md.
//
//	go run .            # the tables, about a minute
//	go run . -scan      # with one scan of 1 GiB
//	go run . -short     # a few seconds: proves that every row runs, measures little
//
// The rows of a table take turns: one round runs every row once, in an order
// that moves on by one each round, so that whatever else the machine does
// falls on all of them alike. A ratio is taken inside a round, and the
// table shows the median of the ratios with their quartiles.
//
// It needs Linux on a 64-bit machine: its base line is the system calls.
package main

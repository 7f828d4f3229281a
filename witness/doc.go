// Package witness has the last word of "go test ./...": the list of what could
// not be proven on this machine, and why. It offers nothing to import.
//
// The go command shows nothing of packages that pass. So the test here, in the
// package that it starts last, waits until the go command runs nothing else,
// and then writes the list to the go command's own standard error. Where the
// system does not let it (it needs /proc, and for a redirected output the right
// to trace the parent), go test -v ./witness shows the list.
package witness

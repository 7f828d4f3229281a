package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 31, "how often every row runs")
	slot := flag.Duration("slot", 10*time.Millisecond, "how long one row runs in one round")
	short := flag.Bool("short", false, "3 rounds of 1 ms: proves that every row runs")
	scan := flag.Bool("scan", false, "also scan a file of 1 GiB in memory")
	dir := flag.String("dir", "/var/tmp", "where the files to map are made, and removed from")
	flag.Parse()
	if *short {
		*rounds, *slot = 3, time.Millisecond
	}
	if err := run(*dir, *rounds, *slot, *scan); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(parent string, rounds int, slot time.Duration, scan bool) error {
	dir, err := os.MkdirTemp(parent, "mmap-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, pattern(fileSize), 0o600); err != nil {
		return err
	}
	fmt.Printf("%s/%s, %s, GOMAXPROCS %d. %d rounds, %v for each row in each.\n",
		runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.GOMAXPROCS(0), rounds, slot)
	tables := []func(string) (table, error){mapByName, mapOpenFile, read16, read4K}
	if scan {
		tables = append(tables, scanFile)
	}
	for _, prepare := range tables {
		t, err := prepare(file)
		if err != nil {
			return err
		}
		err = t.measure(rounds, slot)
		t.done()
		if err != nil {
			return err
		}
		t.print(os.Stdout)
	}
	return nil
}

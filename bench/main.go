package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// settings is what the flags say.
type settings struct {
	rounds, slowRounds int
	slot               time.Duration
	slow               bool
	gib                int64
	only               *regexp.Regexp
	dir                string
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == serveArg {
		serve(os.Args[2])
		return
	}
	if len(os.Args) > 3 && os.Args[1] == pairArg {
		if err := play(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 5 && os.Args[1] == receiveArg {
		if err := receive(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench receiver:", err)
			os.Exit(1)
		}
		return
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 31, "how often every row runs")
	flag.IntVar(&s.slowRounds, "slowrounds", 11, "the same for the tables of -slow")
	flag.DurationVar(&s.slot, "slot", 10*time.Millisecond, "how long one row runs in one round")
	short := flag.Bool("short", false, "3 rounds of 1 ms: proves that every row runs")
	flag.BoolVar(&s.slow, "slow", false, "also what takes long: 1 GiB, cold reads, a slow file system, what reaches the disk")
	flag.Int64Var(&s.gib, "gib", 8, "the size in GiB of the file of the cold random reads")
	only := flag.String("only", "", "only the tables whose key matches this regular expression")
	flag.StringVar(&s.dir, "dir", "/var/tmp", "where the files to map are made, and removed from")
	flag.Parse()
	if *short {
		s.rounds, s.slowRounds, s.slot = 3, 1, time.Millisecond
	}
	var err error
	if s.only, err = regexp.Compile(*only); err == nil {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A report measures itself and prints itself.
type report interface {
	print(w io.Writer)
	done()
}

// An entry is a table by its key for -only. What is slow needs -slow.
type entry struct {
	key  string
	slow bool
	make func(s settings, file string) (report, error)
}

func entries() []entry {
	quick := func(prepare func(string) (table, error)) func(settings, string) (report, error) {
		return func(s settings, file string) (report, error) {
			t, err := prepare(file)
			if err == nil {
				err = t.measure(s.rounds, s.slot)
			}
			return &t, err
		}
	}
	long := func(prepare func(string) (table, error)) func(settings, string) (report, error) {
		return func(s settings, file string) (report, error) {
			t, err := prepare(file)
			if err == nil {
				err = t.measure(s.slowRounds, slowSlot)
			}
			return &t, err
		}
	}
	wide := func(prepare func(string) (table, error)) func(settings, string) (report, error) {
		return func(s settings, file string) (report, error) {
			t, err := prepare(file)
			if err == nil {
				err = t.measure(s.slowRounds, wideSlots*s.slot)
			}
			return &t, err
		}
	}
	trials := func(prepare func(dir string) (trial, error)) func(settings, string) (report, error) {
		return func(s settings, file string) (report, error) {
			t, err := prepare(filepath.Dir(file))
			if err == nil {
				err = t.measure(s.slowRounds)
			}
			return &t, err
		}
	}
	return slices.Concat([]entry{
		{"mapname", false, quick(mapByName)},
		{"mapopen", false, quick(mapOpenFile)},
		{"read16", false, quick(read16)},
		{"read4k", false, quick(read4K)},
		{"loop4k", false, quick(loop4K)},
		{"view4k", false, quick(look4K)},
		{"two16", false, quick(both16)},
		{"two4k", false, quick(both4K)},
		{"locks", false, quick(func(string) (table, error) { return uncontended() })},
		{"gib16", true, wide(read16G)},
		{"gib4k", true, wide(read4KG)},
		{"gibview", true, wide(look4KG)},
		{"scanwarm", true, long(scanWarm)},
		{"scancold", true, long(scanCold)},
		{"coldrandom", true, func(s settings, file string) (report, error) { return long(coldRandom(s.gib<<30))(s, file) }},
		{"ticker2", true, trials(func(dir string) (trial, error) { return lateness(dir, 2, false) })},
		{"ticker1", true, trials(func(dir string) (trial, error) { return lateness(dir, 1, false) })},
		{"evicted2", true, trials(func(dir string) (trial, error) { return lateness(dir, 2, true) })},
		{"evicted1", true, trials(func(dir string) (trial, error) { return lateness(dir, 1, true) })},
		{"written", true, trials(amplification)},
	}, whereProcessorsAre(connections(trials)...), whereProcessorsAre(
		entry{"oneway64", false, wide(func(string) (table, error) { return oneWay(64, 8192) })},
		entry{"oneway4k", false, wide(func(string) (table, error) { return oneWay(4096, 1024) })},
		entry{"oneway1m", false, wide(func(string) (table, error) { return oneWay(1<<20, 16) })},
	), stalls(trials))
}

func run(s settings) error {
	dir, err := os.MkdirTemp(s.dir, "mmap-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	fmt.Printf("%s/%s, %s, GOMAXPROCS %d. %d rounds, %v for each row in each; the slow tables %d rounds.\n",
		runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.GOMAXPROCS(0), s.rounds, s.slot, s.slowRounds)
	for _, e := range entries() {
		if e.slow && !s.slow || !s.only.MatchString(e.key) {
			continue
		}
		if !e.slow { // a slow one may leave it longer
			if err := os.WriteFile(file, pattern(fileSize), 0o600); err != nil {
				return err
			}
		}
		r, err := e.make(s, file)
		r.done()
		if err != nil {
			return fmt.Errorf("%s: %w", e.key, err)
		}
		r.print(os.Stdout)
	}
	return nil
}

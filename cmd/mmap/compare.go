package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// A comparison reads the same bytes in several ways and tells what each cost.
// One round does every cell once; the ways of a group take turns, and rounds
// repeat until the time is over, so that whatever else the machine does falls on
// all of them alike.

type compareOptions struct {
	full bool
	time time.Duration
}

func newCompare(c *console) *cobra.Command {
	var opt compareOptions
	cmd := &cobra.Command{
		Use:   "compare [FILE|SIZE]",
		Short: "Measure mapping against read, pread and ReadFile on this machine",
		Long: `Compare measures what is usually only told: mapping against read(2), pread(2)
and os.ReadFile, in sequence and at random, with the file in memory and on the
disk, and from which file size which way is faster.

FILE is only read; its pages may leave the page cache. SIZE (64MiB, 1G, 100k)
makes a sample, in TMPDIR if that is on a disk, and removes it. Without either
the sample has 64 MiB. Of a larger file the first 64 MiB are measured, and with
--full the first 1 GiB.

Every byte is touched and the sum of all is checked. Whether the file is in
memory is asked of the kernel before each measurement.`,
		Example: `  mmap compare
  mmap compare 1GiB --full
  mmap compare /var/lib/data.db --time 1m
  mmap compare 16MiB --json | jq '.crossovers'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("time") && opt.full {
				opt.time = 5 * time.Minute
			}
			what := "64MiB"
			if len(args) == 1 {
				what = args[0]
			}
			return runCompare(cmd.Context(), c, what, opt, readingMethods)
		},
	}
	cmd.Flags().BoolVar(&opt.full, "full", false, "more block sizes, more file sizes, cold file sizes too (5m unless --time is given)")
	cmd.Flags().DurationVar(&opt.time, "time", 20*time.Second, "how long to measure in all")
	return cmd
}

// runCompare measures and prints. What was measured before ctx ended is
// printed too.
func runCompare(ctx context.Context, c *console, what string, opt compareOptions, methods []method) error {
	if opt.time <= 0 {
		return fmt.Errorf("--time is a positive duration such as 20s, not %v", opt.time)
	}
	report, err := measureAll(ctx, c, what, opt, methods)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(report)
	}
	report.print(c)
	return nil
}

// measureAll measures. It has removed what it made when it returns, before
// anything is printed: a closed pipe would end the process.
func measureAll(ctx context.Context, c *console, what string, opt compareOptions, methods []method) (*comparison, error) {
	start := time.Now()
	// Counters are per thread, so the whole measurement stays on one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	r := &rig{console: c, opt: opt, start: start, methods: methods}
	defer r.close()
	if err := r.prepare(ctx, what); err != nil {
		return nil, err
	}
	tried, err := r.measureClaims(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.rounds(ctx); err != nil {
		return nil, err
	}
	return r.report(tried, ctx.Err() != nil), nil
}

// parseSize reads 4096, 100k, 64MiB, 1.5G: k, M and G are powers of 1024, with
// or without iB or B after them.
func parseSize(s string) (int64, bool) {
	number := strings.TrimRight(s, "kKmMgGiIbB")
	shift, ok := map[string]int{"": 0, "b": 0, "k": 10, "kb": 10, "kib": 10,
		"m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30}[strings.ToLower(s[len(number):])]
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || strings.Trim(number, "0123456789.") != "" || v*float64(int64(1)<<shift) > 1<<50 {
		return 0, false
	}
	return int64(v * float64(int64(1)<<shift)), true
}

// subjectOf makes or opens what is compared.
func (r *rig) subjectOf(ctx context.Context, what string) (*subject, error) {
	window := int64(64 << 20)
	if r.opt.full {
		window = 1 << 30
	}
	_, statErr := os.Stat(what)
	size, isSize := parseSize(what)
	switch {
	case statErr == nil:
		return givenSubject(what, window)
	case !isSize && errors.Is(statErr, os.ErrNotExist):
		return nil, fmt.Errorf("%q is neither a file nor a size such as 64MiB", what)
	case !isSize:
		return nil, statErr
	case size < 4096 || size != int64(int(size)):
		return nil, fmt.Errorf("a sample of %d bytes can't be made: give 4k or more, and no more than the address space", size)
	case r.dir == "":
		return nil, fmt.Errorf("no directory to make a sample in (%w): set TMPDIR, or name a file", r.noDir)
	}
	return makeSubject(ctx, r.dir, int(size))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/memwright/mmap"
)

// lookEvery is how often the reader looks. Nothing wakes it: memory that
// changes tells nobody.
const lookEvery = 2 * time.Millisecond

// read is process B: it opens and maps the same file, and prints each text that
// it sees there, until the writer has ended or the user interrupts.
func read(name string, stdout io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m, err := mmap.Open(name)
	if err != nil {
		return fmt.Errorf("%w; start twoprocs write %s first", err, name)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	b, err := newBoard(m)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var seen uint32
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		s, ok, err := b.look()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if ok && s.number != seen {
			seen = s.number
			fmt.Fprintf(stdout, "B reads:  %s\n", s.text)
		}
		if ok && s.ended {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

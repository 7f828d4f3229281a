package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

const usage = `usage: appendlog append FILE    append each line of standard input as a record
       appendlog follow FILE    print each record and those to come, until interrupted
       appendlog dump FILE      check the records and list them with their places

append makes the log if there is none, and prints the number of each record when
it is safe on the disk. One process appends at a time; any number read.

examples:
  echo 'hello' | appendlog append events.log
  appendlog follow events.log
  flock events.log appendlog append events.log     # waits for another writer
`

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "append":
		err = appendLines(args[1], os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "follow":
		err = follow(args[1], os.Stdout)
	case len(args) == 2 && args[0] == "dump":
		err = dump(args[1], os.Stdout)
	case len(args) == 1 && (args[0] == "-h" || args[0] == "--help"):
		fmt.Print(usage)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "appendlog:", err)
		os.Exit(1)
	}
}

// appendLines commits whatever lines are waiting together, so that a fast
// sender costs few syncs and a slow one waits for no other line.
func appendLines(name string, lines io.Reader, stdout io.Writer) (err error) {
	w, err := openWriter(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	in := bufio.NewReaderSize(lines, maxRecordBytes+1)
	for {
		line, readErr := in.ReadSlice('\n')
		if readErr == bufio.ErrBufferFull {
			return fmt.Errorf("line %d is longer than a record can be (%d bytes); the lines before it are committed", w.count+1, maxRecordBytes)
		}
		if readErr == nil || len(line) > 0 { // the last line may have no end
			w.add(bytes.TrimSuffix(line, []byte("\n")))
		}
		if w.added > 0 && !lineWaits(in) {
			if err := commitAndTell(w, stdout); err != nil {
				return err
			}
		}
		if readErr == io.EOF {
			return nil
		} else if readErr != nil {
			return readErr
		}
	}
}

// lineWaits reports whether a whole line can be read without waiting.
func lineWaits(in *bufio.Reader) bool {
	waiting, _ := in.Peek(in.Buffered())
	return bytes.IndexByte(waiting, '\n') >= 0
}

func commitAndTell(w *writer, stdout io.Writer) error {
	first := w.count + 1
	if err := w.commit(); err != nil {
		return fmt.Errorf("records %d to %d could not be committed: %w", first, w.count+w.added, err)
	}
	var numbers []byte
	for i := first; i <= w.count; i++ {
		numbers = fmt.Appendln(numbers, i)
	}
	_, err := stdout.Write(numbers)
	return err
}

// followEvery is how often a follower looks for new records. Nothing wakes it:
// memory that changes tells nobody.
const followEvery = 5 * time.Millisecond

func follow(name string, stdout io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l, err := openReader(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	again := time.NewTicker(followEvery)
	defer again.Stop()
	for {
		end, err := l.end()
		if err != nil {
			return err
		}
		if err := printAll(l, end, stdout); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// printAll prints the records before end, one a line.
func printAll(l *log, end int, stdout io.Writer) error {
	out := bufio.NewWriter(stdout)
	for l.next < end {
		record, err := l.read(end)
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		out.Write(record)
		out.WriteByte('\n')
	}
	return out.Flush()
}

func dump(name string, stdout io.Writer) (err error) {
	l, err := openReader(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	end, err := l.end()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	count := 0
	for l.next < end && err == nil {
		at := headerBytes + l.next
		var record []byte
		if record, err = l.read(end); err == nil {
			count++
			fmt.Fprintf(out, "%d: byte %d, length %d, %q\n", count, at, len(record), record)
		}
	}
	if err == nil {
		size, statErr := sizeOf(l.file)
		err = statErr
		fmt.Fprintf(out, "%d records in %d bytes; the file has %d, %d of them room to grow\n",
			count, end, size, size-int64(headerBytes+end))
	}
	return errors.Join(err, out.Flush())
}

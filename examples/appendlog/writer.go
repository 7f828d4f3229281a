package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/memwright/mmap"
)

// growBytes is the step in which the file grows: each step is a change of the
// file's metadata that the next sync has to write too.
const growBytes = 1 << 20

// A writer appends to a log.
type writer struct {
	*log
	count int    // committed records
	batch []byte // records to be committed next, encoded
	added int    // how many they are
}

// openWriter opens the log, or makes it, and finds the end of its last whole
// record: all up to there is checked.
func openWriter(name string) (_ *writer, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	// A writer that was killed while it made the file leaves 0 bytes or a header.
	if size, err := sizeOf(f); err != nil || size > 0 && size < headerBytes {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, errNotLog), err, f.Close())
	}
	l, err := openLog(f, mmap.ReadWrite)
	if err != nil {
		return nil, err
	}
	w := &writer{log: l}
	for _, step := range []func() error{w.create, w.check, w.skipAll} {
		if err := step(); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

// create makes the header of a new log: a file that is nothing but a header's
// room, without the magic number. That comes last: a log that has it can also be
// found by name after a power cut.
func (w *writer) create() error {
	size, sizeErr := sizeOf(w.file)
	got, err := w.word(wordMagic)
	if err := errors.Join(sizeErr, err); err != nil || size > headerBytes || got != 0 {
		return err
	}
	if err := errors.Join(w.file.Sync(), syncDir(filepath.Dir(w.file.Name()))); err != nil {
		return err
	}
	return w.head.WriteView(0, headerBytes, func([]byte) error {
		atomic.StoreUint64(&w.header[wordMagic], magic)
		return nil
	})
}

// syncDir makes the names in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// skipAll reads every record, up to where the next one goes.
func (w *writer) skipAll() error {
	end, err := w.end()
	for err == nil && w.next < end {
		if _, err = w.read(end); err == nil {
			w.count++
		}
	}
	return err
}

// add keeps a record for the next commit.
func (w *writer) add(record []byte) {
	w.batch = appendRecord(w.batch, record)
	w.added++
}

var errSecondWriter = errors.New("another process has appended meanwhile, and a log has one writer at a time; nothing of this batch is committed: start again when the other has ended")

// commit makes the added records durable and visible. If it fails, they are
// neither, or (when the last sync fails) it is not known whether they are
// durable: the log must be opened again.
func (w *writer) commit() error {
	start, end := w.next, w.next+len(w.batch)
	if now, err := w.end(); err != nil {
		return err
	} else if now != start {
		return errSecondWriter
	}
	if err := w.room(end); err != nil {
		return err
	}

	// First the records: durable, and of no meaning yet.
	err := w.data.WriteView(int64(start), len(w.batch), func(p []byte) error {
		copy(p, w.batch)
		return nil
	})
	if err != nil {
		return err
	}
	// Then the word that gives them one. Readers see it at once.
	err = w.head.WriteView(0, headerBytes, func([]byte) error {
		if !atomic.CompareAndSwapUint64(&w.header[wordEnd], uint64(start), uint64(end)) {
			return errSecondWriter
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.next, w.count = end, w.count+w.added
	w.batch, w.added = w.batch[:0], 0
	return nil
}

// room makes the file and the mapping long enough, with real blocks: a full disk
// is an error here, and not a signal at the store.
func (w *writer) room(end int) error {
	if end <= w.data.Len() {
		return nil
	}
	if err := w.data.Resize((end + growBytes - 1) / growBytes * growBytes); err != nil {
		return fmt.Errorf("%w; what was committed before stays: make room, and append again", err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/memwright/mmap"
)

// Some of what is said of mmap and read is no matter of speed: what is seen,
// what waits to be written, what happens to a reader when the file shrinks. It
// is tried on scratch files, never on the file that the user named.

// A trial is what those tries found.
type trial struct {
	Reason string `json:"not_measured,omitempty"` // why there are no scratch files

	// Round trips between two processes; nil where it was not measured.
	SharedMemory *spread `json:"shared_memory_round_trip_ns"`
	Pipe         *spread `json:"pipe_round_trip_ns"`
	FileCalls    *spread `json:"file_calls_round_trip_ns"`

	// One byte stored through a mapping, and one written by pwrite.
	StoreSeenByPread bool           `json:"store_seen_by_pread_before_sync"`
	DirtyAfterStore  mmap.PageCount `json:"dirty_pages_after_store"` // -1 unknown
	DirtyAfterSync   mmap.PageCount `json:"dirty_pages_after_msync"`
	DirtyAfterWrite  mmap.PageCount `json:"dirty_pages_after_write"`
	DirtyAfterFsync  mmap.PageCount `json:"dirty_pages_after_fsync"`
	Msync            *spread        `json:"msync_ns"`
	Fsync            *spread        `json:"fsync_ns"`

	// A file of 4097 bytes.
	OddLength int `json:"odd_length"`
	OddSpan   int `json:"odd_span"`

	// A reader whose file has been truncated to nothing.
	TruncatedView string `json:"truncated_view_error"`
	TruncatedRead string `json:"truncated_read_error"`
}

// measureClaims tries what the cells don't show.
func (r *rig) measureClaims(ctx context.Context) (trial, error) {
	t := trial{DirtyAfterStore: mmap.Unknown, DirtyAfterSync: mmap.Unknown, DirtyAfterWrite: mmap.Unknown, DirtyAfterFsync: mmap.Unknown}
	if r.dir == "" {
		t.Reason = r.noDir.Error()
		return t, nil
	}
	for _, try := range []func(context.Context, string, *trial) error{
		r.tryExchange, r.trySync, tryTruncate, tryPadding,
	} {
		if ctx.Err() != nil {
			t.Reason = ctx.Err().Error()
			return t, nil
		}
		if err := r.onScratch(ctx, &t, try); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (r *rig) onScratch(ctx context.Context, t *trial, try func(context.Context, string, *trial) error) error {
	path := filepath.Join(r.dir, "scratch")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		return err
	}
	defer os.Remove(path)
	err := try(ctx, path, t)
	if err != nil && ctx.Err() != nil {
		return nil // stopped, not failed
	}
	return err
}

// tryExchange measures each way for a hundredth of the time.
func (r *rig) tryExchange(ctx context.Context, path string, t *trial) error {
	for kind, to := range map[string]**spread{"memory": &t.SharedMemory, "pipe": &t.Pipe, "file": &t.FileCalls} {
		if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
			return err
		}
		trips, err := exchange(ctx, kind, path, r.opt.time/100)
		if err != nil {
			return err
		}
		*to = spreadOf(trips)
	}
	return nil
}

// trySync stores and writes a byte each, and looks at what waits to be written
// before and after the call that is told to write it.
func (r *rig) trySync(ctx context.Context, path string, t *trial) error {
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return err
	}
	defer m.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := m.Sync(); err != nil {
		return err
	}
	var msyncs, fsyncs []float64
	const pairs = 5
	for i := range byte(pairs) {
		if ctx.Err() != nil || time.Since(r.start) > r.opt.time/4 && i > 0 {
			break
		}
		value := i + 1
		if _, err := m.WriteAt([]byte{value}, 0); err != nil {
			return err
		}
		var seen [1]byte
		if _, err := f.ReadAt(seen[:], 0); err != nil {
			return err
		}
		t.StoreSeenByPread = seen[0] == value
		t.DirtyAfterStore = dirty(m)
		start := time.Now()
		if err := m.Sync(); err != nil {
			return err
		}
		msyncs = append(msyncs, float64(time.Since(start).Nanoseconds()))
		t.DirtyAfterSync = dirty(m)

		if _, err := f.WriteAt([]byte{value}, 1); err != nil {
			return err
		}
		t.DirtyAfterWrite = dirty(m)
		start = time.Now()
		if err := f.Sync(); err != nil {
			return err
		}
		fsyncs = append(fsyncs, float64(time.Since(start).Nanoseconds()))
		t.DirtyAfterFsync = dirty(m)
	}
	slices.Sort(msyncs)
	slices.Sort(fsyncs)
	t.Msync, t.Fsync = spreadOf(msyncs), spreadOf(fsyncs)
	return nil
}

// dirty is how many pages wait to be written or are being written.
func dirty(m *mmap.Mapping) mmap.PageCount {
	res, err := m.Residency(0, m.Len())
	if err != nil || res.Dirty == mmap.Unknown {
		return mmap.Unknown
	}
	return res.Dirty + res.Writeback
}

// tryTruncate takes the file away from a mapping and from a reader.
func tryTruncate(_ context.Context, path string, t *trial) error {
	m, err := mmap.Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Truncate(path, 0); err != nil {
		return err
	}
	err = m.View(0, 1, func(p []byte) error {
		sumBytes(p)
		return errors.New("no error: the byte could be read")
	})
	t.TruncatedView = err.Error()
	if fault := (*mmap.FaultError)(nil); errors.As(err, &fault) {
		t.TruncatedView = fault.Error() // without the scratch file's name
	}
	n, err := f.Read(make([]byte, 1))
	t.TruncatedRead = "no error: a byte was read"
	if n == 0 && err == io.EOF {
		t.TruncatedRead = "EOF"
	} else if err != nil {
		t.TruncatedRead = err.Error()
	}
	return nil
}

// tryPadding maps a file that is a byte longer than a page.
func tryPadding(_ context.Context, path string, t *trial) error {
	t.OddLength = os.Getpagesize() + 1
	if err := os.Truncate(path, int64(t.OddLength)); err != nil {
		return err
	}
	m, err := mmap.Open(path)
	if err != nil {
		return err
	}
	_, t.OddSpan = m.Span()
	return m.Close()
}

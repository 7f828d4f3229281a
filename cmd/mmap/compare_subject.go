package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/memwright/mmap"
)

// A subject is a file to read, of which every byte's sum is known and whose
// place in the page cache can be asked and changed.
type subject struct {
	path    string
	size    int   // bytes that are measured, from the file's start
	file    int64 // bytes of the whole file
	made    bool  // by this command
	sum     func(off int64, n int) (uint64, error)
	control *mmap.Mapping // asks and changes the cache; never touched
	warm    bool          // filled in order, and left so since
}

// givenSubject takes a file as it is. The sum of its bytes is read once, by
// pread, as what every other way must find.
func givenSubject(path string, window int64) (*subject, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() == 0 {
		return nil, fmt.Errorf("%s is empty: there is nothing to measure", path)
	}
	control, err := mmap.Map(f, mmap.Options{Length: int(min(info.Size(), window))})
	if err != nil {
		return nil, err
	}
	s := &subject{path: path, size: control.Len(), file: info.Size(), control: control}
	s.sum = func(off int64, n int) (uint64, error) { return sumByPread(path, off, n) }
	return s, nil
}

func sumByPread(path string, off int64, n int) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	total := uint64(0)
	buf := make([]byte, min(n, 1<<20))
	for n > 0 {
		p := buf[:min(n, len(buf))]
		if _, err := f.ReadAt(p, off); err != nil {
			return 0, err
		}
		total += sumBytes(p)
		off, n = off+int64(len(p)), n-len(p)
	}
	return total, nil
}

// makeSubject makes a sample of size bytes, whose sums are known without
// reading it.
func makeSubject(ctx context.Context, dir string, size int) (*subject, error) {
	path := filepath.Join(dir, fmt.Sprintf("sample-%d", size))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, min(size, 1<<20))
	for at := 0; at < size; at += len(buf) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("while the sample was being made: %w", err)
		}
		p := buf[:min(len(buf), size-at)]
		fillSample(p, int64(at))
		if _, err := f.Write(p); err != nil {
			return nil, err
		}
	}
	// Dirty pages can't leave the cache.
	if err := f.Sync(); err != nil {
		return nil, err
	}
	control, err := mmap.Map(f, mmap.Options{})
	if err != nil {
		return nil, err
	}
	return &subject{path: path, size: size, file: int64(size), made: true, sum: sumSample, control: control}, nil
}

// fillSample fills p with the sample's bytes from off, a multiple of 8.
func fillSample(p []byte, off int64) {
	for i := 0; i < len(p); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], sampleWord(uint64(off)+uint64(i)))
		copy(p[i:], word[:])
	}
}

// sampleWord is the word at a place: the place, well mixed (the finalizer of
// MurmurHash3), so that no two blocks have the same sum.
func sampleWord(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func sumSample(off int64, n int) (uint64, error) {
	total := uint64(0)
	for ; n > 0; off, n = off+8, n-8 {
		word := sampleWord(uint64(off))
		if n < 8 {
			word &= 1<<(8*n) - 1
		}
		total += word
	}
	return total, nil
}

// sumBytes adds p up in little-endian words, the last one filled up with
// zeros. It touches every byte, at the speed of memory: the four sums don't
// wait for each other.
func sumBytes(p []byte) uint64 {
	var a, b, c, d uint64
	for len(p) >= 32 {
		a += binary.LittleEndian.Uint64(p)
		b += binary.LittleEndian.Uint64(p[8:])
		c += binary.LittleEndian.Uint64(p[16:])
		d += binary.LittleEndian.Uint64(p[24:])
		p = p[32:]
	}
	for ; len(p) >= 8; p = p[8:] {
		a += binary.LittleEndian.Uint64(p)
	}
	var last [8]byte
	copy(last[:], p)
	return a + b + c + d + binary.LittleEndian.Uint64(last[:])
}

// fill brings the measured part into memory, in order, and asks the kernel
// whether it is there. Where the cache can be dropped it is, first: pieces that
// random reads have brought in are smaller, and would be slower to map.
func (s *subject) fill() (verified bool, reason error) {
	if !s.warm {
		s.control.SyncRange(0, s.size, mmap.SyncInvalidate) // what could not be dropped is there
	}
	if n, err := s.resident(); !s.warm || err == nil && n < s.size {
		if _, err := sumByPread(s.path, 0, s.size); err != nil {
			return false, err
		}
	}
	s.warm = true
	n, err := s.resident()
	switch {
	case errors.Is(err, errHidden):
		return false, nil
	case err != nil:
		return false, err
	case n < s.size:
		return false, fmt.Errorf("of %d bytes only %d stay in memory", s.size, n)
	}
	return true, nil
}

// drop takes the measured part out of memory, and asks the kernel whether it
// is gone.
func (s *subject) drop() error {
	s.warm = false
	if err := s.control.SyncRange(0, s.size, mmap.SyncInvalidate); err != nil {
		if on, fsErr := fileSystemOf(s.path); fsErr == nil && on.storage() == inMemory {
			return fmt.Errorf("a file on %s is nowhere but in memory", on.kind)
		}
		return err
	}
	n, err := s.resident()
	if err == nil && n > 0 {
		err = fmt.Errorf("%d bytes came back into memory at once", n)
	}
	return err
}

var errHidden = errors.New("the kernel hides from this user which pages are in memory")

// resident is how many bytes are in memory, at most the size.
func (s *subject) resident() (int, error) {
	res, err := s.control.Residency(0, s.size)
	if err != nil {
		return 0, err
	}
	if res.Resident == mmap.Unknown {
		return 0, errHidden
	}
	return min(s.size, int(res.Resident)*res.PageSize), nil
}

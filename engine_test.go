package mmap_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/vmem"
	"pgregory.net/rapid"
)

// A twin is a Mapping and what the engine makes of the same file and the same
// calls. What the Mapping does by file calls must look as if memory did it.
type twin struct {
	t *rapid.T
	m *mmap.Mapping
	f *os.File // somebody else's

	p     *vmem.Process
	other *vmem.Process // who has all of the file mapped
	file  *vmem.File
	at    vmem.Addr // of the mapping's first page
	opt   mmap.Options
	delta int64 // of the mapping's first byte in its page
	size  int64 // of the file
	whole bool  // one area: no part was protected or locked
}

const engineAt = 0x10000000

// newTwin makes the file anew; on tmpfs it is memory in the engine too.
func newTwin(t *rapid.T, name string, tmpfs bool) *twin {
	size := rapid.Int64Range(1, int64(6*pageSize)).Draw(t, "size")
	content := pattern(int(size))
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	w := &twin{t: t, size: size, at: engineAt, whole: true}
	w.opt.Access = rapid.SampledFrom([]mmap.Access{mmap.ReadWrite, mmap.CopyOnWrite, mmap.ReadOnly}).Draw(t, "access")
	w.opt.Offset = rapid.Int64Range(0, size-1).Draw(t, "offset")
	w.opt.Length = int(rapid.Int64Range(1, size-w.opt.Offset).Draw(t, "length"))
	w.delta = w.opt.Offset % int64(pageSize)

	var err error
	if w.m, err = mmap.OpenFile(name, w.opt); err != nil {
		t.Fatal(err)
	}
	if w.f, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	machine := vmem.New(vmem.Config{})
	w.p, w.other = machine.Spawn(), machine.Spawn()
	object := machine.Memory(name)
	if !tmpfs {
		if object, err = machine.Open(name, vmem.NewBytes(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if w.file, err = object.Open(vmem.ReadWrite); err != nil {
		t.Fatal(err)
	}
	if _, err = w.file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	const all = vmem.MapShared | vmem.MapFixed
	if _, err = w.other.Mmap(w.at, 7*vmem.PageSize, vmem.ProtRead|vmem.ProtWrite, all, w.file, 0); err != nil {
		t.Fatal(err)
	}
	prot, flags := vmem.ProtRead|vmem.ProtWrite, vmem.MapShared
	switch w.opt.Access {
	case mmap.ReadOnly:
		prot = vmem.ProtRead
	case mmap.CopyOnWrite:
		flags = vmem.MapPrivate
	}
	_, err = w.p.Mmap(w.at, w.span(w.opt.Length), prot, flags|vmem.MapFixed, w.file, w.opt.Offset-w.delta)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// span is the bytes that n bytes of the mapping take from the first page on.
func (w *twin) span(n int) uint64 { return uint64(w.delta + int64(n)) }

// addr is where byte off of the mapping is in the engine.
func (w *twin) addr(off int64) int64 { return int64(w.at) + w.delta + off }

// pages is the engine's range of pages that n bytes from off touch.
func (w *twin) pages(off int64, n int) (vmem.Addr, uint64) {
	start := w.addr(off) &^ int64(pageSize-1)
	return vmem.Addr(start), uint64(w.addr(off) + int64(n) - start)
}

// drawRange is some bytes of the mapping.
func (w *twin) drawRange() (off int64, n int) {
	off = rapid.Int64Range(0, int64(w.m.Len()-1)).Draw(w.t, "off")
	return off, rapid.IntRange(1, w.m.Len()-int(off)).Draw(w.t, "n")
}

// agree compares an error of the Mapping with the engine's: none, what the
// protection forbids, or no page behind the end of the file.
func (w *twin) agree(what string, got, want error) {
	w.t.Helper()
	var f *vmem.Fault
	ok := got == nil
	if errors.As(want, &f) {
		ok = errors.Is(got, mmap.ErrPastEnd)
		if f.Signal == vmem.SIGSEGV {
			ok = errors.Is(got, fs.ErrPermission)
		}
	} else if want != nil {
		ok = got != nil
	}
	if !ok {
		w.t.Fatalf("%s answers %v, and the engine %v", what, got, want)
	}
}

// storesBehindTheEnd tells whether bytes beyond the end of the file, in its
// last page, are among the range: what becomes of them nobody promises.
func (w *twin) storesBehindTheEnd(off int64, n int) bool {
	last := (w.size + int64(pageSize) - 1) / int64(pageSize) * int64(pageSize)
	return w.opt.Offset+off+int64(n) > w.size && w.opt.Offset+off < last
}

func (w *twin) steps() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"read": func(t *rapid.T) {
			off, n := w.drawRange()
			got := make([]byte, n+rapid.IntRange(0, 10).Draw(t, "more"))
			want := make([]byte, min(len(got), w.m.Len()-int(off)))
			count, err := w.m.ReadAt(got, off)
			wantCount, wantErr := w.p.ReadAt(want, w.addr(off))
			if wantErr == nil && len(want) < len(got) {
				if err != io.EOF {
					t.Fatalf("a read over the end answers %v", err)
				}
			} else {
				w.agree("ReadAt", err, wantErr)
			}
			if count != wantCount || !bytes.Equal(got[:count], want[:wantCount]) {
				t.Fatalf("read %d bytes, and the engine %d, or others", count, wantCount)
			}
		},
		"write": func(t *rapid.T) {
			off, n := w.drawRange()
			if w.opt.Access == mmap.ReadOnly || w.storesBehindTheEnd(off, n) {
				return
			}
			p := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
			count, err := w.m.WriteAt(p, off)
			wantCount, wantErr := w.p.WriteAt(p, w.addr(off))
			w.agree("WriteAt", err, wantErr)
			if count != wantCount {
				t.Fatalf("wrote %d bytes, and the engine %d: %v", count, wantCount, err)
			}
		},
		"view": func(t *rapid.T) {
			off, n := w.drawRange()
			stores := w.opt.Access != mmap.ReadOnly && !w.storesBehindTheEnd(off, n)
			b := rapid.Byte().Draw(t, "byte")
			want := make([]byte, n)
			_, wantErr := w.p.ReadAt(want, w.addr(off))
			if wantErr == nil && stores {
				_, wantErr = w.p.WriteAt([]byte{b}, w.addr(off))
			}
			err := w.m.View(off, n, func(p []byte) error {
				if !bytes.Equal(p, want) {
					t.Errorf("a view of %d bytes at %d differs from the engine", n, off)
				}
				if stores {
					p[0] = b
				}
				return nil
			})
			w.agree("View", err, wantErr)
		},
		"protect": func(t *rapid.T) {
			off, n := w.drawRange()
			prot := rapid.SampledFrom([]mmap.Prot{mmap.ProtRead, mmap.ProtRead | mmap.ProtWrite, 0}).Draw(t, "prot")
			if w.opt.Access == mmap.ReadOnly {
				prot &^= mmap.ProtWrite
			}
			var want vmem.Prot
			for ours, theirs := range map[mmap.Prot]vmem.Prot{mmap.ProtRead: vmem.ProtRead, mmap.ProtWrite: vmem.ProtWrite} {
				if prot&ours != 0 {
					want |= theirs
				}
			}
			start, length := w.pages(off, n)
			w.agree("Protect", w.m.Protect(off, n, prot), w.p.Mprotect(start, length, want))
			w.whole = false
		},
		"lock": func(t *rapid.T) {
			off, n := w.drawRange()
			start, length := w.pages(off, n)
			mode, flags := mmap.LockNow, vmem.LockFlags(0)
			if rapid.Bool().Draw(t, "on fault") {
				mode, flags = mmap.LockOnFault, vmem.LockOnFault
			}
			err := w.m.Lock(off, n, mode)
			want := w.p.Mlock2(start, length, flags)
			if (err == nil) != (want == nil) {
				t.Fatalf("Lock answers %v, and the engine %v", err, want)
			}
			if want != nil { // nothing of the range stays locked
				_ = w.p.Munlock(start, length)
			}
			w.whole = false
		},
		"unlock": func(t *rapid.T) {
			off, n := w.drawRange()
			start, length := w.pages(off, n)
			w.agree("Unlock", w.m.Unlock(off, n), w.p.Munlock(start, length))
		},
		"drop": func(t *rapid.T) {
			if w.opt.Access != mmap.CopyOnWrite {
				return
			}
			start, length := w.pages(0, w.m.Len())
			err, want := w.m.Discard(0, w.m.Len(), mmap.DropPrivate), w.p.Madvise(start, length, vmem.AdviceDontNeed)
			if (err == nil) != (want == nil) {
				t.Fatalf("Discard answers %v, and the engine %v", err, want)
			}
		},
		"punch a hole": func(t *rapid.T) {
			off, n := w.drawRange()
			err := w.m.Discard(off, n, mmap.PunchHole)
			if w.opt.Access != mmap.ReadWrite {
				if !errors.Is(err, mmap.ErrNoFile) {
					t.Fatalf("a hole through a mapping that can't punch it answers %v", err)
				}
				return
			}
			w.agree("Discard", err, w.punch(w.opt.Offset+off, int64(n)))
		},
		"sync": func(t *rapid.T) {
			start, length := w.pages(0, w.m.Len())
			err := w.m.Sync()
			if w.opt.Access == mmap.CopyOnWrite {
				if !errors.Is(err, mmap.ErrNoFile) {
					t.Fatalf("Sync of private memory answers %v", err)
				}
				return
			}
			w.agree("Sync", err, w.p.Msync(start, length, vmem.SyncNow))
		},
		"resize": func(t *rapid.T) {
			if !w.whole {
				return // parts that differ can't grow together
			}
			n := rapid.IntRange(1, 6*pageSize).Draw(t, "n")
			old := w.m.Len()
			end := w.opt.Offset + int64(n)
			err := w.m.Resize(n)
			if n > old && end > w.size && w.opt.Access != mmap.ReadWrite {
				if !errors.Is(err, mmap.ErrPastEnd) {
					t.Fatalf("growing over the end of the file answers %v", err)
				}
				return
			}
			w.agree("Resize", err, nil)
			if n > old && end > w.size {
				w.truncate(end, false)
			}
			at, err := w.p.Mremap(w.at, w.span(old), w.span(n), vmem.RemapMayMove, 0)
			w.agree("Resize", nil, err)
			w.at = at
		},
		"truncate": func(t *rapid.T) {
			w.truncate(rapid.Int64Range(0, int64(6*pageSize)).Draw(t, "size"), true)
		},
		"write the file": func(t *rapid.T) {
			if w.size == 0 {
				return
			}
			off := rapid.Int64Range(0, w.size-1).Draw(t, "off")
			p := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, int(rapid.Int64Range(1, w.size-off).Draw(t, "n")))
			_, err := w.f.WriteAt(p, off)
			_, want := w.file.WriteAt(p, off)
			w.agree("a write of the file", err, want)
		},
		"": func(t *rapid.T) {
			got, want := make([]byte, 7*pageSize), make([]byte, 7*pageSize)
			n, _ := w.f.ReadAt(got, 0)
			wantN, _ := w.file.ReadAt(want, 0)
			if n != wantN || !bytes.Equal(got, want) {
				t.Fatalf("the file has %d bytes, in the engine %d, or others", n, wantN)
			}
		},
	}
}

// punch makes zeros of n bytes of the engine's file: a hole of the whole pages,
// the rest by writing.
func (w *twin) punch(off, n int64) error {
	end := off + n
	for off < end && off < w.size {
		next := min(off&^int64(pageSize-1)+int64(pageSize), end)
		var err error
		if next-off == int64(pageSize) {
			err = w.other.Madvise(engineAt+vmem.Addr(off), uint64(pageSize), vmem.AdviceRemove)
		} else {
			_, err = w.file.WriteAt(make([]byte, min(next, w.size)-off), off)
		}
		if err != nil {
			return err
		}
		off = next
	}
	return nil
}

// truncate sets the size of the engine's file, and of the real one.
func (w *twin) truncate(size int64, both bool) {
	if both {
		w.agree("Truncate", w.f.Truncate(size), nil)
	}
	w.agree("Truncate", nil, w.file.Truncate(size))
	w.size = size
}

// finish closes the mapping: nothing is to be had from it any more.
func (w *twin) finish() {
	if err := w.m.Close(); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.m.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		w.t.Fatalf("a read after Close answers %v", err)
	}
}

// TestMappingDoesWhatTheEngineDoes carries out random programs on a Mapping and
// in the engine of package vmem: the same bytes, counts and errors.
func TestMappingDoesWhatTheEngineDoes(t *testing.T) {
	testenv.Need(t, testenv.PopulateRead)
	set := func(name, value string) {
		f := flag.Lookup(name)
		old := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Value.Set(old) })
	}
	set("rapid.nofailfile", "true")
	set("rapid.shrinktime", "10s")
	check := func(t *testing.T, dir string, tmpfs bool) {
		rapid.Check(t, func(t *rapid.T) {
			w := newTwin(t, filepath.Join(dir, "file"), tmpfs)
			defer w.f.Close()
			defer w.m.Close()
			t.Repeat(w.steps())
			w.finish()
		})
	}
	t.Run("on a disk", func(t *testing.T) { check(t, t.TempDir(), false) })
	t.Run("on tmpfs", func(t *testing.T) { check(t, testenv.TmpfsDir(t), true) })
}

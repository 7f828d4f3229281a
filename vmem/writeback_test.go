package vmem_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/memwright/mmap/vmem"
)

// TestWriteBack judges on the Store when what was stored arrives there.
func TestWriteBack(t *testing.T) {
	tests := []struct {
		name  string
		flags vmem.MapFlags
		do    func(r *rig, f *vmem.File) error
		want  string // of the pages 0 to 3, which are stored: x is written, . is not
	}{
		{"nothing writes by itself", vmem.MapShared, nil, "...."},
		{"msync with MS_SYNC writes its range", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Msync(at+ps, 2*ps, vmem.SyncNow) }, ".xx."},
		{"msync rounds its length up", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Msync(at+ps, ps+1, vmem.SyncNow) }, ".xx."},
		{"msync of nothing writes nothing", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Msync(at, 0, vmem.SyncNow) }, "...."},
		{"MS_ASYNC writes nothing", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Msync(at, 4*ps, vmem.SyncAsync) }, "...."},
		{"MS_INVALIDATE writes nothing", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Msync(at, 4*ps, vmem.SyncInvalidate) }, "...."},
		{"MS_SYNC with MS_INVALIDATE writes", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return r.Msync(at, 4*ps, vmem.SyncNow|vmem.SyncInvalidate)
		}, "xxxx"},
		{"msync of a private mapping writes nothing", vmem.MapPrivate, func(r *rig, f *vmem.File) error { return r.Msync(at, 4*ps, vmem.SyncNow) }, "...."},
		{"fsync writes all", vmem.MapShared, func(r *rig, f *vmem.File) error { return f.Sync() }, "xxxx"},
		{"fsync of another open file writes all", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return r.open(f.Object(), vmem.ReadOnly).Sync()
		}, "xxxx"},
		{"munmap writes nothing", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Munmap(at, 4*ps) }, "...."},
		{"fsync after munmap writes all", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return errors.Join(r.Munmap(at, 4*ps), f.Sync())
		}, "xxxx"},
		{"fsync after exit writes all", vmem.MapShared, func(r *rig, f *vmem.File) error { r.Exit(); return f.Sync() }, "xxxx"},
		{"a kernel that likes to, writes", vmem.MapShared, func(r *rig, f *vmem.File) error { r.WriteBack(f.Object(), 2, 1); return nil }, "..x."},
		{"eviction writes what is dirty", vmem.MapShared, func(r *rig, f *vmem.File) error { return r.Evict(f.Object(), 3) }, "...x"},
		{"protection does not make pages clean", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return errors.Join(r.Mprotect(at, 4*ps, vmem.ProtRead), f.Sync())
		}, "xxxx"},
		{"a move does not make pages clean", vmem.MapShared, func(r *rig, f *vmem.File) error {
			_, err := r.Mremap(at, 4*ps, 4*ps, vmem.RemapMayMove|vmem.RemapFixed, at+16*ps)
			return errors.Join(err, f.Sync())
		}, "xxxx"},
		{"MADV_DONTNEED does not make pages clean", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return errors.Join(r.Madvise(at, 4*ps, vmem.AdviceDontNeed), f.Sync())
		}, "xxxx"},
		{"what was truncated away is not written", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return errors.Join(f.Truncate(2*ps), f.Truncate(4*ps), f.Sync())
		}, "xx.."},
		{"MADV_REMOVE leaves zeros", vmem.MapShared, func(r *rig, f *vmem.File) error {
			return errors.Join(r.Madvise(at+ps, ps, vmem.AdviceRemove), f.Sync())
		}, "x.xx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, vmem.Config{})
			s := vmem.NewBytes(make([]byte, 4*ps))
			f := r.file(s)
			r.mapped(f, 4, rw, tt.flags)
			for i := range vmem.Addr(4) {
				r.poke(r.Process, at+i*ps+i, 'x')
			}
			if tt.do != nil {
				r.do("it", tt.do(r, f))
			}
			for i := range 4 {
				if got := s.Bytes()[i*ps+i]; (got == 'x') != (tt.want[i] == 'x') {
					t.Errorf("page %d has %q in the Store, want %c", i, got, tt.want[i])
				}
			}
		})
	}
}

// TestStoreAfterWriteBack: a page that was written is clean and read-only, so
// that the next store makes it dirty again, in every process.
func TestStoreAfterWriteBack(t *testing.T) {
	r := newRig(t, vmem.Config{})
	s := vmem.NewBytes(make([]byte, ps))
	f := r.file(s)
	r.mapped(f, 1, rw, vmem.MapShared)
	child := r.Fork()
	for i, p := range []*vmem.Process{r.Process, child, r.Process} {
		r.poke(p, at+vmem.Addr(i), 'x')
		r.do("msync", r.Msync(at, ps, vmem.SyncNow))
		if s.Bytes()[i] != 'x' {
			t.Errorf("store %d did not reach the Store", i)
		}
	}
}

// TestTail: what is stored beyond the end of a file is seen in its last page
// until that is written, and never reaches the Store.
func TestTail(t *testing.T) {
	r := newRig(t, vmem.Config{})
	s := vmem.NewBytes([]byte("abc"))
	f := r.file(s)
	r.mapped(f, 1, rw, vmem.MapShared)
	r.poke(r.Process, at+2, 'z')
	r.poke(r.Process, at+3, 'y')
	r.do("fsync", f.Sync())
	if string(s.Bytes()) != "abz" {
		t.Errorf("the Store has %q", s.Bytes())
	}
	r.poke(r.Process, at+3, 'y')
	r.do("truncate", f.Truncate(5))
	r.do("fsync", f.Sync())
	if string(s.Bytes()) != "abz\x00\x00" {
		t.Errorf("the Store has %q after it grew", s.Bytes())
	}
	r.poke(r.Process, at+3, 'y')
	r.do("truncate", f.Truncate(3))
	r.do("truncate", f.Truncate(4))
	if b := r.peek(r.Process, at+3); b != 0 {
		t.Errorf("what was cut off is %q when the file grows again", b)
	}
}

// TestWriteFailure: a page that can't be written counts as clean. Each open
// file is told once; memory shows the new bytes until the page is evicted.
func TestWriteFailure(t *testing.T) {
	r := newRig(t, vmem.Config{})
	full := errors.New("the disk is full")
	s := &flaky{Bytes: vmem.NewBytes([]byte("old")), write: full}
	f := r.file(s)
	other := r.open(f.Object(), vmem.ReadOnly)
	r.mapped(f, 1, rw, vmem.MapShared)
	r.poke(r.Process, at, 'n')
	err := r.Msync(at, ps, vmem.SyncNow)
	r.refuses("msync", err, vmem.EIO)
	r.refuses("msync", err, full)
	r.do("the second msync", r.Msync(at, ps, vmem.SyncNow))
	s.write = nil
	r.do("msync when the disk works again", r.Msync(at, ps, vmem.SyncNow))
	if b := r.peek(r.Process, at); b != 'n' || s.Bytes.Bytes()[0] != 'o' {
		t.Errorf("memory has %q, the Store has %q", b, s.Bytes.Bytes())
	}
	r.refuses("fsync of a file that was open", other.Sync(), vmem.EIO)
	r.do("its second fsync", other.Sync())
	r.do("fsync of a file that was opened later", r.open(f.Object(), vmem.ReadOnly).Sync())
	r.do("evict", r.Evict(f.Object(), 0))
	if b := r.peek(r.Process, at); b != 'o' {
		t.Errorf("memory has %q after the page was evicted", b)
	}

	s.write = full // and nobody hears of it but one who comes later
	r.poke(r.Process, at, 'n')
	r.WriteBack(f.Object(), 0, 1)
	r.refuses("fsync of a file that was opened before anybody heard", r.open(f.Object(), vmem.ReadOnly).Sync(), vmem.EIO)
	s.write, s.sync = nil, full
	r.refuses("fsync of a Store that can't sync", other.Sync(), vmem.EIO)
	s.truncate = full
	r.refuses("truncate", f.Truncate(1), full)
	if f.Object().Size() != 3 {
		t.Error("a truncation that failed changed the size")
	}
}

// TestMemoryPressure: with fewer frames than pages everything arrives, and what
// is locked stays.
func TestMemoryPressure(t *testing.T) {
	r := newRig(t, vmem.Config{Frames: 4})
	s := vmem.NewBytes(make([]byte, 32*ps))
	f := r.file(s)
	r.mapped(f, 32, rw, vmem.MapShared)
	r.do("mlock", r.Mlock(at, 2*ps))
	for round := range byte(3) {
		for i := range vmem.Addr(32) {
			r.poke(r.Process, at+i*ps, r.peek(r.Process, at+i*ps)+round+byte(i))
			if r.InUse() > 4 {
				t.Fatalf("%d frames in use", r.InUse())
			}
		}
	}
	pinned := 0
	for fr := range f.Object().Frames() {
		if fr.Pinned {
			pinned++
		}
	}
	if pinned != 2 {
		t.Errorf("%d locked pages are in memory", pinned)
	}
	r.refuses("eviction of a locked page", r.Evict(f.Object(), 0), vmem.ErrChoice)
	r.do("fsync", f.Sync())
	for i := range 32 {
		if got, want := s.Bytes()[i*ps], byte(3*i+3); got != want {
			t.Errorf("page %d has %d, want %d", i, got, want)
		}
	}
	r.do("mlock", r.Mlock(at+2*ps, 2*ps))
	_, err := r.Load(at + 5*ps)
	r.refuses("a load when every page is locked", err, vmem.ENOMEM)
	r.refuses("mlock of one page more", r.Mlock(at+5*ps, 1), vmem.EAGAIN)
	r.do("munlock", r.Munlockall())
	r.peek(r.Process, at+5*ps)
}

// TestPrivateUnderPressure: copies have nowhere to go, so they stay.
func TestPrivateUnderPressure(t *testing.T) {
	r := newRig(t, vmem.Config{Frames: 4})
	r.mapped(r.file(vmem.NewBytes(bytes.Repeat([]byte{'o'}, 8*ps))), 8, rw, vmem.MapPrivate)
	for i := range vmem.Addr(3) {
		r.poke(r.Process, at+i*ps, 'n')
	}
	for i := range vmem.Addr(8) {
		if got := r.peek(r.Process, at+i*ps); (got == 'n') != (i < 3) {
			t.Errorf("page %d has %q", i, got)
		}
	}
	r.refuses("a fourth copy", r.Store(at+3*ps, 'n'), vmem.ENOMEM)
}

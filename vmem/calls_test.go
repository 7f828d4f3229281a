package vmem_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/memwright/mmap/vmem"
)

const top = 0x7ffffffff000 // where addresses end

// TestRefusals: each way in which a call is refused, by name.
func TestRefusals(t *testing.T) {
	const (
		private = vmem.MapPrivate
		shared  = vmem.MapShared
		anon    = vmem.MapAnonymous
		read    = vmem.ProtRead
	)
	type files struct{ rw, ro, wo, closed *vmem.File }
	mmap := func(a vmem.Addr, n uint64, prot vmem.Prot, flags vmem.MapFlags, which func(files) *vmem.File, off int64) func(*rig, files) error {
		return func(r *rig, f files) error {
			_, err := r.Mmap(a, n, prot, flags, which(f), off)
			return err
		}
	}
	mremap := func(a vmem.Addr, old, n uint64, flags vmem.RemapFlags, to vmem.Addr) func(*rig, files) error {
		return func(r *rig, f files) error { _, err := r.Mremap(a, old, n, flags, to); return err }
	}
	none := func(files) *vmem.File { return nil }
	both := func(f files) *vmem.File { return f.rw }
	// Each rig has at page 0 an anonymous private area of 4 pages, and at page
	// 8 a shared one of a file of 4 pages, opened for reading only.
	tests := []struct {
		name string
		do   func(r *rig, f files) error
		want error
	}{
		{"mmap of no bytes", mmap(0, 0, rw, private|anon, none, 0), vmem.EINVAL},
		{"mmap at no page of the file", mmap(0, ps, rw, private, both, 1), vmem.EINVAL},
		{"mmap of all addresses and more", mmap(0, ^uint64(0), rw, private|anon, none, 0), vmem.ENOMEM},
		{"mmap of all addresses", mmap(0, top, rw, private|anon, none, 0), vmem.ENOMEM},
		{"mmap without a file", mmap(0, ps, rw, private, none, 0), vmem.EBADF},
		{"mmap of a closed file", mmap(0, ps, rw, private, func(f files) *vmem.File { return f.closed }, 0), vmem.EBADF},
		{"mmap neither shared nor private", mmap(0, ps, rw, anon, none, 0), vmem.EINVAL},
		{"mmap of a file neither shared nor private", mmap(0, ps, rw, 0, both, 0), vmem.EINVAL},
		{"mmap fixed at no page", mmap(at+1, ps, rw, private|anon|fixed, none, 0), vmem.EINVAL},
		{"mmap fixed above all addresses", mmap(top, ps, rw, private|anon|fixed, none, 0), vmem.ENOMEM},
		{"mmap fixed below all addresses", mmap(0, ps, rw, private|anon|fixed, none, 0), vmem.EPERM},
		{"mmap without replacing what is there", mmap(at+3*ps, 2*ps, rw, private|anon|vmem.MapFixedNoReplace, none, 0), vmem.EEXIST},
		{"mmap shared and writable of a file for reading", mmap(0, ps, rw, shared, func(f files) *vmem.File { return f.ro }, 0), vmem.EACCES},
		{"mmap of a file for writing only", mmap(0, ps, vmem.ProtWrite, private, func(f files) *vmem.File { return f.wo }, 0), vmem.EACCES},
		{"mmap validated with an unknown flag", mmap(0, ps, rw, vmem.MapSharedValidate|1<<25, both, 0), vmem.EOPNOTSUPP},
		{"mmap beyond the largest offset", mmap(0, 2*ps, rw, private, both, 1<<63-ps), vmem.EOVERFLOW},
		{"mmap locked when nothing may be", func(r *rig, f files) error {
			r.Limits.MemLock = 0
			return mmap(0, ps, rw, private|anon|vmem.MapLocked, none, 0)(r, f)
		}, vmem.EPERM},
		{"mmap locked above the limit", func(r *rig, f files) error {
			r.Limits.MemLock = 2 * ps
			return mmap(0, 3*ps, rw, private|anon|vmem.MapLocked, none, 0)(r, f)
		}, vmem.EAGAIN},
		{"mmap above the limit of addresses", func(r *rig, f files) error {
			r.Limits.AS = 9 * ps
			return mmap(0, 2*ps, rw, private|anon, none, 0)(r, f)
		}, vmem.ENOMEM},
		{"mmap above the limit of data", func(r *rig, f files) error {
			r.Limits.Data = 5 * ps
			return mmap(0, 2*ps, rw, private|anon, none, 0)(r, f)
		}, vmem.ENOMEM},
		{"munmap of no bytes", func(r *rig, f files) error { return r.Munmap(at, 0) }, vmem.EINVAL},
		{"munmap of no page", func(r *rig, f files) error { return r.Munmap(at+1, ps) }, vmem.EINVAL},
		{"munmap above all addresses", func(r *rig, f files) error { return r.Munmap(top-ps, 2*ps) }, vmem.EINVAL},
		{"mprotect of no page", func(r *rig, f files) error { return r.Mprotect(at+1, ps, read) }, vmem.EINVAL},
		{"mprotect of all and more", func(r *rig, f files) error { return r.Mprotect(at, ^uint64(0), read) }, vmem.ENOMEM},
		{"mprotect with an unknown bit", func(r *rig, f files) error { return r.Mprotect(at, ps, 8) }, vmem.EINVAL},
		{"mprotect of a hole", func(r *rig, f files) error { return r.Mprotect(at+3*ps, 2*ps, read) }, vmem.ENOMEM},
		{"mprotect against the file", func(r *rig, f files) error { return r.Mprotect(at+8*ps, ps, rw) }, vmem.EACCES},
		{"mprotect above the limit of data", func(r *rig, f files) error {
			r.do("mprotect", r.Mprotect(at, 4*ps, read))
			r.Limits.Data = 2 * ps
			return r.Mprotect(at, 4*ps, rw)
		}, vmem.ENOMEM},
		{"msync of no page", func(r *rig, f files) error { return r.Msync(at+1, ps, vmem.SyncNow) }, vmem.EINVAL},
		{"msync at once and later", func(r *rig, f files) error { return r.Msync(at, ps, vmem.SyncNow|vmem.SyncAsync) }, vmem.EINVAL},
		{"msync with an unknown bit", func(r *rig, f files) error { return r.Msync(at, ps, 8) }, vmem.EINVAL},
		{"msync of all and more", func(r *rig, f files) error { return r.Msync(at, ^uint64(3*ps), vmem.SyncNow) }, vmem.ENOMEM},
		{"msync of a hole", func(r *rig, f files) error { return r.Msync(at, 9*ps, vmem.SyncNow) }, vmem.ENOMEM},
		{"msync of nothing at all", func(r *rig, f files) error { return r.Msync(at+99*ps, ps, vmem.SyncNow) }, vmem.ENOMEM},
		{"msync later of a hole", func(r *rig, f files) error { return r.Msync(at, 9*ps, vmem.SyncAsync) }, vmem.ENOMEM},
		{"msync of a hole at the end", func(r *rig, f files) error { return r.Msync(at+4*ps, ps, vmem.SyncNow) }, vmem.ENOMEM},
		{"msync that would drop what is locked", func(r *rig, f files) error {
			r.do("mlock", r.Mlock(at, ps))
			return r.Msync(at, ps, vmem.SyncInvalidate)
		}, vmem.EBUSY},
		{"mlock of a hole", func(r *rig, f files) error { return r.Mlock(at+3*ps, 2*ps) }, vmem.ENOMEM},
		{"mlock above the limit", func(r *rig, f files) error { r.Limits.MemLock = ps; return r.Mlock(at+1, ps) }, vmem.ENOMEM},
		{"mlock when nothing may be", func(r *rig, f files) error { r.Limits.MemLock = 0; return r.Mlock(at, ps) }, vmem.EPERM},
		{"mlock of memory that nobody may touch", func(r *rig, f files) error {
			r.do("mprotect", r.Mprotect(at, ps, vmem.ProtNone))
			return r.Mlock(at, ps)
		}, vmem.ENOMEM},
		{"mlock around all addresses", func(r *rig, f files) error { r.IPCLock = true; return r.Mlock(at, ^uint64(0)-ps) }, vmem.EINVAL},
		{"mlock2 with an unknown bit", func(r *rig, f files) error { return r.Mlock2(at, ps, 2) }, vmem.EINVAL},
		{"munlock of a hole", func(r *rig, f files) error { return r.Munlock(at, 5*ps) }, vmem.ENOMEM},
		{"mlockall of nothing", func(r *rig, f files) error { return r.Mlockall(0) }, vmem.EINVAL},
		{"mlockall on fault alone", func(r *rig, f files) error { return r.Mlockall(vmem.LockAllOnFault) }, vmem.EINVAL},
		{"mlockall when nothing may be", func(r *rig, f files) error { r.Limits.MemLock = 0; return r.Mlockall(vmem.LockCurrent) }, vmem.EPERM},
		{"mlockall above the limit", func(r *rig, f files) error { r.Limits.MemLock = 7 * ps; return r.Mlockall(vmem.LockCurrent) }, vmem.ENOMEM},
		{"madvise of no page", func(r *rig, f files) error { return r.Madvise(at+1, ps, vmem.AdviceRandom) }, vmem.EINVAL},
		{"madvise of all and more", func(r *rig, f files) error { return r.Madvise(at, ^uint64(0), vmem.AdviceRandom) }, vmem.EINVAL},
		{"unknown advice", func(r *rig, f files) error { return r.Madvise(at, ps, 99) }, vmem.EINVAL},
		{"advice for a hole", func(r *rig, f files) error { return r.Madvise(at, 9*ps, vmem.AdviceRandom) }, vmem.ENOMEM},
		{"advice for nothing", func(r *rig, f files) error { return r.Madvise(at+99*ps, ps, vmem.AdviceRandom) }, vmem.ENOMEM},
		{"MADV_DONTNEED of what is locked", func(r *rig, f files) error {
			r.do("mlock", r.Mlock(at, ps))
			return r.Madvise(at, ps, vmem.AdviceDontNeed)
		}, vmem.EINVAL},
		{"MADV_PAGEOUT of what is locked", func(r *rig, f files) error {
			r.do("mlock", r.Mlock(at, ps))
			return r.Madvise(at, ps, vmem.AdvicePageOut)
		}, vmem.EINVAL},
		{"MADV_FREE of a file", func(r *rig, f files) error { return r.Madvise(at+8*ps, ps, vmem.AdviceFree) }, vmem.EINVAL},
		{"MADV_REMOVE of private memory", func(r *rig, f files) error { return r.Madvise(at, ps, vmem.AdviceRemove) }, vmem.EINVAL},
		{"MADV_REMOVE of a file for reading", func(r *rig, f files) error { return r.Madvise(at+8*ps, ps, vmem.AdviceRemove) }, vmem.EACCES},
		{"MADV_WIPEONFORK of a file", func(r *rig, f files) error { return r.Madvise(at+8*ps, ps, vmem.AdviceWipeOnFork) }, vmem.EINVAL},
		{"MADV_POPULATE_WRITE of what may not be written", func(r *rig, f files) error {
			return r.Madvise(at+8*ps, ps, vmem.AdvicePopulateWrite)
		}, vmem.EINVAL},
		{"MADV_POPULATE_READ of a hole", func(r *rig, f files) error { return r.Madvise(at, 5*ps, vmem.AdvicePopulateRead) }, vmem.ENOMEM},
		{"MADV_POPULATE_READ beyond the end", func(r *rig, f files) error {
			r.do("truncate", f.rw.Truncate(0))
			return r.Madvise(at+8*ps, ps, vmem.AdvicePopulateRead)
		}, vmem.EFAULT},
		{"mincore of no page", func(r *rig, f files) error { return r.Mincore(at+1, ps, make([]byte, 9)) }, vmem.EINVAL},
		{"mincore of a hole", func(r *rig, f files) error { return r.Mincore(at, 5*ps, make([]byte, 9)) }, vmem.ENOMEM},
		{"mincore above all addresses", func(r *rig, f files) error { return r.Mincore(at, top, nil) }, vmem.ENOMEM},
		{"mincore into too little", func(r *rig, f files) error { return r.Mincore(at, 2*ps, make([]byte, 1)) }, vmem.EFAULT},
		{"mremap with an unknown bit", mremap(at, ps, ps, 8, 0), vmem.EINVAL},
		{"mremap of no page", mremap(at+1, ps, ps, 0, 0), vmem.EINVAL},
		{"mremap to nothing", mremap(at, ps, 0, vmem.RemapMayMove, 0), vmem.EINVAL},
		{"mremap of a hole", mremap(at+5*ps, ps, 2*ps, vmem.RemapMayMove, 0), vmem.EFAULT},
		{"mremap of a hole to an address", mremap(at+5*ps, ps, ps, vmem.RemapMayMove|vmem.RemapFixed, at+64*ps), vmem.EFAULT},
		{"mremap across the end of an area", mremap(at+3*ps, 2*ps, 3*ps, vmem.RemapMayMove, 0), vmem.EFAULT},
		{"mremap to an address that may not move", mremap(at, ps, ps, vmem.RemapFixed, at+64*ps), vmem.EINVAL},
		{"mremap to no page", mremap(at, ps, ps, vmem.RemapMayMove|vmem.RemapFixed, at+64*ps+1), vmem.EINVAL},
		{"mremap onto itself", mremap(at, 2*ps, 2*ps, vmem.RemapMayMove|vmem.RemapFixed, at+ps), vmem.EINVAL},
		{"mremap above all addresses", mremap(at, ps, ps, vmem.RemapMayMove|vmem.RemapFixed, top), vmem.EINVAL},
		{"mremap that leaves the old one, of another size", mremap(at, ps, 2*ps, vmem.RemapMayMove|vmem.RemapDontUnmap, 0), vmem.EINVAL},
		{"mremap that can't grow in place", mremap(at, ps, 2*ps, 0, 0), vmem.ENOMEM},
		{"mremap that makes two of private memory", mremap(at, 0, ps, vmem.RemapMayMove, 0), vmem.EINVAL},
		{"mremap of locked memory above the limit", func(r *rig, f files) error {
			r.do("mlock", r.Mlock(at, 4*ps))
			r.Limits.MemLock = 5 * ps
			return mremap(at, 4*ps, 6*ps, vmem.RemapMayMove, 0)(r, f)
		}, vmem.EAGAIN},
		{"mremap above the limit of addresses", func(r *rig, f files) error {
			r.Limits.AS = 9 * ps
			return mremap(at, 4*ps, 6*ps, vmem.RemapMayMove, 0)(r, f)
		}, vmem.ENOMEM},
		{"pread before the start", func(r *rig, f files) error { _, err := r.Read(f.rw, at, 1, -1); return err }, vmem.EINVAL},
		{"pread of a file for writing", func(r *rig, f files) error { _, err := r.Read(f.wo, at, 1, 0); return err }, vmem.EBADF},
		{"pread to memory that is none", func(r *rig, f files) error { _, err := r.Read(f.rw, at+64*ps, 1, 0); return err }, vmem.EFAULT},
		{"pread above all addresses", func(r *rig, f files) error { _, err := r.Read(f.rw, top, 1, 0); return err }, vmem.EFAULT},
		{"pwrite of a file for reading", func(r *rig, f files) error { _, err := r.Write(f.ro, at, 1, 0); return err }, vmem.EBADF},
		{"pwrite from memory that is none", func(r *rig, f files) error { _, err := r.Write(f.rw, at+64*ps, 1, 0); return err }, vmem.EFAULT},
		{"pwrite beyond the largest file", func(r *rig, f files) error {
			f.rw.Object().SetMaxSize(4 * ps)
			_, err := r.Write(f.rw, at, 1, 4*ps)
			return err
		}, vmem.EFBIG},
		{"ftruncate beyond the largest file", func(r *rig, f files) error {
			f.rw.Object().SetMaxSize(4 * ps)
			return f.rw.Truncate(5 * ps)
		}, vmem.EFBIG},
		{"ftruncate of a file for reading", func(r *rig, f files) error { return f.ro.Truncate(0) }, vmem.EINVAL},
		{"ftruncate to less than nothing", func(r *rig, f files) error { return f.rw.Truncate(-1) }, vmem.EINVAL},
		{"ftruncate of a closed file", func(r *rig, f files) error { return f.closed.Truncate(0) }, vmem.EBADF},
		{"fsync of a closed file", func(r *rig, f files) error { return f.closed.Sync() }, vmem.EBADF},
		{"close of a closed file", func(r *rig, f files) error { return f.closed.Close() }, vmem.EBADF},
		{"open for nothing", func(r *rig, f files) error { _, err := f.rw.Object().Open(0); return err }, vmem.EINVAL},
		{"open for writing what can't be written", func(r *rig, f files) error {
			o, err := r.Machine.Open("constant", struct{ vmem.Store }{vmem.NewBytes(nil)})
			r.do("open", err)
			_, err = o.Open(vmem.ReadWrite)
			return err
		}, vmem.EACCES},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, vmem.Config{})
			var f files
			f.rw = r.file(vmem.NewBytes(make([]byte, 4*ps)))
			f.ro, f.wo, f.closed = r.open(f.rw.Object(), vmem.ReadOnly), r.open(f.rw.Object(), vmem.WriteOnly), r.open(f.rw.Object(), vmem.ReadWrite)
			r.do("close", f.closed.Close())
			r.mapped(nil, 4, rw, private|anon)
			_, err := r.Mmap(at+8*ps, 4*ps, read, shared|fixed, f.ro, 0)
			r.do("mmap", err)
			err = tt.do(r, f)
			r.refuses(tt.name, err, tt.want)
			if e := tt.want.(vmem.Errno); e.Name() == "" || e.Error() == "" {
				t.Errorf("error %d has no name", e)
			}
		})
	}
}

// TestFork: private memory is the child's own from the first store on, shared
// memory is one, and advice says what a child does not get.
func TestFork(t *testing.T) {
	r := newRig(t, vmem.Config{})
	page := func(i vmem.Addr, flags vmem.MapFlags, advice vmem.Advice) vmem.Addr {
		a := at + i*2*ps
		_, err := r.Mmap(a, ps, rw, flags|vmem.MapAnonymous|fixed, nil, 0)
		r.do("mmap", err)
		r.do("madvise", r.Madvise(a, ps, advice))
		r.poke(r.Process, a, 'p')
		return a
	}
	private := page(0, vmem.MapPrivate, vmem.AdviceNormal)
	shared := page(1, vmem.MapShared, vmem.AdviceNormal)
	wiped := page(2, vmem.MapPrivate, vmem.AdviceWipeOnFork)
	missing := page(3, vmem.MapPrivate, vmem.AdviceDontFork)
	r.do("mlockall", r.Mlockall(vmem.LockCurrent|vmem.LockFuture))
	child := r.Fork()
	if child.Locked() != 0 {
		t.Error("a child inherits locks")
	}
	_, err := child.Mmap(0, ps, rw, vmem.MapPrivate|vmem.MapAnonymous, nil, 0)
	if r.do("mmap", err); child.Locked() != 0 {
		t.Error("a child inherits mlockall")
	}
	if b := r.peek(child, wiped); b != 0 {
		t.Errorf("wiped memory has %q", b)
	}
	_, err = child.Load(missing)
	r.fault(err, vmem.SIGSEGV, vmem.MAPERR, missing)
	for _, tt := range []struct {
		addr vmem.Addr
		want byte
	}{{private, 'p'}, {shared, 'c'}} {
		if b := r.peek(child, tt.addr); b != 'p' {
			t.Errorf("the child sees %q", b)
		}
		r.poke(child, tt.addr, 'c')
		if b := r.peek(r.Process, tt.addr); b != tt.want {
			t.Errorf("the parent sees %q, want %q", b, tt.want)
		}
	}
	grandchild := child.Fork()
	r.poke(child, private, 'd')
	child.Exit()
	if b := r.peek(grandchild, private); b != 'c' {
		t.Errorf("the grandchild sees %q", b)
	}
	grandchild.Exit()
	r.Exit()
	if r.InUse() != 1 { // the shared page, which its object still has
		t.Errorf("%d frames in use at the end", r.InUse())
	}
}

// TestLocks: VmLck counts what is locked, once; what is locked is in memory,
// except on fault.
func TestLocks(t *testing.T) {
	r := newRig(t, vmem.Config{})
	r.mapped(nil, 8, rw, vmem.MapPrivate|vmem.MapAnonymous)
	for _, step := range []struct {
		name             string
		do               func() error
		locked, inMemory uint64
	}{
		{"mlock rounds outward", func() error { return r.Mlock(at+ps-1, 2) }, 2, 2},
		{"twice is once", func() error { return r.Mlock(at, 4*ps) }, 4, 4},
		{"on fault brings nothing in", func() error { return r.Mlock2(at+4*ps, 2*ps, vmem.LockOnFault) }, 6, 4},
		{"without the flag it does", func() error { return r.Mlock2(at+4*ps, ps, 0) }, 6, 5},
		{"once is enough to unlock", func() error { return r.Munlock(at, ps) }, 5, 5},
		{"nothing at all", func() error { return r.Mlock(at, 0) }, 5, 5},
		{"all there is", func() error { return r.Mlockall(vmem.LockCurrent) }, 8, 8},
		{"all unlocked", func() error { return r.Munlockall() }, 0, 8},
		{"all on fault", func() error { return r.Mlockall(vmem.LockCurrent | vmem.LockAllOnFault) }, 8, 8},
		{"munmap unlocks", func() error { return r.Munmap(at, 4*ps) }, 4, 4},
		{"all to come", func() error { return r.Mlockall(vmem.LockFuture) }, 4, 4},
		{"it came", func() error {
			_, err := r.Mmap(at, 2*ps, rw, vmem.MapPrivate|vmem.MapAnonymous|fixed, nil, 0)
			return err
		}, 6, 6},
		{"and it grew", func() error { _, err := r.Mremap(at, 2*ps, 3*ps, 0, 0); return err }, 7, 7},
	} {
		r.do(step.name, step.do())
		if got := r.Locked() / ps; got != step.locked || uint64(r.InUse()) != step.inMemory {
			t.Errorf("%s: %d pages locked and %d in memory, want %d and %d", step.name, got, r.InUse(), step.locked, step.inMemory)
		}
	}
}

// TestSharedTwice: mremap of length 0 maps the same pages a second time, and a
// move leaves nothing, or an empty area.
func TestSharedTwice(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(make([]byte, 4*ps)))
	r.mapped(f, 4, rw, vmem.MapShared)
	r.poke(r.Process, at+ps, 'x')
	twin, err := r.Mremap(at+ps, 0, 2*ps, vmem.RemapMayMove, 0)
	r.do("mremap", err)
	r.poke(r.Process, twin, 'y')
	if b := r.peek(r.Process, at+ps); b != 'y' {
		t.Errorf("the first one sees %q", b)
	}
	r.mapped(f, 4, rw, vmem.MapPrivate)
	r.poke(r.Process, at, 'z')
	moved, err := r.Mremap(at, 4*ps, 4*ps, vmem.RemapMayMove|vmem.RemapDontUnmap, 0)
	r.do("mremap", err)
	if b := r.peek(r.Process, moved); b != 'z' {
		t.Errorf("moved memory has %q", b)
	}
	if b := r.peek(r.Process, at); b != 0 {
		t.Errorf("what stayed has %q, want the file's page", b)
	}
	shrunk, err := r.Mremap(moved, 4*ps, ps, 0, 0)
	if err != nil || shrunk != moved {
		t.Errorf("shrunk to %#x, %v", shrunk, err)
	}
	_, err = r.Load(moved + ps)
	r.fault(err, vmem.SIGSEGV, vmem.MAPERR, moved+ps)
}

// TestCopiesOfBytes counts what the two ways to read a file copy: read moves
// each byte twice, a mapping once.
func TestCopiesOfBytes(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(bytes.Repeat([]byte{'x'}, 4*ps)))
	r.mapped(nil, 4, rw, vmem.MapPrivate|vmem.MapAnonymous)
	n, err := r.Read(f, at, 99*ps, 0)
	if r.do("read", err); n != 4*ps {
		t.Errorf("read %d bytes", n)
	}
	c := r.Counters()
	if c.Bytes[vmem.BytesIn] != 4*ps || c.Bytes[vmem.BytesRead] != 4*ps {
		t.Errorf("read copied %d and %d bytes", c.Bytes[vmem.BytesIn], c.Bytes[vmem.BytesRead])
	}
	_, err = r.Mmap(at+8*ps, 4*ps, vmem.ProtRead, vmem.MapShared|fixed, f, 0)
	r.do("mmap", err)
	got := make([]byte, 4*ps)
	if n, err := r.ReadAt(got, int64(at+8*ps)); n != len(got) || err != nil || got[4*ps-1] != 'x' {
		t.Errorf("%d bytes, %v", n, err)
	}
	if after := r.Counters(); after.Bytes != c.Bytes {
		t.Error("a load of a warm mapping copies bytes")
	}

	// A call that meets a fault moves what comes before it.
	n, err = r.Read(f, at+3*ps+1, 2*ps, 0)
	if r.do("read", err); n != ps-1 {
		t.Errorf("read %d bytes to the last page", n)
	}
	n, err = r.Write(f, at+3*ps+1, 2*ps, 4*ps)
	if r.do("write", err); n != ps-1 || f.Object().Size() != 5*ps-1 {
		t.Errorf("wrote %d bytes from the last page, the file has %d", n, f.Object().Size())
	}
	n, err = r.Read(f, at, 1, 5*ps)
	if r.do("read at the end", err); n != 0 {
		t.Errorf("read %d bytes at the end", n)
	}
	if _, err := f.ReadAt(make([]byte, 2), 5*ps-2); err != io.EOF {
		t.Errorf("ReadAt across the end: %v", err)
	}
}

package vmem_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap/vmem"
)

// states are the contents that a power cut may leave, each once: the first
// byte of every page, and the size where it is no whole number of pages.
func (r *rig) states(o *vmem.Object, opt vmem.CrashOptions) []string {
	r.Helper()
	var found []string
	for im := range o.Crashes(opt) {
		size, _ := im.Size()
		p := make([]byte, size)
		if n, err := im.ReadAt(p, 0); int64(n) != size || err != nil && err != io.EOF {
			r.Fatalf("ReadAt of an image of %d bytes: %d, %v", size, n, err)
		}
		var s strings.Builder
		for i := 0; i < len(p); i += ps {
			if p[i] == 0 {
				p[i] = '.'
			}
			s.WriteByte(p[i])
		}
		if size%ps != 0 {
			fmt.Fprintf(&s, "%d", size%ps)
		}
		found = append(found, s.String())
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestPowerCut holds what may be found after each way to change a file.
func TestPowerCut(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *rig, f *vmem.File)
		want string // the states, sorted
	}{
		{"nothing changed", func(r *rig, f *vmem.File) {}, "aaa"},
		{"a store may have arrived", func(r *rig, f *vmem.File) { r.poke(r.Process, at, 'b') }, "aaa baa"},
		{"each page on its own", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.poke(r.Process, at+2*ps, 'c')
		}, "aaa aac baa bac"},
		{"any version of a page", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.poke(r.Process, at, 'c')
		}, "aaa baa caa"},
		{"msync makes its range certain", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.poke(r.Process, at+ps, 'c')
			r.do("msync", r.Msync(at, ps, vmem.SyncNow))
		}, "baa bca"},
		{"what is stored after msync is not", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.do("msync", r.Msync(at, ps, vmem.SyncNow))
			r.poke(r.Process, at, 'c')
		}, "baa caa"},
		{"MS_ASYNC makes nothing certain", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.do("msync", r.Msync(at, ps, vmem.SyncAsync))
		}, "aaa baa"},
		{"nor does write-back", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.WriteBack(f.Object(), 0, 3)
			r.do("evict", r.Evict(f.Object(), 0))
		}, "aaa baa"},
		{"nor does munmap", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.do("munmap", r.Munmap(at, 3*ps))
		}, "aaa baa"},
		{"fsync makes all certain", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.poke(r.Process, at+ps, 'c')
			r.do("fsync", f.Sync())
		}, "bca"},
		{"an fsync that fails makes nothing certain", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			f.Object().Store().(*flaky).sync = io.ErrUnexpectedEOF
			r.refuses("fsync", f.Sync(), vmem.EIO)
		}, "aaa baa"},
		{"nor does one that works after it", func(r *rig, f *vmem.File) {
			s := f.Object().Store().(*flaky)
			r.poke(r.Process, at, 'b')
			s.sync = io.ErrUnexpectedEOF
			r.refuses("fsync", f.Sync(), vmem.EIO)
			s.sync = nil
			r.do("fsync", f.Sync())
		}, "aaa baa"},
		{"unless there was another store", func(r *rig, f *vmem.File) {
			s := f.Object().Store().(*flaky)
			r.poke(r.Process, at, 'b')
			s.sync = io.ErrUnexpectedEOF
			r.refuses("fsync", f.Sync(), vmem.EIO)
			s.sync = nil
			r.poke(r.Process, at, 'c')
			r.do("fsync", f.Sync())
		}, "caa"},
		{"a page that could not be written is uncertain, others are not", func(r *rig, f *vmem.File) {
			s := f.Object().Store().(*flaky)
			r.poke(r.Process, at, 'b')
			s.write = io.ErrUnexpectedEOF
			r.WriteBack(f.Object(), 0, 1)
			s.write = nil
			r.poke(r.Process, at+ps, 'c')
			r.refuses("fsync", f.Sync(), vmem.EIO)
		}, "aca bca"},
		{"a private store never arrives", func(r *rig, f *vmem.File) {
			r.mapped(f, 3, rw, vmem.MapPrivate)
			r.poke(r.Process, at, 'b')
			r.do("msync", r.Msync(at, ps, vmem.SyncNow))
		}, "aaa"},
		{"write is like a store", func(r *rig, f *vmem.File) {
			_, err := f.WriteAt([]byte{'b'}, ps)
			r.do("write", err)
		}, "aaa aba"},
		{"a longer file may be short", func(r *rig, f *vmem.File) {
			_, err := f.WriteAt([]byte{'b', 'b'}, 3*ps)
			r.do("write", err)
		}, "aaa aaa.2 aaab2"},
		{"a truncation is before or after", func(r *rig, f *vmem.File) { r.do("truncate", f.Truncate(ps)) }, "a aaa"},
		{"what was cut off does not come back", func(r *rig, f *vmem.File) {
			r.do("truncate", f.Truncate(ps))
			r.do("truncate", f.Truncate(2*ps))
		}, "a a. aaa"},
		{"a store before a truncation", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at+ps, 'b')
			r.do("truncate", f.Truncate(ps))
			r.do("truncate", f.Truncate(2*ps))
			r.poke(r.Process, at+ps, 'c')
		}, "a a. aaa aba ac"},
		{"a store to the page that is cut in two", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.do("truncate", f.Truncate(1))
		}, "a1 aaa b1 baa"},
		{"a hole is before or after", func(r *rig, f *vmem.File) {
			r.do("remove", r.Madvise(at+ps, ps, vmem.AdviceRemove))
		}, "a.a aaa"},
		{"a sync after a truncation leaves nothing of before", func(r *rig, f *vmem.File) {
			r.poke(r.Process, at, 'b')
			r.do("truncate", f.Truncate(ps))
			r.do("truncate", f.Truncate(2*ps))
			r.do("msync", r.Msync(at+ps, ps, vmem.SyncNow))
		}, "a. b."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, vmem.Config{})
			f := r.file(&flaky{Bytes: vmem.NewBytes(bytes.Repeat([]byte{'a'}, 3*ps))})
			r.do("record", f.Object().Record(8))
			r.mapped(f, 3, rw, vmem.MapShared)
			tt.do(r, f)
			if got := strings.Join(r.states(f.Object(), vmem.CrashOptions{}), " "); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
			// Picked by chance and torn they are no others.
			for seed := range uint64(20) {
				for _, s := range r.states(f.Object(), vmem.CrashOptions{Limit: 3, Seed: seed}) {
					if !slices.Contains(strings.Fields(tt.want), s) {
						t.Errorf("seed %d: %s", seed, s)
					}
				}
			}
		})
	}
}

// TestTorn: torn, every sector is of a version of its own, and no byte of a
// sector is of another.
func TestTorn(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(bytes.Repeat([]byte{'a'}, ps)))
	r.do("record", f.Object().Record(8))
	for _, b := range []byte("bc") {
		_, err := f.WriteAt(bytes.Repeat([]byte{b}, ps), 0)
		r.do("write", err)
	}
	mixed := 0
	for im := range f.Object().Crashes(vmem.CrashOptions{Torn: true, Limit: 50}) {
		p := make([]byte, ps)
		im.ReadAt(p, 0)
		seen := map[byte]bool{}
		for s := 0; s < ps; s += vmem.SectorSize {
			seen[p[s]] = true
			if !bytes.Equal(p[s:s+vmem.SectorSize], bytes.Repeat(p[s:s+1], vmem.SectorSize)) {
				t.Fatalf("the sector at %d is torn itself", s)
			}
		}
		if len(seen) == 3 {
			mixed++
		}
	}
	if mixed < 20 {
		t.Errorf("%d of 50 images have sectors of all versions", mixed)
	}
}

// TestCrashBounds: the number of images and of versions is bounded, and a seed
// makes the same ones again.
func TestCrashBounds(t *testing.T) {
	r := newRig(t, vmem.Config{})
	f := r.file(vmem.NewBytes(make([]byte, 64*ps)))
	r.do("record", f.Object().Record(3))
	r.mapped(f, 64, rw, vmem.MapShared)
	for i := range vmem.Addr(64) {
		for b := range byte(9) {
			r.poke(r.Process, at+i*ps, 'a'+b)
		}
	}
	o := f.Object()
	if n := len(r.states(o, vmem.CrashOptions{Limit: 40, Seed: 1})); n > 40 || n < 30 {
		t.Errorf("%d images of at most 40", n)
	}
	one, same, other := r.states(o, vmem.CrashOptions{Seed: 1}), r.states(o, vmem.CrashOptions{Seed: 1}), r.states(o, vmem.CrashOptions{Seed: 2})
	if !slices.Equal(one, same) || slices.Equal(one, other) {
		t.Error("a seed does not say which images there are")
	}
	for _, s := range one {
		if strings.Trim(s, ".hi") != "" {
			t.Errorf("%s: more than the durable version and the last two", s)
		}
	}
	var first []string
	for im := range o.Crashes(vmem.CrashOptions{}) {
		p := make([]byte, 64*ps)
		im.ReadAt(p, 0)
		first = append(first, fmt.Sprint(p[0], p[63*ps]))
		if len(first) == 2 {
			break
		}
	}
	if !slices.Equal(first, []string{"0 0", "105 105"}) {
		t.Errorf("the first images are %q, want the oldest and the newest", first)
	}
	r.refuses("record of memory alone", r.Memory("memory").Record(2), vmem.EINVAL)
	for range r.Memory("memory").Crashes(vmem.CrashOptions{}) {
		t.Error("memory alone survives a power cut")
	}
}

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	fiFreeze = 0xc0045877 // FIFREEZE, _IOWR('X', 119, int)
	fiThaw   = 0xc0045878 // FITHAW, _IOWR('X', 120, int)

	// What makes fe_physical no place on the device: FIEMAP_EXTENT_UNKNOWN,
	// _DELALLOC, _ENCODED, _NOT_ALIGNED, _DATA_INLINE and _DATA_TAIL.
	fiemapNoPlace  = 0x2 | 0x4 | 0x8 | 0x100 | 0x200 | 0x400
	fiemapFlagSync = 0x1
)

// FreezeFS makes whoever writes to the file system of fd wait until ThawFS
// (ioctl_fs(2), FIFREEZE). It needs CAP_SYS_ADMIN, and answers EBUSY for one
// that is frozen.
func FreezeFS(fd int) error { return ioctl(fd, fiFreeze, nil) }

// ThawFS ends FreezeFS. It answers EINVAL for a file system that is not frozen.
func ThawFS(fd int) error { return ioctl(fd, fiThaw, nil) }

// SealWrites lets a memfd be written only by mappings that exist already
// (F_SEAL_FUTURE_WRITE, since Linux 5.1).
func SealWrites(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE)
	return err
}

// CloneFile makes the empty file to share every block of the file from, until
// one of them is written to (ioctl_ficlone(2)).
func CloneFile(to, from int) error { return unix.IoctlFileClone(to, from) }

// Extents is where the bytes [off, off+n) of fd's file lie on its device, after
// a sync; holes are left out (FIEMAP). It answers ENXIO where a byte has no
// place of its own there, as in a compressed or an inlined file.
func Extents(fd int, off, n int64) ([]Extent, error) {
	var list []Extent
	for start := off; start < off+n; {
		f := fiemap{start: uint64(start), length: uint64(off + n - start), flags: fiemapFlagSync, count: 1}
		if err := ioctl(fd, fsIocFiemap, unsafe.Pointer(&f)); err != nil {
			return nil, err
		}
		if f.mapped == 0 {
			break
		}
		if f.extent.flags&fiemapNoPlace != 0 {
			return nil, ENXIO
		}
		e := Extent{Off: int64(f.extent.logical), Device: int64(f.extent.physical), Len: int64(f.extent.length)}
		end := e.Off + e.Len
		if e.Off < start {
			e.Device += start - e.Off
			e.Off = start
		}
		e.Len = min(end, off+n) - e.Off
		list = append(list, e)
		start = end
	}
	return list, nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

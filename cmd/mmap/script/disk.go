package script

import (
	"bytes"

	"github.com/memwright/mmap/vmem"
)

// A disk is a file's bytes on a device: what a read of it gives, and what a
// power cut could not take away.
type disk struct {
	vmem.Bytes
	durable []byte
}

func newDisk(content []byte) *disk {
	d := &disk{durable: bytes.Clone(content)}
	d.Bytes = *vmem.NewBytes(content)
	return d
}

// Sync implements [vmem.WritableStore].
func (d *disk) Sync() error {
	d.durable = bytes.Clone(d.Bytes.Bytes())
	return nil
}

// pageOf is a page of some bytes, or less at their end.
func pageOf(p []byte, index uint64) []byte {
	from := min(int(index)*vmem.PageSize, len(p))
	return p[from:min(from+vmem.PageSize, len(p))]
}

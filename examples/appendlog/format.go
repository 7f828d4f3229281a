package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// What is in the file: docs/format/appendlog.md. Integers are in the byte order
// of the machine, since two of them are read and written in place.
const (
	headerBytes = 4096
	wordMagic   = 0 // the header as 64-bit words
	wordEnd     = 1 // where the last committed record ends, in bytes from the header's end
	headerWords = 2

	prefixBytes    = 8 // before each record's own bytes: length, checksum
	maxRecordBytes = 1 << 20
)

// magic is the first word of a log: "mmaplog1" where the lowest byte comes first.
const magic uint64 = 0x31676f6c70616d6d

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the length too, so that zeros are no record.
func checksum(length, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, record)
}

// appendRecord encodes a record behind b.
func appendRecord(b, record []byte) []byte {
	at := len(b)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(record)))
	b = binary.NativeEndian.AppendUint32(b, checksum(b[at:at+4], record))
	return append(b, record...)
}

// A damaged error is a committed record that is not what was written.
type damaged struct {
	at   int // offset in the file, in bytes
	what string
}

func (d *damaged) Error() string {
	return fmt.Sprintf("the record at byte %d is damaged: %s; dump lists the records before it, copy those to a new log", d.at, d.what)
}

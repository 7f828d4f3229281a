package main

import "encoding/binary"

// sum looks at every byte of p, eight at a time: its length is a multiple of 8.
func sum(p []byte) uint64 {
	if vectorBytes == 0 || len(p) < vectorBytes {
		return sumPlain(p)
	}
	whole := len(p) - len(p)%max(vectorBytes, 1)
	return sumVectors(p[:whole]) + sumPlain(p[whole:])
}

// sumPlain is the same sum by a plain loop.
func sumPlain(p []byte) uint64 {
	var a, b, c, d uint64
	for ; len(p) >= 32; p = p[32:] {
		q := p[:32:32]
		a += binary.LittleEndian.Uint64(q)
		b += binary.LittleEndian.Uint64(q[8:])
		c += binary.LittleEndian.Uint64(q[16:])
		d += binary.LittleEndian.Uint64(q[24:])
	}
	for ; len(p) >= 8; p = p[8:] {
		a += binary.LittleEndian.Uint64(p)
	}
	return a + b + c + d
}

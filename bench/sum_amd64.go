package main

import "golang.org/x/sys/cpu"

// vectorBytes is what sumVectors takes multiples of; 0 where it can't run.
var vectorBytes = map[bool]int{true: 128}[cpu.X86.HasAVX2]

// sumVectors is sumPlain by AVX2: a plain loop takes three times as long as the copy
// that is to be measured.
//
//go:noescape
func sumVectors(p []byte) uint64

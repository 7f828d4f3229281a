//go:build race

package shm_test

const raceDetector = true

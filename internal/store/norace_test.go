//go:build !race

package store

// raceDetector tells whether this test binary needs several times the memory.
const raceDetector = false

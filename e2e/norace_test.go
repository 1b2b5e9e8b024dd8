//go:build !race

package e2e

// raceEnabled: the binary under test is built as people get it.
const raceEnabled = false

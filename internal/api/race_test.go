//go:build race

package api

// raceEnabled says that pools lose things on purpose, so that allocations mean nothing.
const raceEnabled = true

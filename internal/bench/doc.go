// Package bench runs the experiments whose figures the documentation shows: a real
// platform, a real load generator and the thing it is compared with, side by side
// in one run, in interleaved rounds, so that a noisy machine disturbs both alike.
package bench

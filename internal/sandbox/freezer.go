package sandbox

// Freezer is a Sandbox whose processes can be stopped and let go on, where Isolation
// says Freeze. While they stand still they use no processor time, their timers do not
// run, and what is sent to them waits in the kernel.
type Freezer interface {
	Sandbox
	// Freeze has the processes stopped, what they fork meanwhile too. It does not wait
	// until the last one stands still, so it takes some ten microseconds.
	Freeze() error
	// Thaw lets them go on. Both are harmless when there is nothing to do. Freeze and
	// Thaw must not run at the same time; Destroy may, and copes with frozen processes.
	Thaw() error
}

package sandbox

// Missing tells in sentences, for people, what is not promised; it is empty when
// everything is.
func (i Isolation) Missing() []string {
	var words []string
	for _, p := range []struct {
		promised bool
		without  string
	}{
		{i.User, "Functions run as the user who runs Hearth and can do whatever that user can."},
		{i.FileSystem, "Functions see the host's files."},
		{i.TmpLimit, "Nothing limits the disk space that functions use for temporary files."},
		{i.TmpOnDisk, "Temporary files count as a function's memory."},
		{i.Network, "Functions share the host's network and can reach its local services."},
		{i.Memory, "Memory limits are watched, not enforced: a function can exceed its limit for a moment."},
		{i.Pids, "Nothing limits the number of processes that a function starts."},
		{i.CPU, "Functions compete for the processors without regard to their memory size."},
		{i.Syscalls, "Functions can use every system call of the host's kernel."},
	} {
		if !p.promised {
			words = append(words, p.without)
		}
	}
	return words
}

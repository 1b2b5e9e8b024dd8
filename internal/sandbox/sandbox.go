// Package sandbox starts and stops the isolated places that instances run in. A
// Driver makes sandboxes of one isolation tier; one conformance suite holds all
// drivers to the same promises, probed from the inside.
package sandbox

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// Spec describes one sandbox. Paths are on the host.
type Spec struct {
	// ID names the sandbox and everything made for it (container, cgroup, network
	// interface, directories): 'i' and twelve hexadecimal digits.
	ID string
	// Args is the command, as seen from inside; Args[0] is an absolute path or
	// found in the PATH of Env, which is its whole environment (a driver may add
	// TMPDIR and a mark of its own). Arguments and variables (also lists of paths)
	// that begin with TaskRoot or RuntimeRoot name files there, also where a driver
	// cannot put them there: it translates them. The command starts in the code's
	// directory.
	Args []string
	Env  []string
	// CodeDir appears read-only at TaskRoot, ShimDir read-only at RuntimeRoot. The
	// files in them must be readable by everybody: the sandbox's user is a stranger
	// to the host. Empty: nothing appears.
	CodeDir string
	ShimDir string
	// OptDir appears read-only at OptRoot in a sandbox with a file system of its own, and
	// nowhere in others. It must not be a symbolic link that its owner made.
	OptDir string
	// MemoryMB is the hard memory limit, in MiB. CPUs is the share of processor
	// time, in CPUs, that the sandbox is entitled to when others compete.
	MemoryMB int
	CPUs     float64
	// TmpMB is the size of the private /tmp, in MiB. It does not count as memory
	// where Isolation says TmpOnDisk.
	TmpMB int
	// Pids bounds processes and threads; 0 means DefaultPids.
	Pids int
}

// Where a sandbox finds a function's code and the shim (Lambda's LAMBDA_TASK_ROOT
// and LAMBDA_RUNTIME_DIR), and layers.
const (
	TaskRoot    = "/var/task"
	RuntimeRoot = "/var/runtime"
	// OptRoot is where Lambda puts the files of layers.
	OptRoot = "/opt"
)

// DefaultPids bounds processes and threads in a sandbox (Lambda's is 1,024).
const DefaultPids = 1024

// ErrClosed is returned by Start after Close.
var ErrClosed = errors.New("the sandbox driver is closed")

// Isolation tells what a driver's sandboxes promise. The conformance suite probes
// every promise that is made, and the API tells people about those that are not.
type Isolation struct {
	User       bool // unprivileged, in a user namespace of its own
	FileSystem bool // read-only root; sees nothing of the host but /usr and the runtimes
	TmpLimit   bool // /tmp is private and has a size limit that holds
	TmpOnDisk  bool // what is in /tmp does not count as memory
	Network    bool // own network namespace; outbound only
	Memory     bool // memory limit enforced by the kernel
	Pids       bool
	CPU        bool // processor share proportional to memory
	Syscalls   bool // seccomp
	Freeze     bool // its sandboxes are Freezers
}

// Driver makes sandboxes. Its methods may be called from many goroutines.
type Driver interface {
	// Name is the isolation tier: "runc", "process", …
	Name() string
	Isolation() Isolation
	// Start makes a sandbox and starts Args in it, with one end of a connected
	// stream socket as file descriptor 3. It blocks until the process runs; on an
	// error nothing of the sandbox is left. The caller owns the Sandbox and must
	// Destroy it.
	Start(ctx context.Context, spec Spec) (Sandbox, error)
	// Recover removes whatever sandboxes an earlier process left behind under the
	// same data directory, and tells how many there were. Call it before Start.
	Recover(ctx context.Context) (int, error)
	// Close removes what the driver made for all sandboxes (firewall table, parent
	// cgroup, …). All sandboxes must have been destroyed. Closing twice is harmless.
	Close() error
}

// Roomy is a Driver whose sandboxes may need a disk for their /tmp. It promises no more of
// it than there is: Start fails with ErrCapacity (package hearth) instead.
type Roomy interface {
	Driver
	// Room tells how the disk stands for one more sandbox with a /tmp of tmpMB. It takes a
	// system call per sandbox.
	Room(tmpMB int) (Room, error)
}

// Room is the room of a disk for /tmp, in MiB.
type Room struct {
	NeedMB  int   // what one more sandbox may need; 0: it needs no disk
	TotalMB int   // what all may need together as things stand, those that are there included
	Full    error // what Start says when that is not enough, in words for people
}

// Sandbox is one running sandbox.
type Sandbox interface {
	ID() string
	PID() int // of the first process, on the host
	// Conn is the host's end of descriptor 3. The caller owns it and closes it.
	Conn() net.Conn
	// Output is the reading end of a pipe that is the sandbox's standard output and
	// standard error. It ends when the last process inside has gone. A reader that
	// stops reading blocks the writers inside (back-pressure). The caller closes it.
	Output() *os.File
	// Done is closed when the first process has ended; Exit then tells how.
	Done() <-chan struct{}
	Exit() Exit
	// Stats reads the current use. It costs a few small file reads.
	Stats() (Stats, error)
	// CodeDir tells where the code is, as seen from inside; TmpDir likewise.
	CodeDir() string
	TmpDir() string
	// Destroy kills every process inside and removes everything made for the
	// sandbox; it blocks until that is done. (A driver may take some milliseconds more
	// for what nothing depends on, such as a network interface; its Close waits for
	// that.) Calling it again is harmless.
	Destroy(ctx context.Context) error
}

// Exit is how the first process ended.
type Exit struct {
	Code   int       // exit status; 128+signal when killed by one
	Signal os.Signal // nil unless killed by a signal
	OOM    bool      // the kernel (or the driver) killed it at its memory limit
}

// Stats is what a sandbox uses.
type Stats struct {
	MemoryBytes     int64 // in use, without reclaimable file cache
	PeakMemoryBytes int64 // high-water mark
	CPU             time.Duration
	Pids            int
	OOMKills        int
}

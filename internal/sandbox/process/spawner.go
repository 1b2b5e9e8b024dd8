package process

import (
	"os"
	"runtime"
	"syscall"
)

// spawner starts processes that the kernel kills when this one dies. The kernel
// means the thread that started them, and Go's threads come and go; so one thread is
// kept for the purpose as long as the spawner lives.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	path string
	args []string
	attr *os.ProcAttr
	pid  chan<- int
	err  chan<- error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go s.work()
	return s
}

func (s *spawner) work() {
	defer close(s.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // gives the thread back instead of ending it
	for r := range s.requests {
		p, err := os.StartProcess(r.path, r.args, r.attr)
		if err != nil {
			r.err <- err
			continue
		}
		r.pid <- p.Pid
		_ = p.Release() // it is waited for elsewhere
	}
}

// start starts a process in a session of its own and returns its id. The process is
// an unwatched child of this one.
func (s *spawner) start(path string, args []string, attr *os.ProcAttr) (int, error) {
	attr.Sys = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	pid, err := make(chan int, 1), make(chan error, 1)
	s.requests <- spawnRequest{path, args, attr, pid, err}
	select {
	case p := <-pid:
		return p, nil
	case e := <-err:
		return 0, e
	}
}

// close ends the thread's service. No start may be under way.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

package runtimeapi

import (
	"bytes"
	"os"
	"sync"
	"syscall"
)

// maxLine is how many bytes of a line wait for their newline.
const maxLine = 64 << 10

// output is what the bootstrap and its children write to one of their descriptors. It
// becomes LOG frames.
type output struct {
	fd   byte // 1 or 2
	host *host
	who  func(line []byte) uint32
	file *os.File // the reading end

	mu      sync.Mutex // held while bytes are between pipe and host
	partial []byte
}

// newOutput returns an output and the writing end of its pipe.
func newOutput(fd byte, h *host, who func([]byte) uint32) (*output, *os.File, error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	o := &output{fd: fd, host: h, who: who, file: os.NewFile(uintptr(fds[0]), "output")}
	return o, os.NewFile(uintptr(fds[1]), "output"), nil
}

// run reads until the last writer has gone or close is called.
func (o *output) run() {
	raw, err := o.file.SyscallConn()
	if err != nil {
		return
	}
	for end := false; !end; {
		err := raw.Read(func(fd uintptr) bool {
			some, eof := o.drain(fd)
			end = eof
			return some || eof
		})
		if err != nil {
			return
		}
	}
	o.flush()
}

// sync sends everything that has been written by now, also a line without its end, so
// that it comes before the result of its invocation.
func (o *output) sync() {
	if raw, err := o.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { o.drain(fd) }) // closed: nothing more comes
	}
	o.flush()
}

// drain takes what is in the pipe, without waiting.
func (o *output) drain(fd uintptr) (some, eof bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var buf [16 << 10]byte
	for {
		n, err := syscall.Read(int(fd), buf[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return some, false
		case err != nil || n == 0:
			return some, true
		}
		some = true
		o.linesLocked(buf[:n])
	}
}

// linesLocked sends whole lines and keeps the rest.
func (o *output) linesLocked(text []byte) {
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			o.partial = append(o.partial, text...)
			if len(o.partial) >= maxLine {
				o.sendLocked()
			}
			return
		}
		o.partial = append(o.partial, text[:i+1]...)
		text = text[i+1:]
		o.sendLocked()
	}
}

func (o *output) sendLocked() {
	o.host.write(kindLog, 0, o.who(o.partial), string([]byte{o.fd}), o.partial)
	o.partial = o.partial[:0]
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.partial) > 0 {
		o.sendLocked()
	}
}

func (o *output) close() { o.file.Close() }

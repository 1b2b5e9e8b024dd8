package link

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/loop"
)

// Options of a connection. The zero value is useful.
type Options struct {
	// MaxInFlight bounds the calls in flight: the version's slots. Default 1.
	MaxInFlight int
	// MaxResponseBytes bounds a response. Default hearth.MaxPayloadBytes.
	MaxResponseBytes int
	// MaxStreamBytes bounds a streamed response. Default hearth.MaxStreamBytes.
	MaxStreamBytes int
	// OnLog receives what the function logs: fd is 1 or 2, text any number of lines
	// (the final newline may be missing), as the shim sent it, not necessarily UTF-8.
	// call is nil when it belongs to the instance. The reader calls it and reads on
	// only when it returns: a slow OnLog slows the shim down. It must neither keep
	// text or call nor call Close. nil drops all logs.
	OnLog func(call *Call, fd int, text []byte)
	// Loop watches the socket, and its goroutine is the reader: what is called back must
	// not block. It is needed.
	Loop *loop.Loop
}

// phase is how far the instance has come.
type phase uint8

const (
	phaseNew     phase = iota // waiting for HELLO
	phaseWaiting              // HELLO has come; the shim waits for INIT
	phaseIniting              // INIT is sent
	phaseReady
	phaseFailed // INIT_ERROR has come
)

// Conn is the host's end of one sandbox's socket. Its methods may be called from many
// goroutines.
type Conn struct {
	socket *loop.Socket
	opts   Options

	helloed  chan struct{} // closed by the reader when hello is set
	hello    Hello
	initDone chan struct{} // closed by the reader when initErr is set
	initErr  error
	leaving  atomic.Bool   // the shim takes no more calls
	done     chan struct{} // closed by the reader, last of all
	err      error         // set before done is closed
	lost     int           // likewise

	reading sync.Mutex // held while frames are handled
	part    []byte     // what has come of a frame that is not whole yet
	kept    []byte     // the buffer that part lies in

	out []byte // being written, by whoever set writing

	mu       sync.Mutex
	phase    phase
	closing  bool  // Close or Shutdown was called: no more calls
	failure  error // why the host ends the connection, when it does
	closed   bool  // the reader has ended
	table    table
	pending  []byte  // frames to be written next
	rest     []byte  // of out, until the socket takes more
	large    []*Call // with payload still to be sent, in turn
	writing  bool    // somebody is in flush, or will be
	writeErr bool    // the peer takes nothing any more
}

// New takes over nc, the host's end of descriptor 3, and has opts.Loop read it. The
// caller must Close the Conn. What is not a socket ends at once.
func New(nc net.Conn, opts Options) *Conn {
	if opts.MaxInFlight <= 0 {
		opts.MaxInFlight = 1
	}
	if opts.MaxResponseBytes <= 0 {
		opts.MaxResponseBytes = hearth.MaxPayloadBytes
	}
	if opts.MaxStreamBytes <= 0 {
		opts.MaxStreamBytes = hearth.MaxStreamBytes
	}
	c := &Conn{
		opts:    opts,
		helloed: make(chan struct{}), initDone: make(chan struct{}), done: make(chan struct{}),
		table: newTable(opts.MaxInFlight),
	}
	fd, err := loop.Take(nc)
	c.socket = opts.Loop.Hold(fd, c)
	if err == nil {
		err = c.socket.Want(loop.Readable)
	}
	if err != nil {
		c.stop(err)
	}
	return c
}

// Hello waits for the shim's first words. It fails with ErrClosed or a ProtocolError
// when the connection ends before, and with the context's error.
func (c *Conn) Hello(ctx context.Context) (Hello, error) {
	if err := c.wait(ctx, c.helloed); err != nil {
		return Hello{}, fmt.Errorf("wait for the shim to start: %w", err)
	}
	return c.hello, nil
}

// Init tells the shim what it is and waits until the handler is loaded. It fails
// with an *InitError when the shim reports one. Call it once, after Hello.
func (c *Conn) Init(ctx context.Context, init Init) error {
	body, err := json.Marshal(init)
	if err != nil {
		return fmt.Errorf("encode init: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("init of %d bytes; at most %d are allowed", len(body), maxFrame)
	}
	c.mu.Lock()
	if c.phase != phaseWaiting {
		c.mu.Unlock()
		return errors.New("init: the shim does not wait for it")
	}
	c.phase = phaseIniting
	c.pending = appendHeader(c.pending, kindInit, 0, 0, len(body))
	c.pending = append(c.pending, body...)
	c.unlockAndFlush()
	if err := c.wait(ctx, c.initDone); err != nil {
		return fmt.Errorf("wait for init: %w", err)
	}
	return c.initErr
}

// wait waits for what, which wins over the end of the connection.
func (c *Conn) wait(ctx context.Context, what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
	}
	select {
	case <-what:
		return nil
	default:
		return c.err
	}
}

// Shutdown asks the shim to run its exit hooks and leave within grace. It does not
// wait, and no call can be sent afterwards; calls in flight may still end.
func (c *Conn) Shutdown(grace time.Duration) {
	c.mu.Lock()
	if c.closing || c.closed {
		c.mu.Unlock()
		return
	}
	c.closing = true
	c.pending = appendHeader(c.pending, kindShutdown, 0, 0, 4)
	c.pending = binary.LittleEndian.AppendUint32(c.pending, uint32(max(grace.Milliseconds(), 0)))
	c.unlockAndFlush()
}

// Close ends the connection, which ends the shim; calls in flight end with ErrClosed.
// It waits until nothing of the Conn runs any more. Closing twice is harmless.
func (c *Conn) Close() error {
	c.end(ErrClosed)
	c.stop(ErrClosed)
	return nil
}

// end closes the socket for the given reason; the reader does the rest.
func (c *Conn) end(reason error) {
	c.mu.Lock()
	c.closing = true
	if c.failure == nil {
		c.failure = reason
	}
	c.mu.Unlock()
	c.socket.Close()
}

// Done is closed when the connection has ended and all its calls have.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err tells why the connection ended, ErrClosed or a *ProtocolError; nil before that.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Lost is how many calls the end of the connection took along, without those that had
// been cancelled. It is known once Done is closed.
func (c *Conn) Lost() int {
	select {
	case <-c.done:
		return c.lost
	default:
		return 0
	}
}

// Leaving tells that the shim has said that it will end, or that the connection has:
// a call would be lost.
func (c *Conn) Leaving() bool { return c.leaving.Load() }

// InFlight is the number of calls in flight.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.inFlight
}

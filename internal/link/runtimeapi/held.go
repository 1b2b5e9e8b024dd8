package runtimeapi

import (
	"sync"
	"time"
)

// proof is how long a failure waits for proof that its runtime lives on.
const proof = 100 * time.Millisecond

// held are failures that wait until the runtime polls again or has ended. A runtime
// whose handler panicked often tells of that and exits: told at once, the host would
// give it another invocation meanwhile.
type held struct {
	mu    sync.Mutex
	sends []func(flags byte)
	timer *time.Timer
}

// add has send called soon.
func (h *held) add(send func(flags byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sends = append(h.sends, send)
	if h.timer == nil {
		h.timer = time.AfterFunc(proof, func() { h.release(0) })
	}
}

// release calls all that wait, with flags for their frames.
func (h *held) release(flags byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	for _, send := range h.sends {
		send(flags)
	}
	h.sends = nil
}

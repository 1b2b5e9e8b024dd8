package loop

import (
	"math/bits"
	"sync"
)

// Large messages pass through buffers that are used again, for all connections: to make
// one for each costs more than to fill it.
const (
	leastBuffer = 64 << 10 // bytes
	// MostBuffer is the size of the largest.
	MostBuffer = 8 << 20
)

// kept has the buffers that are not in use: by size, which is leastBuffer times a power
// of two.
var kept [8]sync.Pool

// TakeBuffer returns an empty buffer for size bytes. Its memory may hold what others have
// written there.
func TakeBuffer(size int) []byte {
	if size > MostBuffer {
		return make([]byte, 0, size)
	}
	class := bits.Len(uint(max(size-1, 0) / leastBuffer))
	if b, ok := kept[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, leastBuffer<<class)
}

// GiveBuffer gives a buffer back that nobody looks at any more; those that TakeBuffer does
// not make are left to the garbage collector.
func GiveBuffer(b []byte) {
	size := cap(b)
	if size < leastBuffer || size > MostBuffer || size&(size-1) != 0 {
		return
	}
	whole := b[:0] // what escapes is this one, for nothing else
	kept[bits.Len(uint(size/leastBuffer))-1].Put(&whole)
}

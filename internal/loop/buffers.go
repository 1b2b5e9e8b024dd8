package loop

import "sync"

// Buffers are those of one size that are not in use. To make one for each large message
// costs more than to fill it.
type Buffers struct {
	Size int // in bytes
	pool sync.Pool
}

// Take returns an empty buffer for size bytes; one for more than Size is made for it.
func (b *Buffers) Take(size int) []byte {
	if size > b.Size {
		return make([]byte, 0, size)
	}
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return (*kept)[:0]
	}
	return make([]byte, 0, b.Size)
}

// Give gives a buffer back that nobody looks at any more; those of another size are left
// to the garbage collector.
func (b *Buffers) Give(buffer []byte) {
	if cap(buffer) == b.Size {
		kept := buffer // what escapes is this one, for nothing else
		b.pool.Put(&kept)
	}
}

package front

import "sync"

// wide is the size of the buffers that large requests are read into, in bytes. Still
// larger ones have buffers of their own.
const wide = 256 << 10

// wides are those that are not in use, for all connections: to make one for each request
// costs more than to fill it.
var wides sync.Pool

// takeWide returns an empty buffer for size bytes or more.
func takeWide(size int) []byte {
	if size > wide {
		return make([]byte, 0, size)
	}
	if b, ok := wides.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, wide)
}

// giveWide gives a buffer back that nobody looks at any more; others than wide ones are
// left to the garbage collector.
func giveWide(b []byte) {
	if cap(b) == wide {
		kept := b // what escapes is this one, for nothing else
		wides.Put(&kept)
	}
}

package loop

import "testing"

func TestBuffers(t *testing.T) {
	for _, size := range []int{0, 1, leastBuffer, leastBuffer + 1, 100_000, 6_000_000, MostBuffer, MostBuffer + 1} {
		b := TakeBuffer(size)
		if len(b) != 0 || cap(b) < size || cap(b) > max(2*size, leastBuffer) {
			t.Errorf("for %d bytes: %d of %d", size, len(b), cap(b))
		}
		GiveBuffer(append(b, "something"...))
		if again := TakeBuffer(size); len(again) != 0 || cap(again) != cap(b) {
			t.Errorf("again for %d bytes: %d of %d", size, len(again), cap(again))
		}
	}
	for _, size := range []int{0, 1, leastBuffer - 1, leastBuffer + 1, 3 * leastBuffer, 2 * MostBuffer} {
		GiveBuffer(make([]byte, size)) // none that TakeBuffer would give to anybody
	}
	for class, size := 0, leastBuffer; size <= MostBuffer; class, size = class+1, 2*size {
		for range 4 {
			if b, ok := kept[class].Get().(*[]byte); ok && cap(*b) != size {
				t.Errorf("a buffer of %d bytes among those of %d", cap(*b), size)
			}
		}
	}
}

package logs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Defaults of a Dir.
const (
	DefaultSegmentBytes = 4 << 20
	DefaultDirBytes     = 32 << 20
)

// Dir is a Sink of plain files: a directory per function, in it numbered segments that
// are only appended to; the oldest are deleted when there are too many. A segment is a
// row of frames: u32 size, u32 CRC-32C, batch (little-endian). What kill -9 or a full
// disk leaves of a last frame is ignored by readers and cut off before the next one is
// written. Nothing is synced: logs may lose their last moments when the machine fails.
type Dir struct {
	path         string
	segmentBytes int64
	keep         int // segments per function

	mu     sync.Mutex
	active map[string]*segment // the one each function writes to, once it has written
}

type segment struct {
	number int
	size   int64
}

var _ Sink = (*Dir)(nil)

// OpenDir makes a Dir of the directory, which it creates if need be. Each function may
// use perFunction bytes on disk; 0 means DefaultDirBytes.
func OpenDir(path string, perFunction int64) (*Dir, error) {
	if perFunction == 0 {
		perFunction = DefaultDirBytes
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	size := min(DefaultSegmentBytes, max(perFunction/8, 1))
	return &Dir{path: path, segmentBytes: size, keep: int(max(perFunction/size, 2)), active: map[string]*segment{}}, nil
}

const frameHead = 8

// maxBatch bounds what a reader believes of a frame's size.
const maxBatch = 16 << 20

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Append implements Sink.
func (d *Dir) Append(_ context.Context, function string, batch []byte) error {
	if len(batch) > maxBatch {
		return fmt.Errorf("log batch of %d bytes is larger than %d", len(batch), maxBatch)
	}
	s, err := d.writable(function)
	if err != nil {
		return fmt.Errorf("log segment of %s: %w", function, err)
	}
	frame := make([]byte, frameHead, frameHead+len(batch))
	binary.LittleEndian.PutUint32(frame, uint32(len(batch)))
	binary.LittleEndian.PutUint32(frame[4:], checksum(batch))
	if err := appendFile(d.segmentPath(function, s.number), append(frame, batch...)); err != nil {
		d.forget(function) // so that the torn frame is cut off before the next
		return fmt.Errorf("log segment of %s: %w", function, err)
	}
	s.size += int64(frameHead + len(batch))
	return nil
}

func appendFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// writable returns the segment to append to, a new one if the last is full.
func (d *Dir) writable(function string) (*segment, error) {
	d.mu.Lock()
	s := d.active[function]
	d.mu.Unlock()
	if s == nil {
		var err error
		if s, err = d.resume(function); err != nil {
			return nil, err
		}
	}
	if s.size >= d.segmentBytes {
		s = &segment{number: s.number + 1}
		if err := d.prune(function, s.number); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	d.active[function] = s
	d.mu.Unlock()
	return s, nil
}

// resume finds the segment that an earlier process wrote last and cuts a torn end off.
func (d *Dir) resume(function string) (*segment, error) {
	if err := os.MkdirAll(d.functionPath(function), 0o700); err != nil {
		return nil, err
	}
	numbers, err := d.segments(function)
	if err != nil || len(numbers) == 0 {
		return &segment{number: 1}, err
	}
	last := numbers[len(numbers)-1]
	path := d.segmentPath(function, last)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, size := frames(b)
	if size < len(b) {
		if err := os.Truncate(path, int64(size)); err != nil {
			return nil, err
		}
	}
	return &segment{number: last, size: int64(size)}, nil
}

// prune deletes segments so that, with the one that is about to be written, no more
// than keep are left.
func (d *Dir) prune(function string, next int) error {
	numbers, err := d.segments(function)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n <= next-d.keep {
			if err := os.Remove(d.segmentPath(function, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (d *Dir) forget(function string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.active, function)
}

// Load implements Sink. It reads one segment at a time.
func (d *Dir) Load(function string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		numbers, err := d.segments(function)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, n := range slices.Backward(numbers) {
			b, err := os.ReadFile(d.segmentPath(function, n))
			if errors.Is(err, fs.ErrNotExist) {
				break // pruned meanwhile
			}
			if err != nil {
				yield(nil, err)
				return
			}
			batches, _ := frames(b)
			for _, batch := range slices.Backward(batches) {
				if !yield(batch, nil) {
					return
				}
			}
		}
		if len(numbers) > 0 && numbers[0] > 1 {
			yield(nil, ErrDropped)
		}
	}
}

// frames splits a segment into its batches, up to the first frame that is not whole,
// and tells how many bytes were good.
func frames(b []byte) (batches [][]byte, good int) {
	for {
		rest := b[good:]
		if len(rest) < frameHead {
			return batches, good
		}
		size := int(binary.LittleEndian.Uint32(rest))
		if size > maxBatch || size > len(rest)-frameHead {
			return batches, good
		}
		batch := rest[frameHead : frameHead+size : frameHead+size]
		if checksum(batch) != binary.LittleEndian.Uint32(rest[4:]) {
			return batches, good
		}
		batches = append(batches, batch)
		good += frameHead + size
	}
}

// Functions implements Sink.
func (d *Dir) Functions() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), "fn-"); ok && e.IsDir() {
			if name, err := url.PathUnescape(name); err == nil {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// Drop implements Sink.
func (d *Dir) Drop(function string) error {
	d.forget(function)
	if err := os.RemoveAll(d.functionPath(function)); err != nil {
		return fmt.Errorf("logs of %s: %w", function, err)
	}
	return nil
}

// functionPath is where a function's segments are. The prefix keeps names such as ".."
// harmless.
func (d *Dir) functionPath(function string) string {
	return filepath.Join(d.path, "fn-"+url.PathEscape(function))
}

func (d *Dir) segmentPath(function string, number int) string {
	return filepath.Join(d.functionPath(function), fmt.Sprintf("%08d.log", number))
}

// segments lists the numbers of a function's segments, oldest first.
func (d *Dir) segments(function string) ([]int, error) {
	entries, err := os.ReadDir(d.functionPath(function))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%d.log", &n); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

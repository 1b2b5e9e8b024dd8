package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	indexMagic = "hearth-index-1"
	indexEntry = 8        // bytes per message: a hash of its event's id, 0 when it is gone
	indexBlock = 64 << 10 // bytes that are read, or given back to the disk, at once
	// indexFresh bytes at the end are never given back: somebody may be about to write.
	indexFresh = 1 << 20
)

// Index tells which message of a queue is that of an event. It is a sparse file with
// eight bytes per message, at a place that follows from the message's number, so that
// writing is one small copy into the page cache, and neither memory nor the file grows
// with anything but what the queue holds: a million events are 8 MB of disk. Looking
// an id up reads all of that, some milliseconds.
//
// Like the ledger it outlives its process. After a power cut it is to be made anew: see
// OpenIndex. Its methods may be called from many goroutines.
type Index struct{ file *os.File }

// OpenIndex opens the file and makes it if need be. Complete is false when it may miss
// messages that are in the queue: it is new, or the machine has stopped while it was
// open. Then the caller should Put all messages, and say Complete.
func OpenIndex(path string) (x *Index, complete bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("ledger: %w", err)
	}
	boot := bootID()
	complete = trusted(f, indexMagic)
	if !complete {
		boot = "" // nobody trusts it before Complete
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(header(indexMagic, boot), 0)
	}
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("ledger: %w", err)
	}
	return &Index{file: f}, complete, nil
}

// Doubt notes that messages may be missing, also for those who open the file later.
func (x *Index) Doubt() error { return x.head("") }

// Complete notes that all messages of the queue were put.
func (x *Index) Complete() error { return x.head(bootID()) }

func (x *Index) head(boot string) error {
	if _, err := x.file.WriteAt(header(indexMagic, boot), 0); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Close syncs and closes the file.
func (x *Index) Close() error {
	err := x.file.Sync()
	if err == nil && trusted(x.file, indexMagic) {
		_, err = x.file.WriteAt(header(indexMagic, closedBoot), 0)
	}
	return errors.Join(err, x.file.Close())
}

func place64(seq uint64) int64 { return headerSize + int64(seq)*indexEntry }

// keyOf is a hash of the id that is not 0.
func keyOf(id string) uint64 { return max(hashOf(id), 1) }

// Put notes that message seq is that of the event.
func (x *Index) Put(seq uint64, id string) error { return x.set(seq, keyOf(id)) }

// Remove notes that message seq is gone. It is no error if it was not known.
func (x *Index) Remove(seq uint64) error { return x.set(seq, 0) }

func (x *Index) set(seq, key uint64) error {
	var entry [indexEntry]byte
	binary.LittleEndian.PutUint64(entry[:], key)
	if _, err := x.file.WriteAt(entry[:], place64(seq)); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Find asks is about each message that may be that of the event, in the order of their
// numbers, until it says yes or fails. Most of the time there is one.
func (x *Index) Find(id string, is func(seq uint64) (bool, error)) (found bool, err error) {
	key := keyOf(id)
	err = x.walk(func(at int64, block []byte) (bool, error) {
		for i := 0; i+indexEntry <= len(block); i += indexEntry {
			if binary.LittleEndian.Uint64(block[i:]) != key {
				continue
			}
			yes, err := is(uint64(at+int64(i)-headerSize) / indexEntry)
			if yes || err != nil {
				found = yes
				return false, err
			}
		}
		return true, nil
	})
	return found, err
}

// walk reads what the file has, block by block, and leaves out its holes.
func (x *Index) walk(visit func(at int64, block []byte) (more bool, err error)) error {
	buf := make([]byte, indexBlock)
	for at := int64(headerSize); ; {
		data, err := unix.Seek(int(x.file.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole is left
		}
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		at = max(at, data-data%indexEntry)
		n, err := x.file.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("ledger: %w", err)
		}
		if n < indexEntry {
			return nil
		}
		if more, err := visit(at, buf[:n]); !more || err != nil {
			return err
		}
		at += indexBlock
	}
}

// Trim gives the room of messages before first, and of blocks in which none is left,
// back to the disk. It does nothing where the file system cannot do that.
func (x *Index) Trim(first uint64) error {
	if err := x.punch(headerSize, place64(first)); err != nil {
		return err
	}
	info, err := x.file.Stat()
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return x.walk(func(at int64, block []byte) (bool, error) {
		end := at + int64(len(block))
		if end > info.Size()-indexFresh {
			return false, nil
		}
		if bytes.Count(block, []byte{0}) < len(block) {
			return true, nil
		}
		return true, x.punch(at, end)
	})
}

// punch makes a hole of the whole pages between two places.
func (x *Index) punch(from, to int64) error {
	from, to = (from+headerSize-1)/headerSize*headerSize, to/headerSize*headerSize
	if to <= from {
		return nil
	}
	err := unix.Fallocate(int(x.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

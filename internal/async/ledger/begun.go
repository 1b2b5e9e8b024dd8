package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	begunMagic = "hearth-begun-1"
	begunEntry = 24 // checksum, four bytes of nothing, message number, hash of the id
	// begunSyncPause is how long an entry may wait for company before it is synced.
	begunSyncPause = 5 * time.Millisecond
)

// Mark is an attempt that has begun: the number of its message, and a hash of its id.
type Mark struct{ Seq, Key uint64 }

// MarkOf is the mark of an attempt.
func MarkOf(seq uint64, id string) Mark { return Mark{seq, keyOf(id)} }

// Begun notes which attempts are under way, so that the next process knows what was
// under way when this one died: the cause of the death may be among it. A note is in
// the page cache before its attempt begins, and so outlives the process; it is synced
// some milliseconds later, and from then on outlives the machine. Nobody waits for that.
//
// Its methods may be called from many goroutines.
type Begun struct {
	file *os.File
	kick chan struct{}
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	slots map[Mark]int
	free  []int
	size  int
}

// OpenBegun opens the file and makes it if need be. Found are the attempts that were
// under way when it was last used; they stay noted until End is called for them.
func OpenBegun(path string) (b *Begun, found []Mark, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("ledger: %w", err)
	}
	b = &Begun{file: f, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), slots: map[Mark]int{}}
	found, err = b.read()
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("ledger: %w", err)
	}
	go b.sync()
	return b, found, nil
}

func (b *Begun) read() (found []Mark, err error) {
	text, err := os.ReadFile(b.file.Name())
	if err != nil {
		return nil, err
	}
	if len(text) < headerSize || string(text[:len(begunMagic)]) != begunMagic {
		if err := b.file.Truncate(0); err != nil {
			return nil, err
		}
		head := make([]byte, headerSize)
		copy(head, begunMagic)
		_, err := b.file.WriteAt(head, 0)
		return nil, err
	}
	for text = text[headerSize:]; len(text) >= begunEntry; text = text[begunEntry:] {
		slot := b.size
		b.size++
		m := Mark{binary.LittleEndian.Uint64(text[8:]), binary.LittleEndian.Uint64(text[16:])}
		_, twice := b.slots[m]
		if m.Key == 0 || twice || crc32.ChecksumIEEE(text[4:begunEntry]) != binary.LittleEndian.Uint32(text) {
			b.free = append(b.free, slot)
			continue
		}
		b.slots[m] = slot
		found = append(found, m)
	}
	return found, nil
}

// Begin notes an attempt.
func (b *Begun) Begin(m Mark) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot, known := b.slots[m]
	if !known {
		if n := len(b.free); n > 0 {
			slot, b.free = b.free[n-1], b.free[:n-1]
		} else {
			slot = b.size
			b.size++
		}
		b.slots[m] = slot
	}
	err := b.writeLocked(slot, m)
	select {
	case b.kick <- struct{}{}:
	default:
	}
	return err
}

// End notes that an attempt is over. It is no error if it was not noted.
func (b *Begun) End(m Mark) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot, known := b.slots[m]
	if !known {
		return nil
	}
	delete(b.slots, m)
	b.free = append(b.free, slot)
	return b.writeLocked(slot, Mark{}) // need not be synced: its message is gone or moved
}

func (b *Begun) writeLocked(slot int, m Mark) error {
	var entry [begunEntry]byte
	binary.LittleEndian.PutUint64(entry[8:], m.Seq)
	binary.LittleEndian.PutUint64(entry[16:], m.Key)
	binary.LittleEndian.PutUint32(entry[:], crc32.ChecksumIEEE(entry[4:]))
	if _, err := b.file.WriteAt(entry[:], headerSize+int64(slot)*begunEntry); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// sync syncs what has begun, soon after.
func (b *Begun) sync() {
	defer close(b.done)
	for {
		select {
		case <-b.kick:
		case <-b.stop:
			return
		}
		select {
		case <-time.After(begunSyncPause):
		case <-b.stop:
			return
		}
		_ = unix.Fdatasync(int(b.file.Fd())) // without, it is still in the page cache
	}
}

// Close closes the file.
func (b *Begun) Close() error {
	close(b.stop)
	<-b.done
	return errors.Join(b.file.Sync(), b.file.Close())
}

// Package ledger keeps the status of recent events in one file of fixed size. It is a
// hash table on disk: memory does not grow, and a write costs a few microseconds and
// no sync. So it outlives the process, not a power cut; what it says is for people,
// and nothing else is decided by it.
package ledger

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"os"
	"sync"
	"unicode/utf8"

	"hearth/internal/hearth"
)

// Layout of the file: buckets of one page each, with eight entries of 512 bytes. An
// entry is a checksum of the rest, the length of its text, whether the event has ended,
// when it last changed, a hash of its id, and the status as JSON.
const (
	entrySize  = 512
	perBucket  = 8
	bucketSize = entrySize * perBucket
	headSize   = 24
	locks      = 64
)

// Buckets of a ledger: it keeps the last 100,000 events or so, in at most 64 MiB.
const Buckets = 16384

// ErrNotFound: the ledger does not know the event, or does not know it any more.
var ErrNotFound = errors.New("ledger: unknown event")

// Ledger is an open file. Its methods may be called from many goroutines.
type Ledger struct {
	file  *os.File
	locks [locks]sync.Mutex
}

// Open opens the file and makes it if need be.
func Open(path string) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if err := f.Truncate(Buckets * bucketSize); err != nil { // sparse: it takes no room yet
		f.Close()
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &Ledger{file: f}, nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

func hashOf(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

func bucketOf(id string) int64 { return int64(hashOf(id) % Buckets) }

// Put keeps the status under its id, unless what is there is a later one of the same
// event: those who write do not wait for each other. It takes the place of an older
// event when there is no other: one that has ended if possible.
func (l *Ledger) Put(s *hearth.EventStatus) error {
	entry, err := encode(s)
	if err != nil {
		return err
	}
	bucket := bucketOf(s.ID)
	lock := &l.locks[bucket%locks]
	lock.Lock()
	defer lock.Unlock()
	var page [bucketSize]byte
	if _, err := l.file.ReadAt(page[:], bucket*bucketSize); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	slot, known := place(&page, s.ID)
	if known != nil && earlier(s, known) {
		return nil
	}
	if _, err := l.file.WriteAt(entry[:], bucket*bucketSize+int64(slot*entrySize)); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// earlier tells whether a comes before b in the life of an event. A replayed event has
// a new life, which begins when it is accepted. Times are compared in milliseconds:
// that is what is left of them on disk.
func earlier(a, b *hearth.EventStatus) bool {
	return cmp.Or(
		cmp.Compare(a.Accepted.UnixMilli(), b.Accepted.UnixMilli()),
		cmp.Compare(a.Attempt, b.Attempt),
		cmp.Compare(rank(a.State), rank(b.State)),
	) < 0
}

// rank orders the states that follow each other with the same number of attempts.
func rank(state hearth.EventState) int {
	switch state {
	case hearth.EventRetrying: // before it is queued again
		return 0
	case hearth.EventQueued:
		return 1
	case hearth.EventRunning:
		return 2
	}
	return 3
}

// place chooses the entry for id: its own, with what it says, an empty one, or the one
// missed least.
func place(page *[bucketSize]byte, id string) (slot int, known *hearth.EventStatus) {
	best, bestAge, bestEnded := 0, int64(0), false
	for i := range perBucket {
		entry := page[i*entrySize : (i+1)*entrySize]
		ended, age := true, int64(0)
		if _, ok := textOf(entry); ok {
			if s, ok := decode(entry, id); ok {
				return i, &s
			}
			ended, age = entry[6] != 0, int64(binary.LittleEndian.Uint64(entry[8:]))
		}
		if i == 0 || ended && !bestEnded || ended == bestEnded && age < bestAge {
			best, bestAge, bestEnded = i, age, ended
		}
	}
	return best, nil
}

// textOf is an entry's JSON; false if the entry is empty or broken.
func textOf(entry []byte) ([]byte, bool) {
	n := int(binary.LittleEndian.Uint16(entry[4:]))
	if n == 0 || n > entrySize-headSize || binary.LittleEndian.Uint32(entry) != crc32.ChecksumIEEE(entry[4:headSize+n]) {
		return nil, false
	}
	return entry[headSize : headSize+n], true
}

// Get returns the latest that was put under id.
func (l *Ledger) Get(id string) (hearth.EventStatus, error) {
	bucket := bucketOf(id)
	lock := &l.locks[bucket%locks]
	lock.Lock()
	defer lock.Unlock()
	var page [bucketSize]byte
	if _, err := l.file.ReadAt(page[:], bucket*bucketSize); err != nil {
		return hearth.EventStatus{}, fmt.Errorf("ledger: %w", err)
	}
	for i := range perBucket {
		if s, ok := decode(page[i*entrySize:(i+1)*entrySize], id); ok {
			return s, nil
		}
	}
	return hearth.EventStatus{}, ErrNotFound
}

// encode shortens the error until the status fits.
func encode(s *hearth.EventStatus) (entry [entrySize]byte, err error) {
	short := *s
	for {
		text, err := json.Marshal(&short)
		if err != nil {
			return entry, fmt.Errorf("ledger: %w", err)
		}
		over := len(text) - (entrySize - headSize)
		switch {
		case over <= 0:
			copy(entry[headSize:], text)
			if s.State == hearth.EventSucceeded || s.State == hearth.EventDead {
				entry[6] = 1
			}
			binary.LittleEndian.PutUint64(entry[8:], uint64(s.Changed.UnixNano()))
			binary.LittleEndian.PutUint64(entry[16:], hashOf(s.ID))
			binary.LittleEndian.PutUint16(entry[4:], uint16(len(text)))
			binary.LittleEndian.PutUint32(entry[:], crc32.ChecksumIEEE(entry[4:headSize+len(text)]))
			return entry, nil
		case short.Error != "":
			short.Error = cut(short.Error, len(short.Error)-max(over, 8))
		case short.Qualifier != "":
			short.Qualifier = ""
		default:
			return entry, fmt.Errorf("ledger: the status of %q is too long", s.ID)
		}
	}
}

// cut shortens s to at most n bytes, at the end of a character.
func cut(s string, n int) string {
	n = max(n, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// decode reads the entry if it is that of the id; hashes alone may agree by chance.
func decode(entry []byte, id string) (s hearth.EventStatus, ok bool) {
	text, ok := textOf(entry)
	if !ok || binary.LittleEndian.Uint64(entry[16:]) != hashOf(id) {
		return s, false
	}
	return s, json.Unmarshal(text, &s) == nil && s.ID == id
}

package hearth

import "time"

// Restored tells what a restore has put back.
type Restored struct {
	Version   string    `json:"version"` // of the Hearth that wrote the backup
	Created   time.Time `json:"created"` // when the backup was begun
	Functions int       `json:"functions"`
	Messages  uint64    `json:"messages"` // queued events, retries and dead letters that have not gone yet
}

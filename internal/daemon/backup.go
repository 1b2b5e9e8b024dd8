package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"hearth/internal/api"
	"hearth/internal/hearth"
	"hearth/internal/registry"
	"hearth/internal/store"
	backupfile "hearth/internal/store/archive"
)

// backups makes backups of the store and puts them back.
type backups struct {
	store    *store.Store
	registry *registry.Registry
	reindex  func()                  // called when the queues have been replaced
	hold     func() (release func()) // keeps schedules still while they are replaced
	dir      string                  // for files that are being received
	version  string
	log      *slog.Logger

	ctx    context.Context // ends with the platform
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	busy   bool // a backup or restore is under way
	upload *upload
}

// upload is a file that is being received.
type upload struct {
	id   string
	file *os.File
	size int64
}

var _ api.Backups = (*backups)(nil)

// uploadPattern names files that are being received.
const uploadPattern = "restore-*.part"

func (p *Platform) openBackups(context.Context) error {
	b := &backups{store: p.store, registry: p.registry, reindex: p.async.Reindex, hold: p.triggers.schedules.Hold, dir: p.cfg.DataDir, version: p.cfg.Version, log: p.cfg.Log}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	old, err := filepath.Glob(filepath.Join(b.dir, uploadPattern))
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an unfinished upload: %w", err)
		}
	}
	p.backups = b
	p.onStop("backups", func(context.Context) error {
		b.cancel()
		b.tasks.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.discardLocked()
		return nil
	})
	return nil
}

// begin makes the caller the only one at work.
func (b *backups) begin() (end func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy {
		return nil, hearth.Errorf(hearth.ErrConflict, "A backup or a restore is under way. Try again when it has ended.")
	}
	if b.ctx.Err() != nil {
		return nil, hearth.Errorf(hearth.ErrShuttingDown, "the platform is shutting down")
	}
	b.busy = true
	b.tasks.Add(1)
	return func() {
		b.mu.Lock()
		b.busy = false
		b.mu.Unlock()
		b.tasks.Done()
	}, nil
}

// Backup implements api.Backups.
func (b *backups) Backup() (io.ReadCloser, error) {
	end, err := b.begin()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer end()
		defer stop()
		err := b.write(ctx, w)
		if err != nil && ctx.Err() == nil {
			b.log.Error("backup failed", "error", err)
		}
		w.CloseWithError(err) // nil is io.EOF
	}()
	return &backupReader{r, func() { cancel(); <-done }}, nil
}

// backupReader ends the writing when it is closed.
type backupReader struct {
	*io.PipeReader
	end func()
}

// Close implements io.Closer.
func (r *backupReader) Close() error {
	r.end()
	return r.PipeReader.Close()
}

func (b *backups) write(ctx context.Context, w io.Writer) error {
	release := b.registry.HoldCode()
	defer release()
	a, err := backupfile.NewWriter(w, b.version, time.Now())
	if err != nil {
		return err
	}
	if err := b.store.Backup(ctx, a); err != nil {
		return err
	}
	return a.Close()
}

// Receive implements api.Backups.
func (b *backups) Receive(id string, offset int64, piece []byte) (string, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy {
		return "", 0, hearth.Errorf(hearth.ErrConflict, "A backup or a restore is under way. Try again when it has ended.")
	}
	if id == "" && offset == 0 {
		b.discardLocked()
		file, err := os.CreateTemp(b.dir, uploadPattern)
		if err != nil {
			return "", 0, receiveError(err)
		}
		b.upload = &upload{id: hearth.NewRequestID(), file: file}
	}
	u := b.upload
	switch {
	case u == nil || id != "" && u.id != id:
		return "", 0, hearth.Errorf(hearth.ErrConflict, "There is no such upload: another has begun since, or the platform was restarted. Begin again.")
	case offset != u.size:
		return "", 0, hearth.Errorf(hearth.ErrConflict, "The upload has %d bytes, and this piece begins at %d.", u.size, offset)
	}
	if _, err := u.file.WriteAt(piece, offset); err != nil {
		b.discardLocked()
		return "", 0, receiveError(err)
	}
	u.size += int64(len(piece))
	return u.id, u.size, nil
}

func receiveError(err error) error {
	return hearth.Errorf(hearth.ErrCapacity, "The backup cannot be received: %v. Nothing was restored.", err).WithCause(err)
}

func (b *backups) discardLocked() {
	if b.upload == nil {
		return
	}
	b.upload.file.Close()
	if err := os.Remove(b.upload.file.Name()); err != nil {
		b.log.Warn("cannot remove an upload", "error", err)
	}
	b.upload = nil
}

// Restore implements api.Backups.
func (b *backups) Restore(id string, force bool) (hearth.Restored, error) {
	end, err := b.begin()
	if err != nil {
		return hearth.Restored{}, err
	}
	defer end()
	b.mu.Lock()
	u := b.upload
	if u == nil || u.id != id {
		b.mu.Unlock()
		return hearth.Restored{}, hearth.Errorf(hearth.ErrConflict, "There is no such upload. Begin again.")
	}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.discardLocked()
	}()
	if !force {
		if err := b.refuseUnlessEmpty(); err != nil {
			return hearth.Restored{}, err
		}
	}
	return b.restore(u.file)
}

func (b *backups) refuseUnlessEmpty() error {
	n, err := b.store.Messages(b.ctx)
	if err != nil {
		return hearth.Errorf(hearth.ErrInternal, "The queues cannot be read. Nothing was restored.").WithCause(err)
	}
	if functions := b.registry.Len(); functions > 0 || n > 0 {
		return hearth.Errorf(hearth.ErrConflict, "The platform is not empty: it has %d functions and %d queued events or dead letters. "+
			"Nothing was restored. To replace all of that: hearth restore --force, or ?force=1.", functions, n)
	}
	return nil
}

func (b *backups) restore(file io.ReadSeeker) (hearth.Restored, error) {
	release := b.registry.HoldCode()
	defer release()
	defer b.hold()()
	m, err := b.store.Restore(b.ctx, store.Restore{File: file, TablesRestored: func(ctx context.Context, revisions map[string]uint64) error {
		return b.registry.Heard(ctx, revisions[registry.TableName])
	}})
	b.reindex()
	if err != nil {
		b.log.Error("restore failed", "error", err)
		return hearth.Restored{}, restoreError(err)
	}
	messages, err := b.store.Messages(b.ctx)
	if err != nil {
		b.log.Warn("cannot count what was restored", "error", err)
	}
	b.log.Info("restored a backup", "written by", m.Version, "created", m.Created)
	return hearth.Restored{Version: m.Version, Created: m.Created, Functions: b.registry.Len(), Messages: messages}, nil
}

// restoreError says what state things are in.
func restoreError(err error) error {
	var partly *store.PartlyRestoredError
	code, state := hearth.ErrInternal, "Nothing was restored, and nothing has changed."
	switch {
	case errors.Is(err, backupfile.ErrDamaged), errors.Is(err, backupfile.ErrNewer):
		code = hearth.ErrInvalid
	case errors.Is(err, store.ErrFull):
		code = hearth.ErrCapacity
	}
	if errors.As(err, &partly) {
		state = "The file is good, but only a part of it was restored: what the platform has now is neither the old nor the new. " +
			"Remove the cause, then restore the same file again with --force."
	}
	return hearth.Errorf(code, "The restore failed: %v. %s", err, state).WithCause(err)
}

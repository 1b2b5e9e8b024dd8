package api

import (
	"io"
	"net"
	"time"

	"hearth/internal/hearth"
)

const restorePath = "/hearth/v1/restore"

// Backups makes backups and puts them back. Errors are *hearth.Error.
type Backups interface {
	// Backup begins a backup. Reading it to io.EOF yields a whole one; the caller closes
	// it in any case, which blocks until the backup has ended.
	Backup() (io.ReadCloser, error)
	// Receive adds a piece to an upload, or begins one if id is "" and offset 0. It
	// returns the upload's id and how many bytes it has.
	Receive(id string, offset int64, piece []byte) (string, int64, error)
	// Restore replaces the platform's state by what was uploaded. Unless force is set
	// it refuses if there is any. It blocks until that is done, and ends the upload.
	Restore(id string, force bool) (hearth.Restored, error)
}

// noBackups stands for Backups where there are none.
type noBackups struct{}

var _ Backups = noBackups{}

func errNoBackups() error {
	return hearth.Errorf(hearth.ErrNotImplemented, "This node makes no backups.")
}

func (noBackups) Backup() (io.ReadCloser, error) { return nil, errNoBackups() }

func (noBackups) Receive(string, int64, []byte) (string, int64, error) { return "", 0, errNoBackups() }

func (noBackups) Restore(string, bool) (hearth.Restored, error) {
	return hearth.Restored{}, errNoBackups()
}

// backup sends a backup. If it fails on the way the connection breaks off, and the file
// has no manifest.
func (s *Server) backup(r *request) error {
	if r.ctx.IsHead() {
		return nil
	}
	file, err := s.deps.Backups.Backup()
	if err != nil {
		return err
	}
	r.ctx.SetContentType("application/gzip")
	r.ctx.Response.Header.Set("Content-Disposition", `attachment; filename="hearth-backup-`+s.now().UTC().Format("20060102T150405Z")+`.tar.gz"`)
	r.ctx.SetBodyStream(&backupBody{file, r.ctx.Conn(), s.cfg.WriteTimeout}, -1)
	return nil
}

// backupBody gives each piece the time that an answer has.
type backupBody struct {
	io.ReadCloser
	conn    net.Conn
	timeout time.Duration
}

// Read implements io.Reader.
func (b *backupBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errDeadline := b.conn.SetWriteDeadline(time.Now().Add(b.timeout)); err == nil {
		err = errDeadline
	}
	return n, err
}

// restore takes a backup, whole or in pieces: those before the last say more=1.
func (s *Server) restore(r *request) error {
	force, err := parseFlag("force", r.query.get("force"))
	if err != nil {
		return err
	}
	more, err := parseFlag("more", r.query.get("more"))
	if err != nil {
		return err
	}
	offset, err := parseNumber("offset", r.query.get("offset"))
	if err != nil {
		return err
	}
	id, size, err := s.deps.Backups.Receive(r.query.get("upload"), int64(offset), r.ctx.PostBody())
	if err != nil {
		return err
	}
	if more {
		s.writeLine(r.ctx, 200, map[string]any{"upload": id, "received": size})
		return nil
	}
	restored, err := s.deps.Backups.Restore(id, force)
	if err != nil {
		return err
	}
	s.writeLine(r.ctx, 200, restored)
	return nil
}

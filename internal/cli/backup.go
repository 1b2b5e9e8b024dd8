package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"hearth/internal/cli/screen"
	"hearth/internal/hearth"
	"hearth/internal/store/archive"
)

// pieceBytes is how much of a backup is uploaded at once.
const pieceBytes = 8 << 20

// progressEvery is how often a terminal is told how far things are.
const progressEvery = 200 * time.Millisecond

func (a *app) backupCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the platform while it runs",
		Long: `Write the state of the platform to one file: functions with their versions, aliases and
code, events that are queued or wait for a retry, dead letters, and when schedules are
due. Messages of NATS subjects are not in it. The platform goes on meanwhile.
The file is checked as it arrives and has its name only when it is whole and on disk.
FILE may be "-", for the standard output.`,
		Example: `  hearth backup hearth.tar.gz
  hearth backup - | ssh elsewhere 'cat > hearth.tar.gz'`,
		Args: exactlyOne("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); args[0] != "-" && err == nil && !force && !a.mayReplace(args[0]) {
				return usagef("%s exists already; to replace it: hearth backup --force %s", args[0], args[0])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			resp, err := c.do(cmd.Context(), http.MethodGet, "/hearth/v1/backup", nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body := &progress{r: resp.Body, a: a, what: "received"}
			if args[0] == "-" {
				_, err := a.receive(c, body, a.Stdout)
				return err
			}
			return a.saveBackup(c, body, args[0])
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace FILE if it exists")
	return cmd
}

// mayReplace asks on a terminal; where nobody could answer, it is a no.
func (a *app) mayReplace(file string) bool {
	return a.stdinTTY && a.err.TTY && a.confirm("Replace "+file+"?")
}

// receive copies a backup to w and checks it on the way.
func (a *app) receive(c *client, body *progress, w io.Writer) (*archive.Manifest, error) {
	defer body.end()
	copied := &copying{r: body, w: w}
	m, err := archive.Read(copied, nil)
	switch {
	case copied.err != nil:
		return nil, platformf("the backup cannot be written: %v", copied.err)
	case errors.Is(err, archive.ErrDamaged), body.err != nil:
		return nil, platformf("the backup broke off; the log of the platform at %s says why (%v)", c.base, err)
	}
	return m, err
}

// copying gives w what is read.
type copying struct {
	r   io.Reader
	w   io.Writer
	err error // of w
}

func (c *copying) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		if _, c.err = c.w.Write(p[:n]); c.err != nil {
			return n, c.err
		}
	}
	return n, err
}

func (a *app) saveBackup(c *client, body *progress, name string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return usagef("cannot write beside %s: %v", name, err)
	}
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	m, err := a.receive(c, body, file)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close(), os.Rename(file.Name(), name)); err != nil {
		return platformf("cannot finish %s: %v", name, err)
	}
	if dir, errDir := os.Open(filepath.Dir(name)); errDir == nil {
		_ = dir.Sync() // the name; some file systems cannot
		dir.Close()
	}
	if a.json() {
		return a.printJSON(m)
	}
	fmt.Fprintf(a.out, "%s: %s, written by Hearth %s\n", name, screen.Bytes(body.n), m.Version)
	return nil
}

func (a *app) restoreCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup back",
		Long: `Put back what "hearth backup" has written. The file is checked first, and a damaged one
changes nothing. A platform that has functions, queued events or dead letters refuses,
unless --force says to replace all of them. No restart is needed.

Events may run twice: those that ended after the backup was made run again.
FILE may be "-", for the standard input.`,
		Example: `  hearth restore hearth.tar.gz
  hearth restore --force hearth.tar.gz`,
		Args: exactlyOne("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in := a.Stdin
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if errors.Is(err, fs.ErrNotExist) {
					return usagef("there is no file %s", args[0])
				}
				if err != nil {
					return usagef("cannot read %s: %v", args[0], err)
				}
				defer file.Close()
				if _, err := archive.Read(bufio.NewReader(file), nil); err != nil {
					return usagef("%s: %v. Nothing was restored", args[0], err)
				}
				if _, err := file.Seek(0, io.SeekStart); err != nil {
					return usagef("cannot read %s: %v", args[0], err)
				}
				in = file
			}
			if force && !a.confirm("Replace all functions, events and dead letters of "+c.base+"?") {
				return usagef("nothing was restored")
			}
			return a.restoreFrom(cmd.Context(), c, in, force)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace what the platform has")
	return cmd
}

func (a *app) restoreFrom(ctx context.Context, c *client, in io.Reader, force bool) error {
	body := &progress{r: in, a: a, what: "sent"}
	text, err := c.upload(ctx, body, force)
	body.end()
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(json.RawMessage(text))
	}
	var done hearth.Restored
	if err := json.Unmarshal(text, &done); err != nil {
		return platformf("the platform at %s restored the backup, but what it says of it cannot be read: %v", c.base, err)
	}
	fmt.Fprintf(a.out, "restored the backup of %s: %d functions, %d queued events and dead letters\n",
		done.Created.UTC().Format(time.RFC3339), done.Functions, done.Messages)
	return nil
}

// upload sends a backup in pieces; the last one restores it.
func (c *client) upload(ctx context.Context, in io.Reader, force bool) (answer []byte, err error) {
	buf := bufio.NewReaderSize(in, 64<<10)
	piece := make([]byte, pieceBytes)
	id, offset, forced := "", int64(0), ""
	if force {
		forced = "1"
	}
	for {
		n, err := io.ReadFull(buf, piece)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, usagef("cannot read the backup: %v", err)
		}
		more := ""
		if _, err := buf.Peek(1); err == nil {
			more = "1"
		} else if err != io.EOF {
			return nil, usagef("cannot read the backup: %v", err)
		}
		path := "/hearth/v1/restore" + query("upload", id, "offset", strconv.FormatInt(offset, 10), "more", more, "force", forced)
		resp, err := c.do(ctx, http.MethodPost, path, piece[:n], http.Header{"Content-Type": {"application/gzip"}})
		if err != nil {
			return nil, err
		}
		answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
		resp.Body.Close()
		if err != nil {
			return nil, transportError(c.base, err)
		}
		if more == "" {
			return answer, nil
		}
		var got struct {
			Upload string `json:"upload"`
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			return nil, c.stranger(resp, answer)
		}
		id, offset = got.Upload, offset+int64(n)
	}
}

// progress tells a terminal how much has been read.
type progress struct {
	r     io.Reader
	a     *app
	what  string
	n     int64
	err   error // of r
	shown time.Time
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if err != nil && err != io.EOF {
		p.err = err
	}
	if now := time.Now(); p.a.err.TTY && now.Sub(p.shown) >= progressEvery {
		p.shown = now
		fmt.Fprintf(p.a.err, "\r%s %s ", screen.Bytes(p.n), p.what)
	}
	return n, err
}

// end removes the line.
func (p *progress) end() {
	if !p.shown.IsZero() {
		fmt.Fprint(p.a.err, "\r\x1b[K")
	}
}

package cli

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hearth/internal/cli/screen"
)

// watchEvery is how often the folder is looked at. Walking it needs no help of the
// system's, and works on every file system.
const watchEvery = 300 * time.Millisecond

// stamp is what a file was when it was last looked at.
type stamp struct {
	size     int64
	modified time.Time
	mode     fs.FileMode
}

// watchFolder deploys anew after every change since the folder was as before, until ctx
// ends. A folder that cannot be deployed leaves what runs as it is.
func (r *runner) watchFolder(ctx context.Context, before map[string]stamp) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		after := snapshot(r.dir)
		changed := difference(before, after)
		if len(changed) == 0 {
			continue
		}
		before = after
		r.say(r.out.Paint(screen.Dim, "changed: "+few(changed)))
		p, err := r.plan(ctx)
		if err == nil {
			err = r.put(ctx, p, "deployed")
		}
		if err != nil && ctx.Err() == nil {
			r.say(fmt.Sprintf("%s %v", r.out.Paint(screen.BoldRed, "hearth:"), err))
		}
	}
}

// snapshot looks at all files that a function could be made of. Installed packages
// and what tools keep for themselves do not count.
func snapshot(dir string) map[string]stamp {
	files := map[string]stamp{}
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile: the next look will tell
		}
		if d.IsDir() && name != dir && slices.Contains([]string{"node_modules", ".git", ".hearth", ".serverless", "__pycache__"}, d.Name()) {
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			relative, err := filepath.Rel(dir, name)
			if err != nil {
				relative = name
			}
			files[relative] = stamp{info.Size(), info.ModTime(), info.Mode()}
		}
		return nil
	})
	return files
}

// difference lists the files that were added, changed or removed, sorted.
func difference(before, after map[string]stamp) []string {
	all := map[string]bool{}
	for name, s := range before {
		if after[name] != s {
			all[name] = true
		}
	}
	for name, s := range after {
		if before[name] != s {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

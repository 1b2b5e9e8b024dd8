package network

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// reaper removes interfaces, as many at once as there are. Each removal holds the
// kernel's one network lock for milliseconds while nobody can make an interface; a
// hundred in one request hold it hardly longer than one.
type reaper struct {
	group uint32 // link group that marks what is being removed

	busy sync.Mutex // held while the kernel removes

	mu      sync.Mutex
	pending []*removal
}

// removal is one interface to remove. done and err are guarded by reaper.busy.
type removal struct {
	link netlink.Link
	done bool
	err  error
}

// remove blocks until the link is gone; one that is gone already is no error.
func (r *reaper) remove(link netlink.Link) error {
	mine := &removal{link: link}
	r.mu.Lock()
	r.pending = append(r.pending, mine)
	r.mu.Unlock()
	r.busy.Lock()
	defer r.busy.Unlock()
	if !mine.done { // nobody has done it along with theirs
		r.mu.Lock()
		all := r.pending
		r.pending = nil
		r.mu.Unlock()
		r.removeAll(all)
	}
	return mine.err
}

func (r *reaper) removeAll(all []*removal) {
	grouped := len(all) > 1 && r.removeGroup(all) == nil
	for _, m := range all {
		m.done = true
		if grouped {
			continue
		}
		if err := netlink.LinkDel(m.link); err != nil && !isNoLink(err) {
			m.err = fmt.Errorf("remove interface %s: %w", m.link.Attrs().Name, err)
		}
	}
}

// removeGroup removes all with one request.
func (r *reaper) removeGroup(all []*removal) error {
	marked := 0
	for _, m := range all {
		switch err := netlink.LinkSetGroup(m.link, int(r.group)); {
		case err == nil:
			marked++
		case !isNoLink(err):
			return err
		}
	}
	if marked == 0 {
		return nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(r.group)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func isNoLink(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.Is(err, unix.ENODEV) || errors.As(err, &notFound)
}

package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"text/template"
)

//go:embed rules.nft
var rulesText string

// maxConnections bounds the tracked connections of one sandbox. The kernel's table
// holds 65,536 or more; Lambda allows 1,024 open files.
const maxConnections = 4096

// names are what one Hearth's things are called on the host.
type names struct {
	Table  string
	Prefix string // of interfaces, which may have 15 characters: 8 and a number
	Group  uint32 // link group of interfaces that are being removed
}

func namesOf(name string) names {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:3])
	return names{Table: "hearth_" + id, Prefix: "h" + id + "-", Group: binary.BigEndian.Uint32(sum[:]) | 1<<30}
}

// rules fill rules.nft.
type rules struct {
	names
	Block          netip.Prefix
	Deny           []netip.Prefix
	Opened         []string
	MaxConnections int
}

func (r rules) text() (string, error) {
	t, err := template.New("rules.nft").Parse(rulesText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, r); err != nil {
		return "", err
	}
	return b.String(), nil
}

// nft loads a script in the language of the nft command. The rules go through that
// command and not through netlink messages of our own, because they are the security
// policy: a person can read them here and compare them with "nft list ruleset". It
// runs when Hearth starts and stops and when the host's network changes, never for
// a sandbox.
func nft(ctx context.Context, script string, args ...string) error {
	_, err := runNFT(ctx, script, append(args, "-f", "-")...)
	return err
}

// nftItem is one item of nft's JSON listings (libnftables-json(5)), as far as needed.
type nftItem struct {
	Table *struct {
		Family string `json:"family"`
		Name   string `json:"name"`
	} `json:"table"`
	Chain *chain `json:"chain"`
	Set   *struct {
		Name string            `json:"name"`
		Elem []json.RawMessage `json:"elem"`
	} `json:"set"`
}

// nftList runs "nft list …".
func nftList(ctx context.Context, what ...string) ([]nftItem, error) {
	out, err := runNFT(ctx, "", append([]string{"-j", "list"}, what...)...)
	if err != nil {
		return nil, err
	}
	var doc struct {
		NFTables []nftItem `json:"nftables"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read nft's listing: %w", err)
	}
	return doc.NFTables, nil
}

func runNFT(ctx context.Context, script string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, nftPath(), args...)
	cmd.Stdin = strings.NewReader(script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		return nil, fmt.Errorf("nft: %w: %s", err, first)
	}
	return out.Bytes(), nil
}

// nftPath finds nft also where an ordinary user's PATH does not look.
func nftPath() string {
	for _, name := range []string{"nft", "/usr/sbin/nft", "/sbin/nft"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return "nft"
}

// installed is what a table on the host remembers.
type installed struct {
	block  netip.Prefix // zero if unreadable
	opened []string
}

// readTable reads our table; ok is false when there is none.
func readTable(ctx context.Context, n names) (in installed, ok bool, err error) {
	tables, err := nftList(ctx, "tables", "inet")
	if err != nil || !slices.ContainsFunc(tables, func(i nftItem) bool { return i.Table != nil && i.Table.Name == n.Table }) {
		return in, false, err
	}
	items, err := nftList(ctx, "table", "inet", n.Table)
	if err != nil {
		return in, true, err
	}
	for _, i := range items {
		if i.Set == nil {
			continue
		}
		for _, e := range i.Set.Elem {
			in.take(i.Set.Name, e)
		}
	}
	return in, true, nil
}

func (in *installed) take(set string, elem json.RawMessage) {
	switch set {
	case "opened":
		var name string
		if json.Unmarshal(elem, &name) == nil {
			in.opened = append(in.opened, name)
		}
	case "block":
		var e struct {
			Prefix struct {
				Addr netip.Addr `json:"addr"`
				Len  int        `json:"len"`
			} `json:"prefix"`
		}
		if json.Unmarshal(elem, &e) == nil {
			in.block = netip.PrefixFrom(e.Prefix.Addr, e.Prefix.Len)
		}
	}
}

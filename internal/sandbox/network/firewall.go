package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// chain is what we need to know of an nft chain.
type chain struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Hook   string `json:"hook"`
	Policy string `json:"policy"`
}

// passFirewalls lets the sandboxes' interfaces through firewalls that drop what they
// do not know. Only iptables has a place for that which is safe to use: DOCKER-USER,
// which Docker leaves to others, or FORWARD itself. Our own drops hold all the same.
func (m *Manager) passFirewalls(ctx context.Context) error {
	chains, err := listChains(ctx)
	if err != nil {
		return err
	}
	for _, c := range chains {
		switch {
		case c.Hook != "forward" || c.Table == m.names.Table:
		case isIptables(c):
			if c.Policy == "drop" {
				err = errors.Join(err, m.acceptInIptables(ctx, "iptables-nft", chains))
			}
		case c.Policy == "drop" || c.Table == "firewalld":
			m.warn(fmt.Sprintf("The firewall table %q (%s) may drop what sandboxes send to the outside: accept interfaces %s* in its chain %q, or source %s.",
				c.Table, c.Family, m.names.Prefix, c.Name, m.currentBlock()))
		}
	}
	if legacyFilter() {
		err = errors.Join(err, m.acceptInIptables(ctx, "iptables-legacy", nil))
	}
	return err
}

func isIptables(c chain) bool {
	return c.Family == "ip" && c.Table == "filter" && c.Name == "FORWARD"
}

func listChains(ctx context.Context) ([]chain, error) {
	items, err := nftList(ctx, "chains")
	if err != nil {
		return nil, err
	}
	var list []chain
	for _, i := range items {
		if i.Chain != nil {
			list = append(list, *i.Chain)
		}
	}
	return list, nil
}

// legacyFilter tells whether the old iptables, which nft cannot see, has a filter
// table.
func legacyFilter() bool {
	text, err := os.ReadFile("/proc/net/ip_tables_names")
	return err == nil && slices.Contains(strings.Fields(string(text)), "filter")
}

// acceptInIptables inserts our two rules, unless they are there. tool is the variant
// of iptables; plain iptables is whichever the host prefers.
func (m *Manager) acceptInIptables(ctx context.Context, tool string, chains []chain) error {
	tool, ok := findTool(tool)
	if !ok {
		m.warn(fmt.Sprintf("An iptables firewall drops forwarded packets and there is no iptables command: sandboxes cannot reach the outside. Accept interfaces %s+ in its FORWARD chain.", m.names.Prefix))
		return nil
	}
	if chains == nil { // legacy: nft could not tell the policy
		out, err := exec.CommandContext(ctx, tool, "-w", "-S", "FORWARD").Output()
		if err != nil || !bytes.Contains(out, []byte("-P FORWARD DROP")) {
			return nil
		}
	}
	target := "FORWARD"
	if exec.CommandContext(ctx, tool, "-w", "-n", "-L", "DOCKER-USER").Run() == nil {
		target = "DOCKER-USER"
	}
	for _, rule := range m.iptablesRules() {
		if iptables(ctx, tool, "-C", target, rule) == nil {
			continue
		}
		if err := iptables(ctx, tool, "-I", target, rule); err != nil {
			return fmt.Errorf("accept sandboxes in the chain %s: %w", target, err)
		}
	}
	return nil
}

func (m *Manager) iptablesRules() [][]string {
	comment := []string{"-m", "comment", "--comment", m.names.Table, "-j", "ACCEPT"}
	return [][]string{
		append([]string{"-i", m.names.Prefix + "+"}, comment...),
		append([]string{"-o", m.names.Prefix + "+"}, comment...),
	}
}

func iptables(ctx context.Context, tool, verb, target string, rule []string) error {
	args := append([]string{"-w", verb, target}, rule...)
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, bytes.TrimSpace(out))
	}
	return nil
}

// removeFirewallRules takes our rules out of iptables again, wherever they are.
func (m *Manager) removeFirewallRules(ctx context.Context) error {
	chains, err := listChains(ctx)
	if err != nil {
		return err
	}
	var tools []string
	if slices.ContainsFunc(chains, isIptables) {
		tools = append(tools, "iptables-nft")
	}
	if legacyFilter() {
		tools = append(tools, "iptables-legacy")
	}
	for _, tool := range tools {
		tool, ok := findTool(tool)
		if !ok {
			continue
		}
		for _, target := range []string{"DOCKER-USER", "FORWARD"} {
			for _, rule := range m.iptablesRules() {
				for iptables(ctx, tool, "-C", target, rule) == nil {
					if err := iptables(ctx, tool, "-D", target, rule); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func findTool(name string) (string, bool) {
	for _, n := range []string{name, "/usr/sbin/" + name, "iptables", "/usr/sbin/iptables"} {
		if p, err := exec.LookPath(n); err == nil {
			return p, true
		}
	}
	return "", false
}

package bench

import (
	"os"
	"path/filepath"
	"strings"
)

// peers starts what the hello handler can also be served by, as far as it is installed;
// what is not is said. stop ends them.
func (s *suite) peers() (list []contestant, stop func()) {
	var started []rival
	upstream := func() []int { return tree(s.node.cmd.Process.Pid) }
	for _, peer := range []struct {
		name   string
		start  func() (rival, error)
		behind func() []int // processes that it needs beside its own
	}{
		{"nginx as a reverse proxy before plain Node", s.nginx, upstream},
		{"functions-framework", s.framework, nil},
		{"workerd", s.workerd, nil},
		{"serverless-offline", s.offline, nil},
	} {
		x, err := peer.start()
		if err != nil {
			reason, _, _ := strings.Cut(err.Error(), "\n")
			s.say("without %s (scripts/install.sh --bench installs it): %s", peer.name, reason)
			continue
		}
		started = append(started, x)
		c := x.contestant(peer.name)
		c.function = peer.behind
		list = append(list, c)
	}
	return list, func() {
		for _, x := range started {
			x.stop()
		}
	}
}

func (s *suite) modules() string { return filepath.Join(s.cfg.Peers, "npm", "node_modules") }

// tool is a program of an npm package.
func (s *suite) tool(name string) string { return filepath.Join(s.modules(), ".bin", name) }

func (s *suite) nginx() (rival, error) {
	dir, err := s.folder("nginx", nil)
	if err != nil {
		return rival{}, err
	}
	program := filepath.Join(s.cfg.Peers, "nginx", "usr", "sbin", "nginx")
	text, err := files.ReadFile("peers/nginx.conf")
	if err != nil {
		return rival{}, err
	}
	upstream := strings.Trim(strings.TrimPrefix(s.node.url, "http://"), "/")
	return s.serve(dir, nil, func(addr string) []string {
		conf := strings.NewReplacer("@UPSTREAM@", upstream, "@LISTEN@", addr).Replace(string(text))
		// A file that cannot be written is one that nginx complains about.
		_ = os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644)
		return []string{program, "-p", dir + "/", "-e", "stderr", "-c", "nginx.conf"}
	})
}

func (s *suite) framework() (rival, error) {
	dir, err := s.folder("framework", map[string]string{"index.js": "peers/framework.js"})
	if err != nil {
		return rival{}, err
	}
	return s.serve(dir, nil, func(addr string) []string {
		return []string{s.tool("functions-framework"), "--target=hello", "--source=" + dir, "--port=" + port(addr)}
	})
}

func (s *suite) workerd() (rival, error) {
	dir, err := s.folder("workerd", map[string]string{"worker.mjs": "peers/worker.mjs", "workerd.capnp": "peers/workerd.capnp"})
	if err != nil {
		return rival{}, err
	}
	return s.serve(dir, nil, func(addr string) []string {
		return []string{s.tool("workerd"), "serve", "workerd.capnp", "--socket-addr=http=" + addr}
	})
}

func (s *suite) offline() (rival, error) {
	dir, err := s.folder("offline", map[string]string{"index.js": "functions/hello/index.js", "serverless.yml": "peers/serverless.yml"})
	if err != nil {
		return rival{}, err
	}
	if err := os.Symlink(s.modules(), filepath.Join(dir, "node_modules")); err != nil {
		return rival{}, err
	}
	lambda, err := freeAddress()
	if err != nil {
		return rival{}, err
	}
	// It stays on this machine: nothing is reported, and no newer version asked for.
	env := []string{"CI=1", "SLS_TELEMETRY_DISABLED=1", "SLS_TRACKING_DISABLED=1", "SLS_NOTIFICATIONS_MODE=off"}
	return s.serve(dir, env, func(addr string) []string {
		return []string{s.tool("serverless"), "offline", "--host", "127.0.0.1", "--httpPort", port(addr),
			"--lambdaPort", port(lambda), "--noTimeout"}
	})
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

# make help lists the targets.
SHELL := /bin/bash
export PATH := $(PATH):/usr/sbin:/sbin:/usr/local/go/bin

# The tree may belong to somebody else, as in a CI's container: Git and Go ask about that.
VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)
PREFIX ?= /usr/local

.DEFAULT_GOAL := help
.PHONY: help build demo demo-stop test torture lint bench bench-quick profile docs install clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/hearth
	@mkdir -p bin
	go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/hearth ./cmd/hearth

demo: ## install what is missing, build, start a platform, and call one function both ways
	@scripts/install.sh
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh start

demo-stop: ## stop the platform that make demo left running
	@scripts/demo.sh stop

test: ## test everything (as root also containers and networks)
	@scripts/install.sh --test
	@scripts/test.sh

torture: ## kill the platform again and again for an hour (TORTURE=10m), and count lost events
	HEARTH_TORTURE=$(or $(TORTURE),1h) go test -count=1 -timeout 0 -run TestTorture -v ./e2e

lint: ## format, vet, staticcheck, and the syntax of scripts and shims
	@scripts/install.sh
	@scripts/lint.sh

bench: build ## measure against plain servers and peers; writes docs/benchmarks.* and README.md (minutes)
	@scripts/install.sh --bench
	@scripts/bench.sh

bench-quick: build ## the first rows of it, in less than a minute; writes nothing
	@scripts/install.sh --bench
	@scripts/bench.sh --quick

profile: build ## say where the time of a request goes; writes docs/performance.md
	@scripts/install.sh --bench
	@scripts/profile.sh

docs: ## write docs/reference anew from the commands
	go test ./internal/cli -run TestReference -update

install: build ## install hearth, its manual pages and shell completion below PREFIX (/usr/local)
	install -D -m 755 bin/hearth $(DESTDIR)$(PREFIX)/bin/hearth
	bin/hearth man $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/hearth completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hearth
	bin/hearth completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hearth
	bin/hearth completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hearth.fish

clean: ## remove what was built, and the demo's data
	@scripts/demo.sh stop >/dev/null
	rm -rf bin dist .hearth/demo

# `make` lists the targets.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -X main.version=$(VERSION)
SUDO     := $(if $(filter 0,$(shell id -u)),,sudo)
FUZZTIME ?= 10s
SINK     ?= screen

# Kernel objects are committed and compared byte for byte, so the compiler is pinned.
CLANG        := clang-14
STRIP        := llvm-strip-14
CLANG_FORMAT := clang-format-14
GENERATED     = '*_bpfel.go' '*_bpfel.o' docs/records.md docs/configuration.md

GENERATE_PACKAGES := clang-14 llvm-14 libbpf-dev linux-libc-dev
TEST_PACKAGES     := nginx-light wrk nftables iptables iperf3 iproute2 curl bind9-dnsutils bpftool procps dnsmasq-base \
	nghttp2-client nghttp2-server nodejs python3-minimal \
	wget python3 openssl gcc libc6-dev libssl-dev libgnutls30 binutils \
	bash bash-static libreadline-dev \
	libcurl3-gnutls android-libboringssl gnutls-bin lighttpd lighttpd-mod-gnutls

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use

.PHONY: run
run: build ## see this machine's flows (Ctrl-C ends); SINK=stdout: as JSON lines
	$(SUDO) ./bin/weft run --loopback --interval 5s --sink $(SINK)

.PHONY: build
build: ## build bin/weft, one static binary (needs Go only)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weft ./cmd/weft

##@ Check

# One package at a time: kernel tests see, and some count, what the whole machine does.
.PHONY: test
test: test-deps ## run all tests; as root the kernel tests too
	$(GO) build ./...
	$(GO) test -json -p 1 -timeout 25m $(TESTFLAGS) ./... | $(GO) run ./test/skips -allow test/skips/allow.txt

.PHONY: lint
lint: bin/golangci-lint ## lint Go, check the format of Go and C
	./bin/golangci-lint run ./...
	@tools/apt-need.sh $(CLANG_FORMAT)
	git ls-files '*.c' '*.h' | xargs -r $(CLANG_FORMAT) --dry-run -Werror

.PHONY: fuzz
fuzz: ## run every Fuzz target for FUZZTIME (10s)
	@grep -rHo --include='*_test.go' -E '^func Fuzz[A-Za-z0-9_]+' . | while IFS=: read -r file name; do \
		echo "$${name#func } in $$(dirname "$$file")"; \
		$(GO) test -run '^$$' -fuzz "^$${name#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$(dirname "$$file")" || exit 1; \
	done

.PHONY: vm-test
vm-test: vm-deps test-deps ## run the kernel tests on other kernels under qemu; VMFLAGS=…
	$(GO) run ./test/vm -bin nft -bin ip -bin sleep $(VMFLAGS)

.PHONY: bench
bench: build test-deps ## measure the overhead, paired with and without; BENCHFLAGS=…
	$(SUDO) $(GO) run ./test/bench $(BENCHFLAGS)

##@ Develop

.PHONY: generate
generate: ## rebuild the kernel objects and their Go bindings
	@tools/apt-need.sh $(GENERATE_PACKAGES)
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(STRIP) $(GO) generate ./...

.PHONY: docs
docs: ## rewrite docs/records.md and docs/configuration.md
	$(GO) run ./record/recordsdoc >docs/records.md
	$(GO) run ./cmd/weft docs configuration >docs/configuration.md

.PHONY: check-generate
check-generate: generate docs ## fail when a generated file differs from its source
	git diff --exit-code --stat -- $(GENERATED)
	@test -z "$$(git ls-files --others --exclude-standard -- $(GENERATED))"

.PHONY: format
format: bin/golangci-lint ## format Go and C
	./bin/golangci-lint fmt ./...
	@tools/apt-need.sh $(CLANG_FORMAT)
	git ls-files '*.c' '*.h' | xargs -r $(CLANG_FORMAT) -i

.PHONY: test-deps
test-deps: ## install what the tests run against (Debian, root)
	@tools/apt-need.sh $(TEST_PACKAGES)
	@command -v npm >/dev/null || tools/apt-need.sh npm # some nodejs packages bring it and refuse Debian's

.PHONY: vm-deps
vm-deps: ## install QEMU for vm-test (Debian, root)
	@$(SUDO) test/vm/deps.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist

# The linter has its own module so that its 200 dependencies stay out of ours.
bin/golangci-lint: tools/go.mod tools/go.sum
	CGO_ENABLED=0 $(GO) build -C tools -trimpath -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

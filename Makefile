# The few verbs of daily work. `make demo` and `make test` set up everything on a fresh Debian or Ubuntu.

SHELL := /bin/bash
# where .ci/setup puts a newer Node.js when the distribution's is too old
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
.DELETE_ON_ERROR:
.PHONY: demo build pages test browser lint generate regenerated clean-tree bench help

DATA ?=
DEMO_FLAGS ?=
BINARY := target/debug/almanac

help: ## these words
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: build ## live through a simulated market; DATA=folder replays your own CSV or Parquet files
	@.ci/setup postgres
	$(BINARY) demo $(if $(DATA),--data "$(DATA)") $(DEMO_FLAGS)

build: pages ## the one binary, with the pages inside
	@.ci/setup rust cc
	@[ -e $(BINARY) ] || echo "Building Almanac: 8 to 15 minutes on 2 cores the first time, seconds after that."
	cargo build --locked --bin almanac

pages: web/dist/index.html ## the web pages

web/dist/index.html: web/package-lock.json $(shell find web/src web/index.html -type f 2>/dev/null)
	@.ci/setup node
	cd web && npm ci --no-audit --no-fund --silent && npm run --silent build
	@touch $@

test: pages ## every test: units, PostgreSQL, SMTP, webhooks, killed processes, a real browser
	@.ci/setup rust cc postgres chromium curl
	@echo "Building and testing Almanac: about 20 minutes on 2 cores the first time."
	cargo build --locked --workspace --all-targets
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --workspace; \
	 else cargo test --locked --workspace; fi
	cd web && npm run --silent check
	$(WALK)

# The binary is the one at hand: building it alone would build some dependencies again with other features.
WALK = cd tests/browser && npm ci --no-audit --no-fund --silent && ./run.sh $(abspath $(BINARY))

browser: build ## the path of a new user in a real Chromium
	@.ci/setup node postgres chromium curl
	$(WALK)

lint: ## formatting, lints, spelling
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if command -v typos >/dev/null; then typos; else echo "typos is not installed: spelling not checked"; fi

generate: build regenerated ## everything that is generated: the OpenAPI document and the types of the pages

regenerated:
	$(BINARY) openapi > openapi/openapi.json
	cd web && npm run --silent types

clean-tree: regenerated ## regenerates with the binary at hand and demands that nothing changed
	@git diff --exit-code --stat && [ -z "$$(git status --porcelain)" ] || { git status --short; exit 1; }

bench: ## times and memory of ingest, train and predict beside the Python reference, in one run
	docs/bench/run.sh

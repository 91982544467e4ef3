# The few verbs of daily work. `make demo` and `make test` set up everything on a fresh Debian or Ubuntu.

SHELL := /bin/bash
# where .ci/setup puts a newer Node.js when the distribution's is too old
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
.DELETE_ON_ERROR:
# how long `make soak` takes
KILLS ?= 200
MINUTES ?= 30

.PHONY: demo build pages test soak sharpness browser lint generate regenerated clean-tree bench bench-log bench-predict help

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
	@.ci/setup rust cc postgres chromium curl faketime
	@echo "Building and testing Almanac: about 20 minutes on 2 cores the first time."
	cargo build --locked --workspace --all-targets
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked --workspace; \
	 else cargo test --locked --workspace; fi
	cd web && npm run --silent check
	$(WALK)

# The whole form of the faults that `make test` tries in a few seconds.
soak: pages ## kills the service 200 times (KILLS=n) under load, restarts two nodes for 30 minutes (MINUTES=n)
	@.ci/setup rust cc postgres
	cargo build --locked --workspace --all-targets
	ALMANAC_TEST_CASES=2000 cargo test --locked --workspace --test log schedules -- --nocapture
	ALMANAC_TEST_CASES=5000 cargo test --locked --workspace --test transparency stable -- --nocapture
	ALMANAC_TEST_CASES=200 cargo test --locked --workspace --test read_models as_of -- --nocapture
	ALMANAC_TEST_ROWS=5000000 cargo test --locked --workspace --test read_models plans -- --nocapture
	ALMANAC_TEST_PARTITION=30 cargo test --locked --workspace --test service partition -- --nocapture
	ALMANAC_TEST_KILLS=$(KILLS) cargo test --locked --workspace --test soak kills -- --nocapture
	ALMANAC_TEST_SECONDS=$$(( $(MINUTES) * 60 )) cargo test --locked --workspace --test soak nodes -- --nocapture

# In a scratch worktree with a target folder of its own, kept for the next time. FAULTS="3 16" tries those only.
sharpness: ## breaks the program in one place after the other: the test named for each must fail
	@.ci/setup rust cc postgres faketime
	tests/sharpness/run.py $(FAULTS)

# The binary is the one at hand: building it alone would build some dependencies again with other features.
WALK = cd tests/browser && npm ci --no-audit --no-fund --silent && ./run.sh $(abspath $(BINARY))

browser: build ## the path of a new user in a real Chromium
	@.ci/setup node postgres chromium curl
	$(WALK)

lint: ## formatting, lints, spelling
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if command -v typos >/dev/null; then typos; else echo "typos is not installed: spelling not checked"; fi

generate: build regenerated ## everything that is generated: the OpenAPI document, the types of the pages, the catalogue of events

regenerated:
	$(BINARY) openapi > openapi/openapi.json
	$(BINARY) events > docs/events.md
	$(BINARY) events --json > docs/events.schema.json
	cd web && npm run --silent types

clean-tree: regenerated ## regenerates with the binary at hand and demands that nothing changed
	@git diff --exit-code --stat && [ -z "$$(git status --porcelain)" ] || { git status --short; exit 1; }

bench: ## times and memory of ingest, train and predict beside the Python reference, in one run
	docs/bench/run.sh

# In the profile of everything else (ADR 2): the one named `bench` would build every dependency once more.
bench-log: ## the goals of the event log, each beside its yardstick in one run: 4 minutes
	@.ci/setup rust cc postgres
	cargo bench --locked --profile dev -p almanac-store --bench log $(if $(PARTS),-- $(PARTS))

bench-predict: build ## the daily prediction of 5,000 instruments, published as events
	docs/bench/predict.sh

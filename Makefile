# The one command surface. `make demo` and `make test` need nothing before them.
#
# Every target names the same packages and features, so that all of them share one build: a dependency
# (RocksDB takes minutes) is compiled once, whichever command comes first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo bank test chaos bench bench-quick bench-guard check fix

WHOLE := --workspace --all-features
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## lists the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/'

setup: ## installs what is missing on this machine (Debian, Ubuntu), or says what to install
	@scripts/setup

demo: setup ## PageRank on eleven processes, one of them killed on the way (ARGS="--help" for its options)
	cargo build --locked $(WHOLE) --bins
	$(TARGET)/debug/pagerank $(or $(ARGS),--kill worker-7@20 --pace 200)

bank: setup ## transfers between accounts while peers are killed at random (ARGS="--help" for its options)
	cargo build --locked $(WHOLE) --bins
	$(TARGET)/debug/bank $(ARGS)

test: setup ## all tests
	cargo test --locked $(WHOLE) --no-fail-fast

chaos: setup ## 15 minutes of clusters under faults, simulated and with real processes (SEEDS=A..B, SEED=N for others)
	cargo build --locked --release $(WHOLE) --bins
	$(TARGET)/release/chaos sim --wall-minutes 9 --seeds $(or $(SEEDS),0..100000)
	$(TARGET)/release/chaos run --minutes 6 --seed $(or $(SEED),1) --out $(TARGET)/chaos-run-$$(date +%s)

bench: setup ## compares with bare tokio and quinn, and with other libraries; writes benches/RESULTS.md (an hour)
	@scripts/setup etcd:etcd-server || echo "bench: etcd is not compared with" >&2
	cd benches && cargo bench --locked --bench shapes -- all --out .
	cd benches && cargo bench --locked --bench functions

bench-quick: setup ## the same once, and smaller; shown and not written (5 minutes)
	cd benches && cargo bench --locked --bench shapes -- all --quick

bench-guard: ## counts the instructions of hot paths; 5% more than benches/instructions.json fail (ARGS=--renew to agree)
	@scripts/setup valgrind
	cd benches && cargo run --locked --release --quiet --bin guard -- $(ARGS)

check: setup ## changes nothing: format, lints, documentation, licences, house rules
	cargo fmt --all -- --check
	cd benches && cargo fmt -- --check
	cargo clippy --locked $(WHOLE) --all-targets -- -D warnings
	cd benches && cargo clippy --locked --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked $(WHOLE) --no-deps
	if cargo deny --version >/dev/null 2>&1; then cargo deny --all-features check; \
	else echo "cargo-deny is not installed: licences and advisories are not checked"; fi
	cargo test --locked $(WHOLE) --test it tidy::

fix: setup ## formats, and applies what clippy can
	cargo clippy --locked $(WHOLE) --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

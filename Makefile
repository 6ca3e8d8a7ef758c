# Every target makes what it needs: `make demo`, `make test` and `make check` work in a fresh clone.
# Needed on the machine: Python 3.11 to 3.13 with venv, git and make.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PEERS := build/peers
LOCKS := requirements.lock requirements-bootstrap.lock requirements-jvm.lock
ARGS ?=

# `make PYTHON=/path/to/python demo` chooses another one; otherwise the first of these that fits.
PYTHON ?= python3.13 python3.12 python3.11 python3 python
PYTHON_FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# For the smallest machine that this is tested on, which has two cores: two processes that compute, and behind them three
# with a broker each, whose tests mostly wait: for sessions that end, brokers that restart, commits. Each module runs in
# one process, in the order of tests/conftest.py. (`loadgroup` with a group of its own for each test would count all
# tests again after each: 5 s of 1,800.)
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
# Also where a machine is told to keep no bytecode: pytest would rewrite, and each worker compile, the same modules again.
unexport PYTHONDONTWRITEBYTECODE

# uv asks the package index that pip is set up for.
UV = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}" $(BIN)/uv
INSTALL = $(UV) pip install --python $(BIN)/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test check lint types walls archives unit docs lock eval-streams simulate

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(STAMP) ## a real Kafka, a worker and a stream of events (make demo ARGS="spam --json")
	@$(BIN)/stream demo $(ARGS)

test: $(STAMP) ## everything: lint, types, walls and all tests, real Kafka included
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types lint walls archives
	$(PYTEST) -n 2 -m "not kafka" --durations 10
	$(PYTEST) -n 3 -m kafka --durations 10

check: $(STAMP) ## the quick loop: lint, types, walls and the tests that need no Kafka and are not slow
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target unit types lint walls

# The streams are not in the repository: one of them has no licence to be copied.
DATA ?= ../shared/data
eval-streams: $(STAMP) ## evaluate real streams beside River's models (make eval-streams DATA=FOLDER): docs/real-streams.md
	$(BIN)/python -m benchmarks.streams.compare $(DATA)

SEEDS ?= 10000
simulate: $(STAMP) ## workers under seeded faults on a simulated broker (make simulate SEEDS=10000)
	@$(BIN)/python -m tests.testing.simulate $(SEEDS)

install: $(STAMP) ## only make the virtual environment

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)
	$(BIN)/mypy

walls: $(STAMP)
	$(BIN)/lint-imports

# Some twenty brokers start in the tests: with archives of their classes each takes 3.4 s of a processor less.
archives: $(STAMP)
	@$(BIN)/python -m stream.cli.broker.archives

unit: $(STAMP)
	$(PYTEST) -n 2 -m "not kafka and not slow"

bench-engine: $(STAMP) ## the engine without Kafka beside a loop of fastavro and River (make bench-engine ARGS=--profile)
	@$(BIN)/python -m benchmarks.engine $(ARGS)

bench-e2e: $(STAMP) ## a worker on a real Kafka beside the same loop with confluent-kafka
	@$(BIN)/python -m benchmarks.end_to_end $(ARGS)

bench-start: $(STAMP) ## a worker from the start of its process to its first prediction
	@$(BIN)/python -m benchmarks.start $(ARGS)

bench-recovery: $(STAMP) $(PEERS)/installed ## a task of a million keys after kill -9, beside Quix Streams' restore
	@$(BIN)/python -m benchmarks.recovery --quix $(PEERS)/bin/python $(ARGS)

bench-delivery: $(STAMP) ## what exactly-once delivery costs: throughput beside immediate delivery
	@$(BIN)/python -m benchmarks.delivery $(ARGS)

bench-latency: $(STAMP) ## p99 latency under exactly-once delivery, beside Kafka Streams (needs a JDK)
	@$(BIN)/python -m benchmarks.latency $(ARGS)

bench-memory: $(STAMP) ## memory of a worker over 10 million events
	@$(BIN)/python -m benchmarks.memory $(ARGS)

bench-snapshots: $(STAMP) ## snapshots of 1 GB of state: how long they hold it up, what they write (make bench-snapshots ARGS="--megabytes 300")
	@$(BIN)/python -m benchmarks.snapshots $(ARGS)

bench-growth: $(STAMP) ## stores of millions of rows: the longest call while they grow (make bench-growth ARGS="--millions 1")
	@$(BIN)/python -m benchmarks.growth $(ARGS)

bench-chaos: $(STAMP) ## workers on a real Kafka under random faults (make bench-chaos ARGS="--faults 100")
	@$(BIN)/python -m tests.runtime.chaos $(ARGS)

# Peers pin other versions of what this project uses.
$(PEERS)/installed: requirements-peers.lock | $(STAMP)
	@echo "==> making $(PEERS) for the benchmark's peers"
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(UV) pip install --python $(PEERS)/bin/python --quiet --require-hashes -r requirements-peers.lock
	@touch $@

# The stamp is newer than the locks exactly when the environment holds what they say.
$(STAMP): Makefile pyproject.toml $(LOCKS)
	@python=; for candidate in $(PYTHON); do \
	    if "$$candidate" -c '$(PYTHON_FITS)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "No Python 3.11 to 3.13 with its venv module was found (tried: $(PYTHON))." >&2; \
	    echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or: make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	fi; \
	if $(BIN)/python -c '$(PYTHON_FITS)' 2>/dev/null; \
	then echo "==> $(VENV) exists; bringing it up to date"; \
	else echo "==> making $(VENV) with $$($$python --version)"; $$python -m venv --clear $(VENV); fi
	@echo "==> installing the installer"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-bootstrap.lock
	@echo "==> installing locked dependencies"
	@# Bytecode now, because a first start would otherwise compile it (some 20 s), and again where it may not be written.
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m stream.cli.broker.java || { \
	    echo "==> no Java 17 or newer on this machine; installing one into $(VENV)"; \
	    $(INSTALL) --require-hashes -r requirements-jvm.lock; }
	@touch $(STAMP)

docs: $(STAMP) ## write docs/reference anew from the code
	$(BIN)/python -m docs.generate

COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock: $(STAMP) ## after a change of dependencies: write the locks anew
	$(COMPILE) --extra dev --no-emit-package stream-learn pyproject.toml -o requirements.lock
	$(COMPILE) --group bootstrap --constraint requirements.lock -o requirements-bootstrap.lock
	$(COMPILE) --group peers -o requirements-peers.lock
	$(COMPILE) --extra s3 --constraint requirements.lock --no-emit-package stream-learn pyproject.toml -o deploy/requirements.lock
	sed -n 's/^jvm = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(COMPILE) - -o requirements-jvm.lock

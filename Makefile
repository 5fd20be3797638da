# Plexus: `make run` starts the server, `make test` passes the tests. `make help` lists the rest.
SHELL := /bin/bash
PORT ?= 8008
DATA ?= data
CLUSTER_DATA = $(if $(filter command line environment,$(origin DATA)),$(DATA),data-cluster)
MEMBERS := $(wildcard libs/* services/*) cli

# Any Python from 3.11 up will do; PYTHON=/path/to/python says which.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help run cluster cluster-status coverage test lint unit contract integration torture interop clustered fault fault-long interop-k8s interop-rust bench bench-cluster bench-peer bench-kernel proto lock clean venv venv-dev

help: ## list the commands
	@grep -hE '^[a-z0-9 -]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-50s %s\n", $$1, $$2}'

run: .venv/.run ## start Plexus: PORT=8008 DATA=data
	@exec .venv/bin/plexus up --port $(PORT) --data $(DATA)

cluster: .venv/.run ## start a whole cluster on this machine: PORT=8008 DATA=data-cluster (FROM=data moves that server into it)
	@exec .venv/bin/python -m deploy.local.up --port $(PORT) --data $(CLUSTER_DATA) $(if $(FROM),--from $(FROM))

cluster-status: .venv/.run ## what of it runs and is ready, how far the lanes are, where the logs are: DATA=data-cluster
	@.venv/bin/python -m deploy.local.status --data $(CLUSTER_DATA)

test: .venv/.dev ## every check and test, fast ones first, with the time each part takes
	@.venv/bin/python tests/ladder.py

lint unit contract integration torture interop clustered fault: .venv/.dev ## one part of `make test`
	@.venv/bin/python tests/ladder.py $@

interop-k8s: .venv/.dev ## leadership on a real API server of Kubernetes, which is built first (needs Go; a quarter of an hour, once)
	@.venv/bin/python -m tests.interop.k8s.api_server

interop-rust: .venv/.dev ## a story of two people by matrix-rust-sdk, which is built first (needs Rust; ten minutes, once): TOPOLOGY=cluster
	@.venv/bin/python -m tests.interop.rust.story $(if $(TOPOLOGY),--topology $(TOPOLOGY))

fault-long: .venv/.dev ## the fault tests at full length: a minute of the lanes each, ten of a cluster's kills and freezes
	@PLEXUS_TEST_LANES_SECONDS=60 .venv/bin/python -m pytest -s tests/fault --timeout 600

bench: .venv/.dev ## measure Plexus, one process and a cluster: tables, JSON and plots in tests/load/out (BENCH= flags, e.g. BENCH=--quick)
	@.venv/bin/python -m tests.load.bench $(BENCH)
	@.venv/bin/python -m tests.load.sync $(BENCH)
	@.venv/bin/python -m tests.load.search $(BENCH)
	@.venv/bin/python -m tests.load.cluster $(BENCH)

bench-cluster: .venv/.dev ## measure a cluster only (BENCH= flags)
	@.venv/bin/python -m tests.load.cluster $(BENCH)

bench-peer: .venv/.dev ## Plexus beside Synapse: HSBENCH=folder of the hsbench harness (BENCH= flags; BENCH=--cluster for both as clusters)
	@test -n "$(HSBENCH)" || { echo "say where the hsbench harness is: make bench-peer HSBENCH=path"; exit 2; }
	@.venv/bin/python -m tests.load.peer --hsbench "$(HSBENCH)" $(BENCH)

bench-kernel: .venv/.dev ## what plexus.protocol does in a second, beside Synapse's own functions (BENCH=--quick)
	@.venv/bin/python -m tests.load.kernel $(BENCH)

coverage: .venv/.dev ## make docs/coverage.md anew: which operations the tests have seen
	@.venv/bin/python tests/ladder.py --write-coverage

proto: .venv/.dev ## generate libs/proto from proto/ again
	@.venv/bin/python tests/ladder.py --make-proto

lock: .venv/.dev ## pin every dependency again, after a pyproject.toml changed
	@requirements/lock.sh

clean: ## remove what was made: .venv, build, caches (never DATA)
	@rm -rf .venv build .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache tests/load/out
	@find . -name __pycache__ -prune -exec rm -rf {} +

# --- the environment: remade only when a lock file or a member's pyproject.toml changes ---

.venv/bin/uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Plexus needs Python 3.11 or newer, and none is on the PATH."; \
	  echo "Install one, or say where it is: make run PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Plexus needs Python 3.11 or newer; $(PYTHON) is not: $$($(PYTHON) -V 2>&1 | tail -n 1)"; \
	  echo "Say which to take: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "· making .venv with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv .venv || { echo "Python cannot make a virtual environment here. On Debian: apt-get install python3-venv"; exit 1; }
	@.venv/bin/python -m pip install -q --disable-pip-version-check --no-input --require-hashes --no-deps --only-binary :all: -r $<
	@touch $@

.venv/.run: .venv/bin/uv requirements/run.txt $(MEMBERS:%=%/pyproject.toml)
	@if test -e .venv/.dev; then $(MAKE) --no-print-directory .venv/.dev; else \
	  echo "· installing the locked packages (wheels only; about 250 MB, once)" && \
	  .venv/bin/uv pip sync -q --require-hashes --only-binary :all: requirements/run.txt requirements/uv.txt && \
	  .venv/bin/uv pip install -q --no-deps --no-index --offline $(MEMBERS:%=-e %); fi
	@touch $@

.venv/.dev: .venv/bin/uv requirements/dev.txt $(MEMBERS:%=%/pyproject.toml)
	@echo "· installing the locked packages and the test tools (once)"
	@.venv/bin/uv pip sync -q --require-hashes requirements/dev.txt requirements/uv.txt
	@.venv/bin/uv pip install -q --no-deps --no-index --offline $(MEMBERS:%=-e %)
	@touch $@ .venv/.run

venv: .venv/.run
venv-dev: .venv/.dev

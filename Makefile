# Plexus: `make run` starts the server, `make test` passes the tests. `make help` lists the rest.
SHELL := /bin/bash
PORT ?= 8008
DATA ?= data
PYTHON ?= python3
MEMBERS := $(wildcard libs/* services/*) cli

.DEFAULT_GOAL := help
.PHONY: help run venv venv-dev

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# The environment is remade only when a lock file or a member's pyproject changes.
.venv/bin/uv:
	@echo "· making .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt

.venv/.run: .venv/bin/uv requirements/run.txt $(MEMBERS:%=%/pyproject.toml)
	@echo "· installing the locked packages (about 250 MB, once)"
	@test -e .venv/.dev || .venv/bin/uv pip sync -q --require-hashes requirements/run.txt requirements/uv.txt
	@.venv/bin/uv pip install -q --no-deps --no-index --offline $(MEMBERS:%=-e %)
	@touch $@

.venv/.dev: .venv/bin/uv requirements/dev.txt $(MEMBERS:%=%/pyproject.toml)
	@echo "· installing the locked packages and the test tools"
	@.venv/bin/uv pip sync -q --require-hashes requirements/dev.txt requirements/uv.txt
	@.venv/bin/uv pip install -q --no-deps --no-index --offline $(MEMBERS:%=-e %)
	@touch $@ .venv/.run

venv: .venv/.run
venv-dev: .venv/.dev

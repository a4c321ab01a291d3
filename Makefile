.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check test bench lean lock clean

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
USER_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# ensurepip is missing on a bare Debian until python3-venv is installed: say so instead of failing in the middle
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "the venv module is missing: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(USER_STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(DEV_STAMP): requirements-dev.lock requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@ $(USER_STAMP)

demo: $(USER_STAMP) ## the main job on the embedded twin; writes a report to open
	$(BIN)/asic-reservoir demo --out out/demo

check: $(DEV_STAMP) ## the quick part of the tests: style, types, layers, unit tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not slow and not service"

test: check ## every test, the Lean check included
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "slow or service"

lean: $(DEV_STAMP) ## the proofs: every chapter, the index, and what must be refused
	$(BIN)/python -m lean.check --all

bench: $(DEV_STAMP) ## what is measured side by side; never fails on time
	$(BIN)/python -m tests.benchmarks

lock: ## write the lock files anew (needs uv)
	tools/lock.sh

clean: ## remove what the other targets made
	rm -rf $(VENV) out build dist

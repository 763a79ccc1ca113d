# Every target sets up what it needs first: the packages of requirements.lock in .venv, once (deploy/setup.sh).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
TEST_PROCESSES ?= 2

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## only the set-up
	@deploy/setup.sh

.PHONY: demo
demo: setup  ## the whole loop once on the embedded model, then the console
	@$(BIN)/caravan demo

.PHONY: up
up: setup  ## every process of Caravan, without the demo
	@$(BIN)/caravan up

.PHONY: test
test: setup lint types  ## style, types, architecture, and all tests with their coverage
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --instafail --maxfail=25 --durations=40 --cov --cov-report=term-missing

.PHONY: acceptance
acceptance: setup  ## the 80 MT-Bench tasks while every process is killed once (CARAVAN_TEST_DATA names the inputs)
	$(BIN)/python -m tests.acceptance

.PHONY: bench
bench: setup  ## the benchmarks, side by side with their peers (.bench/latest.json)
	$(BIN)/python -m tests.bench

.PHONY: faults
faults: setup  ## many faults by seed: make faults PROCESS_SEEDS=100 SEEDS=1000; or replay one: PROCESS_SEED=7, SEED=7
	$(BIN)/python -m tests.faults

.PHONY: lint
lint: setup  ## style and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: setup  ## mypy --strict
	$(BIN)/mypy

.PHONY: migration
migration: setup  ## a new migration from the tables' changes: make migration m="what changes"
	@test -n "$(m)" || { echo 'Say what changes: make migration m="add a column for ..."'; exit 2; }
	$(BIN)/python -m migrations "$(m)"

.PHONY: lock
lock: setup  ## requirements.lock anew, from the ranges in pyproject.toml
	deploy/lock.sh

.PHONY: clean
clean:  ## remove what tools made; data (.caravan) and artifacts stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage .coverage.*

# Each target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin
PYTEST_ARGS ?=
FUZZ_ARGS ?=

.PHONY: help setup setup-tests poc test fuzz coverage check lint format types floors bench docs images lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## virtual environment from the lock (repeatable; about 3 minutes the first time)
	@scripts/setup

setup-tests:
	@scripts/setup --tests

poc: setup ## the whole line on this machine: sources to a released tiny checkpoint, through Airflow, Ray and Megatron
	@$(BIN)/headrace poc

test: setup-tests ## the whole suite; PYTEST_ARGS="-k crawl" narrows it
	@scripts/test $(PYTEST_ARGS)

coverage: setup-tests ## the whole suite with coverage, child processes included
	@scripts/test --coverage $(PYTEST_ARGS)

check: setup lint types floors ## style, types, floors

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/hadolint docker/*.Dockerfile

format: setup ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup
	@$(BIN)/mypy

floors: setup
	@$(BIN)/lint-imports --cache-dir var/import-linter
	@scripts/structure

fuzz: setup-tests ## thousands of hostile responses, records, rules and feeds among good ones, seeded; FUZZ_ARGS="--seed 2"
	@$(BIN)/python tests/governance/fuzzing.py $(FUZZ_ARGS)

bench: setup ## ratios against peers, in one run (benchmarks/README.md)
	@for f in benchmarks/*/bench_*.py; do echo "== $$f"; $(BIN)/python "$$f"; done

docs: setup ## checks every worked example and link in README, CONTRIBUTING and docs/
	@$(BIN)/python -m pytest tests/repo -k "docs or contributing" -q

images: ## the three images, built without an image registry and tried out (docker/README.md); needs root
	@scripts/images

lock: setup ## resolve requirements/lock.txt again from pyproject.toml
	@scripts/lock

clean: ## delete the environment and every run; sources stay
	rm -rf .venv var dist build .ruff_cache .mypy_cache .pytest_cache .import_linter_cache

# Every target sets up what it needs; the second time that costs nothing.
.DEFAULT_GOAL := help
SHELL := bash
BIN := .venv/bin
# Two at a time: most tests wait for processes and sockets. A file stays in one process, and so does its suite.
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n 2 --dist loadfile

.PHONY: help
help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: setup setup-extras setup-dev setup-blip
setup: ## Set up what the suite needs to run
	@scripts/setup run
setup-extras: ## Set up the optional engines, too: face descriptors, moderation, RapidOCR
	@scripts/setup extras
setup-dev: ## Set up what tests and linters need, too
	@scripts/setup dev
setup-blip: ## Set up the libraries of a local BLIP model, too: 2.3 GB to fetch
	@scripts/setup blip

.PHONY: run up down stop status demo
run: setup ## Start the whole suite in the foreground, with sample photos on the first start
	@$(BIN)/sightmill up --samples
up: setup ## The same in the background
	@$(BIN)/sightmill up --samples --detach
down: setup ## Stop what `make up` started
	@$(BIN)/sightmill down
stop: down ## The same as down
status: setup ## Show what runs
	@$(BIN)/sightmill status
demo: up ## Start in the background and analyse the sample photos
	@$(BIN)/sightmill samples

.PHONY: protos check-generated
protos: ## Generate stubs and descriptor set from protos/
	@scripts/protos
check-generated: ## Prove that what is checked in is what protos/ generates
	@scripts/check-generated

.PHONY: fmt lint types check
fmt: setup-dev ## Format code and protos
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/buf format -w protos
lint: setup-dev ## Lint code, protos and import rules
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/buf lint && $(BIN)/buf format -d --exit-code protos && $(BIN)/lint-imports
types: setup-dev ## Check types
	@$(BIN)/mypy
check: lint types check-generated ## All of the above

.PHONY: unit contract e2e test
unit: setup-dev ## Tests without sockets, in seconds
	@$(PYTEST) tests/unit
contract: setup-dev .tools/bin/versitygw ## One suite a port, over every real adapter
	@$(PYTEST) $(PARALLEL) tests/contract
e2e: setup-dev ## Whole stories over real processes
	@$(PYTEST) tests/e2e
test: setup-dev .tools/bin/versitygw ## All tests
	@$(PYTEST) $(PARALLEL) tests

.tools/bin/versitygw: scripts/versitygw
	@scripts/versitygw

.PHONY: bench
bench: setup-dev ## Run all benchmarks and print one table
	@$(BIN)/python -m bench
bench-blip: setup-blip ## Run the benchmark of a local BLIP model, on a GPU where there is one
	@$(BIN)/python -m bench blip
bench-%: setup-dev ## Run one benchmark, for example bench-pipeline
	@$(BIN)/python -m bench $*

.PHONY: eval fuzz
eval: setup-dev ## Measure how good the insights are, and write docs/quality.md
	@$(BIN)/python -m bench.quality
fuzz: setup-dev ## Throw damaged files at the decoders for ten minutes
	@$(BIN)/python -m tests.fuzz --minutes 10

.PHONY: clean
clean: ## Remove everything that was made, but no data
	@rm -rf .venv .tools build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

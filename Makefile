# Every target works from a fresh clone: the first one makes .venv and installs the pinned set into it (minutes), later
# ones start at once. What only developers need (a quarter of it) waits for a target that needs it. PYTHON chooses the
# interpreter that .venv is made from (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SERVICE := $(VENV)/.clickwise-service
TOOLS := $(VENV)/.clickwise-tools

.DEFAULT_GOAL := help
.PHONY: help install demo serve test lint types check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(SERVICE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clickwise needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "Installing Clickwise into $(VENV) (once, some minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[offline]'
	@touch $@

$(TOOLS): $(SERVICE)
	@echo "Installing what the tests need into $(VENV) (once) ..."
	@$(PIP) -e '.[offline,bench,ray,dev]'
	@touch $@

install: $(TOOLS) ## Make .venv with everything in it
	@true

demo: $(SERVICE) ## Build the example index, search it, learn from two documents, show what moved
	@$(BIN)/clickwise demo

serve: $(SERVICE) ## Serve the example index on http://127.0.0.1:8080
	@$(BIN)/clickwise demo --build-only
	@$(BIN)/clickwise serve --index python

test: $(TOOLS) ## Run the tests
	@$(BIN)/python -m pytest

lint: $(TOOLS) ## Check style and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/ruff format --check --quiet .

types: $(TOOLS) ## Check types (mypy --strict)
	@$(BIN)/mypy

check: lint types test ## All of lint, types and test

clean: ## Remove what the tools cached (keeps .venv and the indexes)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	@find $(wildcard index ranking server eval tests) -name __pycache__ -type d -prune -exec rm -rf {} +

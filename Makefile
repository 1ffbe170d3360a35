# Everything a person or CI does here, one target each. Only `up` and `test` are needed to use or to check strongroom.
#
# Set-up goes into .venv from hash-pinned locks; nothing is installed system-wide and no system package manager is run.
# A stamp file per lock makes the second `make` quick.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.installed-run
DEV    := $(VENV)/.installed-dev
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet install

# pytest's arguments, e.g. make test ARGS="tests/storage -x"
ARGS   ?=

.DEFAULT_GOAL := help
# make faults F=F6 RESUME=1: which fault, and whether to leave out the rounds that are done
F      ?=
RESUME ?=
FAULTS := .faults
LONG   := STRONGROOM_TEST_PROFILE=long STRONGROOM_FAULTS=$(abspath $(FAULTS)) STRONGROOM_FAULTS_RESUME=$(RESUME)

.PHONY: help up test check audit format docs bench faults soak lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(RUN) ## Set up and serve strongroom on https://127.0.0.1:8200, in the foreground
	@exec $(BIN)/strongroom up

test: $(DEV) ## Set up and run the tests
	@.ci/missing-packages --explain
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV) ## Lint, formatting, types, layers, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(BIN)/python .ci/audit_lock.py locks/dev.lock

audit: $(DEV) ## Look the locked packages up in the advisory database; fails when it cannot be reached
	@$(BIN)/python .ci/audit_lock.py --online locks/dev.lock

format: $(DEV) ## Format the code and fix what can be fixed by rule
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DEV) ## Write the reference pages anew from the code
	$(BIN)/python -m tests.docs.reference

bench: $(DEV) ## Print the table of costs per request (minutes; nothing passes or fails by it)
	$(BIN)/python -m bench $(ARGS)

faults: $(DEV) ## Run the long fault tests, or those of one fault: make faults F=F6 [RESUME=1] (docs/faults.md)
	@STRONGROOM_FAULT=$(F) $(LONG) $(BIN)/python -m pytest -v -s $(if $(F),tests,tests/faults tests/core tests/engines tests/storage) $(ARGS); \
		code=$$?; $(BIN)/python -m tests.faults.results $(FAULTS); exit $$code

soak: $(DEV) ## Work for an hour and watch memory, descriptors and threads (MINUTES=30 for less)
	STRONGROOM_SOAK_MINUTES=$(or $(MINUTES),60) STRONGROOM_FAULT=F33 $(LONG) $(BIN)/python -m pytest -s tests/faults/test_soak.py

lock: $(DEV) ## Resolve the dependencies anew into locks/ (needs uv)
	.ci/lock

clean: ## Remove the environment and everything that was generated; data of `up` stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@.ci/missing-packages --required
	$(PYTHON) -m venv $(VENV)

$(RUN): locks/run.lock pyproject.toml | $(BIN)/python
	@echo "Installing strongroom into $(VENV)"
	@$(PIP) --require-hashes -r locks/run.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): locks/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing strongroom and its test tools into $(VENV)"
	@$(PIP) --require-hashes -r locks/dev.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ $(RUN)

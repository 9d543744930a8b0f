# Everything a person or a machine does with this checkout. Needs Python 3.11 or newer, and make.

VENV := .venv
PY := $(VENV)/bin/python
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for candidate in python3.11 python3 python3.12 python3.13 python3.14 python; do \
	"$$candidate" -c '$(SUITABLE)' 2>/dev/null && { command -v "$$candidate"; break; }; done)
PIP := $(PY) -m pip --disable-pip-version-check --quiet

# What a person has set for another Python must not reach into this one.
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS PYTEST_ADDOPTS PIP_USER PIP_TARGET PIP_PREFIX VIRTUAL_ENV
export PYTHONNOUSERSITE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test torture lint bench docs clean

help: ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: $(VENV)/.dev ## Prepare .venv with all that tests need

demo: $(VENV)/.runtime ## Harvest a made-up platform into ./demo-lake: the whole job in a minute
	$(VENV)/bin/harvester demo

test: $(VENV)/.dev lint ## Lint, types, import contracts, all tests, coverage of the pure floor
	$(PY) -m pytest -n 2 --cov

torture: $(VENV)/.dev ## Play SEEDS (100) random trials of faults and kills
	nice $(PY) tests/run_torture.py --seeds $(or $(SEEDS),100)

lint: $(VENV)/.dev ## Lint, types and import contracts alone
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.dev ## Measure parsing and planning
	for one in benchmarks/bench_*.py; do $(PY) $$one || exit 1; done

docs: $(VENV)/.dev ## Write the generated documents again
	$(PY) -m harvester.docs

clean: ## Remove .venv, caches and the demo's lake
	rm -rf $(VENV) demo-lake .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are older than pyproject.toml when it has changed: then pip runs again.
$(VENV)/.runtime: pyproject.toml | $(PY)
	$(PIP) install --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(PY)
	$(PIP) install --editable '.[dev]'
	touch $@ $(VENV)/.runtime

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing; on Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || echo python3)
STORY ?= one-vm
SLOW ?= 1
LABS ?= 4
ONLY ?=
PART ?= 1/1
JOBS ?= 4

VENV := .venv
BIN := $(VENV)/bin
PINS := $(shell sha256sum requirements/all.txt | cut -c1-16)
INSTALLED := $(VENV)/.installed-$(PINS)
# Most of the tests' time is waiting: four processes keep two cores busy. tests/conftest.py says what stays together.
SIDE_BY_SIDE := --numprocesses $(JOBS) --dist loadgroup --no-loadscope-reorder --max-worker-restart 0
COMPILE := uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --universal

.PHONY: help setup wheel demo stories lab unit test crash-matrix lint lock clean

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(INSTALLED)  ## the virtual environment, and the programs of the lab's networks
	@lab/system_packages.sh

$(INSTALLED): requirements/all.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt="apt-get -qq -o DPkg::Lock::Timeout=120"; \
		$$apt update && DEBIAN_FRONTEND=noninteractive $$apt install -y python3-venv python3-pip >/dev/null; \
	fi
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.txt
	@rm -f $(VENV)/.installed-* && touch $@

wheel: setup  ## the product as a wheel, in dist/
	@rm -f dist/*.whl
	@$(BIN)/python -m hatchling build -t wheel

demo: setup  ## play a story in the lab, from start to end (STORY=one-vm)
	@$(BIN)/python -m lab demo $(STORY)

stories: setup  ## name the stories that can be played
	@$(BIN)/python -m lab stories

lab: setup  ## bring the lab up and keep it up, to be used by hand
	@$(BIN)/python -m lab up

unit: setup  ## the tests that start no server, in half a minute: the inner loop
	$(BIN)/python -m pytest -q --unit --numprocesses 2 --dist loadgroup

test: setup lint  ## all checks and tests (JOBS=4 side by side; SLOW=0 leaves the slow ones out)
	@lab/system_packages.sh checkers
	@$(BIN)/python -m tests.deploy.fetch_kubectl
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(if $(filter 0,$(SLOW)),-m "not slow")

crash-matrix: setup  ## every fault at every remote call of every step (above an hour; PART=2/4 plays a quarter in 23 minutes)
	@$(BIN)/python -m lab.crash_matrix --labs $(LABS) --only "$(ONLY)" --share "$(PART)"

lint: setup  ## style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lock:  ## pin all dependencies anew (needs uv)
	@command -v uv >/dev/null || { echo "uv is needed to pin dependencies"; exit 1; }
	$(COMPILE) -o requirements/product.txt
	$(COMPILE) --extra lab --extra dev -o requirements/all.txt

clean:  ## remove the virtual environment and everything that was made
	rm -rf $(VENV) .lab dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

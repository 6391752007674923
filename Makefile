# Each target makes .venv from setup.cfg by itself: when it is missing, and again when setup.cfg changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2
# The tests of a file share what they train: they go to one worker.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help demo test test-all fuzz lint notebooks clean

help:
	@echo "make demo       simulate a log, train on it, evaluate, export, recommend (under 3 minutes)"
	@echo "make test       all tests but slow ones; layers, losses and metrics again under Keras 3;"
	@echo "                docstring examples"
	@echo "make test-all   the same, then the slow ones: real logs, benchmarks, XLA of all modes"
	@echo "make fuzz       every wrong argument of a generator; many damaged logs and model directories"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make notebooks  run the notebooks"
	@echo "make clean      remove .venv and caches"

demo: .venv/installed
	$(BIN)/tfsessionrec demo

test: .venv/installed-dev
	$(PYTEST) -m "not slow"
	TF_USE_LEGACY_KERAS=0 $(PYTEST) -m "not slow" tests/layers tests/losses tests/metrics
	$(PYTEST) --doctest-modules tfsessionrec

test-all: test
	$(PYTEST) -m slow

fuzz: .venv/installed-dev
	FUZZ_CASES=all $(BIN)/python -m pytest -n 0 -q -s tests/fuzz

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

notebooks: .venv/installed-notebooks
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-%: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@

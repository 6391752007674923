# Each target makes .venv from setup.cfg by itself: when it is missing, and again when setup.cfg changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help demo test lint notebooks clean

help:
	@echo "make demo       simulate a log, train on it, evaluate, export, recommend (under 3 minutes)"
	@echo "make test       all tests; layers, losses and metrics again under Keras 3; docstring examples"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make notebooks  run the notebooks"
	@echo "make clean      remove .venv and caches"

demo: .venv/installed
	$(BIN)/tfsessionrec demo

test: .venv/installed-dev
	$(BIN)/python -m pytest -n $(WORKERS)
	TF_USE_LEGACY_KERAS=0 $(BIN)/python -m pytest -n $(WORKERS) tests/layers tests/losses tests/metrics
	$(BIN)/python -m pytest -n $(WORKERS) --doctest-modules tfsessionrec

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

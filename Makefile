# make sample    environment, installation, and four backbones of 100 residues in samples/
# make test      the same environment, and the tests
# make test-all  also the slow ones and the fault harness
# make lint      ruff, mypy, and the licences of what is installed
# make docs      the documentation site in build/site, from what is installed; every link and anchor is checked
# make licences  every extra is installed, and the licences of all are listed
# The first Python that runs and is new enough.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: sample test test-all lint docs licences clean

sample: $(VENV)/.installed
	$(BIN)/protgm sample length=100 num=4 out=samples seed=0

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "slow or faults or not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/licences.py

docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --strict

licences: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[tensorboard,report,design,refold,scale,ode,docs,dev]"
	$(BIN)/python scripts/licences.py complete

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "protgm needs Python 3.11 or newer; say where it is: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(VENV)/.installed $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) samples build

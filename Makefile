# make sample    environment, installation, and four backbones of 100 residues in samples/
# make test      the same environment, and the tests
# make test-light  those of them that take less than a few seconds each
# make test-all  also the long ones and the fault harness
# make lint      ruff, mypy, and the licences of what is installed
# make docs      the documentation site in build/site, from what is installed; every link and anchor is checked
# make floors    the lower bounds of pyproject.toml, installed in .venv-floors and tested; make newest: the newest of everything
# make licences  every extra is installed, and the licences of all are listed
# The first Python that runs and is new enough.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Tests that touch every dependency and take a few minutes.
LIGHT := tests/lie tests/matching/test_so3_paths.py tests/matching/test_solvers.py tests/matching/test_geomstats_space.py \
	tests/model/test_denoiser.py tests/structure/test_structure_mmcif.py tests/structure/test_structure_bcif.py \
	tests/structure/test_structure_read.py tests/structure/test_structure_dssp.py tests/structure/test_structure_unpack.py \
	tests/data/test_dataset.py tests/train/test_log.py tests/train/test_optim.py tests/design/test_refold.py \
	tests/test_conveniences.py tests/test_files.py tests/test_licences.py tests/test_weights_file.py

.PHONY: sample test test-light test-all lint docs floors newest licences clean

sample: $(VENV)/.installed
	$(BIN)/protgm sample length=100 num=4 out=samples seed=0

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q

test-light: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "not slow and not long and not faults"

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "long or faults or not long"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/licences.py

docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --strict

floors newest:
	test -x .venv-$@/bin/python || $(PYTHON) -m venv .venv-$@
	.venv-$@/bin/python -m pip install --quiet --upgrade packaging
	.venv-$@/bin/python scripts/floors.py $(filter newest,$@) > .venv-$@/requirements.txt
	.venv-$@/bin/python -m pip install --quiet --upgrade --requirement .venv-$@/requirements.txt
	.venv-$@/bin/python -m pip install --quiet --no-deps --editable .
	.venv-$@/bin/python -m pytest -q $(LIGHT)

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
	rm -rf $(VENV) .venv-floors .venv-newest samples build

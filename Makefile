# Every target sets up what it needs: `make demo` and `make test` work on a fresh machine.
#
#   make demo    simulate, pretrain, finetune, compare (writes demo/)
#   make test    the test suite
#   make lint    ruff and mypy
#   make bench   the benchmarks
#   make docs    the documentation (writes site/)
#   make screenshots   the pictures in docs/images, from a demo and a browser
#
# Another Python:       make test PYTHON=python3.12
# Another torch build:  make demo INSTALL_TORCH="torch --index-url URL"
#                       (URL as torch's own installation page gives it for your GPU)

PYTHON ?= python3
VENV ?= .venv
INSTALL_TORCH ?=
PYTEST_ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.installed-docs
# Held back by the user's own choice of torch; otherwise everything in constraints.txt holds.
CONSTRAINTS := $(VENV)/constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format bench docs screenshots clean FORCE

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,12p'

# The demo refuses a used folder; here it is the demo's own.
demo: $(INSTALLED)
	rm -rf demo
	$(BIN)/neuroduet demo --out demo

# One thread per worker: threads that outnumber the cores make every test slower.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest \
	  -n auto --maxprocesses=4 --dist worksteal --jaxtyping-packages=neuroduet,beartype.beartype $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ratios, in some ten minutes; the other scripts in benchmarks/ take longer and say so.
bench: $(INSTALLED)
	@set -e; export OMP_WAIT_POLICY=PASSIVE; \
	for script in startup step loader cosmoothing actions_tcn actions_s3lds processes; do \
	  echo "== $$script"; $(BIN)/python "benchmarks/$$script.py"; done

docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The tests that look at pages in a real browser take the pictures; without one they are skipped.
screenshots: $(INSTALLED)
	@test -d demo/finetuned || { echo "there is no demo to show; run: make demo" >&2; exit 1; }
	NEURODUET_SCREENSHOTS=docs/images NEURODUET_SCREENSHOT_DEMO=demo MPLBACKEND=Agg \
	  $(BIN)/python -m pytest -q tests/view/test_browser.py tests/view/test_browser_labels.py \
	  tests/report/test_report_screenshot.py

clean:
	rm -rf $(VENV) site demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "neuroduet needs Python 3.10 to 3.13; say which: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A given INSTALL_TORCH always installs; otherwise only changed requirements do.
ifneq ($(strip $(INSTALL_TORCH)),)
$(INSTALLED): FORCE
endif
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
ifneq ($(strip $(INSTALL_TORCH)),)
	$(BIN)/python -m pip install --quiet $(INSTALL_TORCH)
	grep -v '^torch==' constraints.txt > $(CONSTRAINTS) || true
else
	cp constraints.txt $(CONSTRAINTS)
endif
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps ibl-bwb-eval==0.1.0
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[docs]'
	@touch $@

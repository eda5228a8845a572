# make help lists what is here. Needed: make and Python 3.11, 3.12 or 3.13; nothing else has to be installed.
#   make lab PYTHON=/path/to/python3.12    with a Python of your choice
#   make lab FRESH=1                       with new copies of the notebooks; yours move to work/before-…
#   make lab CUDA=no                       without the GPU packages, on a machine with an NVIDIA GPU

PYTHON ?=
CUDA ?=
FRESH ?=
WORKERS ?= 2
PY := .venv/bin/python
# One file, one worker: its fixtures are made once. The order is that of tests/conftest.py.
XDIST := -n $(WORKERS) --dist loadfile
UNIT := $(XDIST) --no-loadscope-reorder -p no:nbval
# Two kernels on two cores: NumPy's threads, one for each core in each kernel, would wait for each other at full speed.
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg \
	--nbval-cell-timeout=120

export PYTHON CUDA FRESH
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help lab check test course notebooks site site-serve site-test lint format requirements setup data doctor clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

lab: setup data ## set everything up, then open your copy of the course in JupyterLab
	@sh tools/lab.sh 00_welcome.ipynb

check: lint data ## for every day: ruff, mypy, notebook lint, unit tests not marked slow; no notebook is run
	$(PY) tools/notebooks.py lint
	$(PY) -m pytest -q $(UNIT) -m "not slow" tests --ignore tests/test_notebooks.py

test: setup data ## set everything up, then all unit tests, notebook lint, and every output compared
	$(PY) -m pytest $(UNIT) tests
	$(PY) tools/notebooks.py lint
	OMP_NUM_THREADS=1 $(PY) -m pytest $(NBVAL) $(XDIST) notebooks

course: setup data ## run every notebook without a browser, into a new folder
	@out=$$(mktemp -d) && $(PY) tools/notebooks.py run -j $(WORKERS) --out "$$out" && echo "The run notebooks are in $$out"

notebooks: setup data ## run and clean the committed notebooks in place
	$(PY) tools/notebooks.py run

site: ## build the book, a website of the course, into build/book/html; nothing is run
	@sh tools/site.sh
	@.venv-book/bin/python tools/book.py

site-serve: site ## build the book, and show it at http://127.0.0.1:8000
	@.venv-book/bin/python tools/book.py --serve

site-test: setup site ## look at every page of the book in a headless browser
	MMKERAS_SITE=build/book/html $(PY) -m pytest -q -p no:nbval tests/test_site.py

lint: setup ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: setup ## let ruff mend what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

requirements: setup ## pin anew from the ranges in pyproject.toml (UPGRADE=1: newest versions)
	$(PY) tools/requirements.py $(if $(UPGRADE),--upgrade)

setup: ## only .venv, with the pinned packages
	@sh tools/setup.sh

data: setup ## only the data that the course starts with
	@$(PY) -m mmkeras data fetch

doctor: setup ## a report on this machine, to paste into a bug report
	@$(PY) -m mmkeras doctor

clean: ## remove .venv and what tools left behind (the data in data/cache stays)
	rm -rf .venv .venv-book build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

# `make demo` shows Assay, `make test` proves it. They need python3 (3.11 to 3.14), make and a package index.
PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8000
SERVE  ?= 1

BIN     := $(VENV)/bin
MANAGE  := $(BIN)/python manage.py
# Every version is pinned with its dependencies, so pip has nothing to resolve.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
PINNED  := $(INSTALL) --require-hashes --use-pep517
LOCK    := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
           --no-emit-index-url --no-emit-find-links

.DELETE_ON_ERROR:
.PHONY: demo test lint bench lock screenshots clean

demo: $(VENV)/.run
	$(MANAGE) demo --port $(PORT) $(if $(filter 0 no false,$(SERVE)),--no-serve)

# Not the installation's home; pytest makes one of its own.
test: export ASSAY_HOME = $(CURDIR)/build/home
test: lint
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) check
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/.dev
	$(BIN)/python docs/screenshots.py

# What Assay needs to run …
$(VENV)/.run: requirements/base.txt requirements/demo.txt | $(BIN)/python
	@$(PINNED) -r requirements/base.txt -r requirements/demo.txt
	@touch $@

# … and what its tests need on top.
$(VENV)/.dev: requirements/dev.txt requirements/demo.txt pyproject.toml | $(BIN)/python
	@$(PINNED) -r requirements/dev.txt -r requirements/demo.txt
	@$(INSTALL) --no-build-isolation -e .
	@touch $@ $(VENV)/.run

$(BIN)/python:
	@echo "Setting up in $(VENV): a minute or two, once."
	@$(PYTHON) requirements/make_venv.py $(VENV)

# Needs uv. Nothing that names a package index may end up in the files.
lock:
	cd requirements && for set in base demo spark dev dlt dbt; do $(LOCK) $$([ $$set = demo ] && echo --no-deps) $$set.in -o $$set.txt || exit 1; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

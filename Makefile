# demo: everything on a fresh machine with Python and git; test: what CI runs; check: lint, types, imports.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench clean

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(BIN)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(BIN)/.installed $@

demo: $(BIN)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/demo.sh

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest

check: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(BIN)/.installed-dev
	$(BIN)/python benchmarks/noise.py
	$(BIN)/python benchmarks/sandbox_start.py
	$(BIN)/python benchmarks/trials.py
	$(BIN)/python benchmarks/channel.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/trials.py
	$(BIN)/python benchmarks/channel.py
	$(BIN)/python benchmarks/journal.py

clean:
	rm -rf $(VENV) .demo

# Two commands: `make demo` shows a search, `make test` runs every check. Both set up what they need.
PYTHON ?= python3
PY = .venv/bin/python

.PHONY: setup demo test check lint bench clean

setup: .venv/installed

# Pinned by constraints.txt. `torch==2.13.0` there is met by a CPU build (2.13.0+cpu) wherever pip can see one.
.venv/installed: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	.venv/bin/automl search digits

# Every check: lint, types, all tests. Under ten minutes on two cores.
test: setup lint
	$(PY) -m pytest -q -n auto --dist worksteal

# The everyday part: no slow tests.
check: setup lint
	$(PY) -m pytest -q -n auto --dist worksteal -m "not slow"

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

# Two commands: `make demo` shows a search, `make test` runs every check. Both set up what they need.
PYTHON ?= python3
PY = .venv/bin/python
export OMP_NUM_THREADS = 1  # tests run side by side: one thread each

.PHONY: setup demo test check lint bench chaos fuzz clean

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
	$(PY) -m pytest -q -n auto --dist loadgroup

# The everyday part: no slow tests.
check: setup lint
	$(PY) -m pytest -q -n auto --dist loadgroup -m "not slow"

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Kills drivers and workers at random; every search must end as if nothing had happened.
chaos: setup
	$(PY) -m automl.testing.stress.chaos --kills $(or $(KILLS),300)

# Mutated specs and tables, and a failure of each single write, flush, rename and commit.
fuzz: setup
	$(PY) -m automl.testing.stress.fuzz $(or $(MUTANTS),20000)
	$(PY) -m automl.testing.stress.fuzz_tables $(or $(TABLES),2000)
	$(PY) -m automl.testing.stress.faults

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

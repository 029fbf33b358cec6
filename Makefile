# `make demo` shows a search, `make test` runs every check, `make quick` the first minute of it. All set up what they need.
PYTHON ?= python3
PY = .venv/bin/python

LINT = .venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
TESTS = $(PY) -m pytest -q -n auto --maxprocesses 8 --dist loadgroup
# Runs a command and prints the CPU time it took.
COUNT = $(PY) -m tests.support.cpu_time

# Tests run side by side: one thread each.
export OMP_NUM_THREADS = 1
# Where it is set, each of the hundred processes that the tests start would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check quick coverage lint docs chaos fuzz clean

setup: .venv/installed

# Pinned by constraints.txt. `torch==2.13.0` there is met by a CPU build (2.13.0+cpu) wherever pip can see one.
.venv/installed: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	.venv/bin/automl search digits

# Every check: lint, types, all tests.
test: setup
	@$(COUNT) "$(LINT) && $(TESTS)"

# The everyday part: no slow tests (those of more than five seconds).
check: setup
	@$(COUNT) "$(LINT) && $(TESTS) -m 'not slow'"

# While working: what a study rests on, and the laws that every strategy, stopper and import keeps.
quick: setup
	@$(COUNT) "$(TESTS) -m 'not slow' tests/core tests/specfile tests/study tests/laws"

# Branch coverage of each folder; what part of the tests runs: make coverage TESTED="tests/study tests/driver"
coverage: setup
	@$(COUNT) "$(TESTS) --cov --cov-report= $(TESTED); $(PY) -m tests.support.coverage_table"

lint: setup
	$(LINT)

# The site, in build/docs; a warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# Kills drivers and workers at random; every search must end as if nothing had happened.
chaos: setup
	$(PY) -m automl.testing.stress.chaos --kills $(or $(KILLS),300)

# Mutated specs, tables, requests to a server (BODIES=100000), saved models and ledgers; and a failure of each single
# write, flush, rename and commit.
fuzz: setup
	$(PY) -m automl.testing.stress.fuzz $(or $(MUTANTS),20000)
	$(PY) -m automl.testing.stress.fuzz_tables $(or $(TABLES),2000)
	$(PY) -W ignore -m automl.testing.stress.service.mutants $(or $(BODIES),5000)
	$(PY) -W ignore -m automl.testing.stress.service.described $(or $(BODIES),5000)
	$(PY) -m automl.testing.stress.fuzz_rows $(or $(ROWS),20000)
	$(PY) -m automl.testing.stress.fuzz_bundles $(or $(BUNDLES),2000)
	$(PY) -m automl.testing.stress.fuzz_ledgers $(or $(LEDGERS),2000)
	$(PY) -m automl.testing.stress.faults

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .coverage

# Each target sets up what it needs first: a fresh Debian or Ubuntu with Python 3.11 will do.
#   make demo              February 2026 for 200 customers and the plan of March, then the consoles
#   make demo EXIT=1       the same, and ends after the story; DAY=3 for longer days, in seconds
#   make test              checks and all tests; ONLY=domain for the tests in tests/domain alone
#   make bench             what a cycle costs, and what is looked at with a million invoices
#   make bench SCALE=1     cycles of 2,000 and 20,000 customers, and the production topology: an hour
.PHONY: demo test bench lint setup setup-test format clean
.DEFAULT_GOAL := demo
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
SOURCES = $(patsubst %/__init__.py,%,$(wildcard */__init__.py)) $(wildcard *.py)

demo: setup
	@$(PY) -m demo $(if $(EXIT),--exit) $(if $(DAY),--day-seconds $(DAY))

# The fast tests come first (testpaths in pyproject.toml), side by side unless a part is asked for;
# pytest has the last word.
test: setup-test $(if $(ONLY),,lint)
	@$(PY) -m pytest $(if $(ONLY),$(addprefix tests/,$(ONLY)),--numprocesses 2 --no-loadscope-reorder)

# with the browser of the tests
bench: setup-test
	@$(PY) -m benchmarks$(if $(SCALE),.scale)

lint: setup-test
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy $(filter-out tests,$(SOURCES))
	@.venv/bin/lint-imports

format: setup
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

setup:
	@stack/setup.sh

setup-test:
	@stack/setup.sh test

clean:
	rm -rf .venv .billwright .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Two commands do everything on a machine that has Python 3.11 or newer and make:
#   make demo    set up, then run every notebook on the built-in catalog into runs/demo
#   make study   set up, then compare codebooks and recommenders over three seeds into runs/study (hours)
#   make test    set up, then run the linters and all tests
#   make check   the linters and the fast tests, in seconds
#   make endure  set up, then thousands of damaged inputs and deaths per job (hours; TRIES=10000)
# Set-up lives in .venv and is skipped when nothing changed. Versions are pinned in constraints.txt.

PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: demo study check test endure mutants lab bench notebooks pin clean lint-pages

demo: .venv/run.stamp
	$(BIN)/macrec run --out runs/demo

study: .venv/run.stamp
	$(BIN)/macrec run 03 08 --out runs/study -p profile=study

lab: .venv/run.stamp
	$(BIN)/macrec lab

test: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# Scripts and style sheets of pages; the tests do the same where biome is installed. Needs npm.
lint-pages: node_modules/.bin/biome
	$< ci

node_modules/.bin/biome:
	npm install --no-save --no-package-lock --no-audit --no-fund @biomejs/biome@2.6.8

# Seconds instead of minutes, while you work: the linters, and the tests that train nothing.
FAST := $(addprefix tests/, evaluation models published quantization test_architecture.py test_docs.py test_glossary.py)
check: .venv/dev.stamp
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet --numprocesses auto --maxprocesses 4 --dist loadgroup -m "not slow" $(FAST)

TRIES := 10000
endure: .venv/dev.stamp
	$(BIN)/pytest --quiet --endure $(TRIES) tests/endure

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks

# Break the library one line at a time: do the tests notice? Half an hour; at most two of the mutants may survive.
mutants: .venv/dev.stamp
	$(BIN)/python tests/mutants/run.py

# Take outputs and widget state out of the notebooks before a commit (cells tagged keep_output keep theirs).
# Their pages in docs/notebooks get their words and code; outputs there are those of `docs/make_pages.py RUN`.
notebooks: .venv/dev.stamp
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb
	$(BIN)/python docs/page_words.py

# Write the versions that stand in .venv now as the new pins.
pin: .venv/dev.stamp
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9]*$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	$(if $(PYTHON),,$(error macrec needs Python 3.11 or newer; none was found on the PATH))
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/run.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Setting up .venv: pinned packages, 1 to 5 minutes and 2 to 2.5 GB (more with a CUDA build of torch)"
	$(PIP) --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@echo "Adding what the tests need"
	$(PIP) --editable ".[dev]"
	@touch $@

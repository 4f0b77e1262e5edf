# On a fresh machine with Python 3.10 to 3.14, `make demo` and `make test` do everything.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= 350000
BIN := $(VENV)/bin

.PHONY: help demo test test-quick fuzz lint docs clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(VENV)/installed  ## Compress and decompress a sample into demo/, and print sizes and PSNR beside JPEG's
	$(BIN)/python samples/demo.py samples/coffee.png demo

test: $(VENV)/installed-dev  ## Run the tests
	$(BIN)/python -m pytest

test-quick: $(VENV)/installed-dev  ## Run the tests that need no training, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2

fuzz: $(VENV)/installed-dev  ## Change files, models and archives RUNS times each, and see that only errors come of it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt --editable '.[fuzz]'
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py files -runs=$(RUNS)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py models -runs=$(RUNS)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py archives -runs=$(RUNS)

lint: $(VENV)/installed-dev  ## Check style, types, and the README's results
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python benchmarks/readme_results.py --check
	$(BIN)/python docs/make_api.py --check

docs: $(VENV)/installed-docs  ## Make the documentation site, build/site/index.html; a broken link is an error
	$(BIN)/python docs/stage_site.py
	$(BIN)/mkdocs build --strict --quiet

clean:  ## Remove the environment, caches and the demo's output
	rm -rf $(VENV) build demo .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt --editable '.[dev]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt --editable '.[docs]'
	touch $@

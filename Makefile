# make demo   deblur a picture and say where it is
# make test   run the tests
# make lint   style, types, and which room imports which
# make docs   the documentation as a site in build/site
# All work in .venv, which is made on first use and again when the requirements change.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt setup.py $(wildcard src/unsmear/native/*.cpp src/unsmear/native/*.h)
DEMO := build/demo

.PHONY: all demo test lint docs format clean
.NOTPARALLEL:

all: lint test demo

demo: $(VENV)/.demo-installed
	$(BIN)/unsmear demo -o $(DEMO)
	@echo "Before, blur map and after in one picture: $(CURDIR)/$(DEMO)/demo.png"

test: $(VENV)/.dev-installed
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.dev-installed
	$(BIN)/mkdocs build

format: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-installed: $(REQUIREMENTS) | $(BIN)/python
	$(INSTALL) -e . scikit-image
	@touch $@

$(VENV)/.dev-installed: $(REQUIREMENTS) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@# Without its torchvision, which does not fit every build of torch; tests stand in for that.
	$(INSTALL) --no-deps spandrel einops
	@touch $@ $(VENV)/.demo-installed

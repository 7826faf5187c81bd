# `make run` and `make test` are all that most people need; each makes the environment when it is missing.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV := uv==0.13.9
PROFILE ?= nano
ARGS ?=
# Threads that spin briefly, then sleep, as `cinelib` has it: spinning ones cost a busy machine minutes.
export GOMP_SPINCOUNT ?= 1000

# The first of these that is 3.11 or 3.12; `make PYTHON=/path/to/python run` chooses another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c "$(SUPPORTED)" >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help run test lint lab lock notebooks smoke doctor clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: $(INSTALLED) ## the whole workbook on the classroom model, ending with the path of a report
	$(BIN)/cinelib run --profile $(PROFILE) $(ARGS)

# A test process for each core, up to four: one alone leaves the second core idle, and each takes 1 to 2 GB.
# Who has run out of tests takes some of another's, so that both are busy to the end.
test: $(INSTALLED) ## all tests, slow ones too (ARGS='-m "not slow"' for the fast ones)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(INSTALLED) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(INSTALLED) ## JupyterLab on the notebooks
	$(BIN)/cinelib lab --profile $(PROFILE)

smoke: $(INSTALLED) ## the whole workbook on random weights, about three minutes
	$(BIN)/cinelib run --profile smoke

doctor: $(INSTALLED) ## can this machine run the workbook?
	$(BIN)/cinelib doctor --profile $(PROFILE)

notebooks: $(INSTALLED) ## build notebooks/*.ipynb from notebooks/source/*.py
	$(BIN)/python notebooks/source/course.py build

lock: | $(BIN)/python ## resolve .ci/constraints.txt again from pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check $(UV)
	$(BIN)/uv pip compile -q --upgrade --python-version 3.11 --extra dev pyproject.toml \
		-o .ci/constraints.txt --no-annotate --no-header
	$(MAKE) $(INSTALLED)

clean: ## remove the environment (runs and data stay)
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" && $(PYTHON) -c "$(SUPPORTED)" 2>/dev/null || { exec >&2; \
		echo "Cinelib needs Python 3.11 or 3.12$(if $(PYTHON),; '$(PYTHON)' is neither)."; \
		echo "Install one, or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { exec >&2; rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv"; \
		exit 1; }

# A marker file, so that the environment follows pyproject.toml and the constraints, and is made once.
# Compiled at once, as pip does: where Python may not write bytecode, every notebook would compile all it imports.
$(INSTALLED): pyproject.toml .ci/constraints.txt | $(BIN)/python
	@echo "Installing pinned packages into $(VENV) (several GB; half a minute to some minutes)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check $(UV) \
		&& $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -c .ci/constraints.txt -e '.[dev]' \
		|| { echo "uv could not install them; trying pip" >&2; \
			$(BIN)/python -m pip install -q --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'; }
	@touch $@

# Thin aliases; each line below is what one would type. `make repro` and `make test` are all that a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: repro test lint lock deps
repro: $(BIN)/.installed
	$(ACTIVE) dvc repro
	@echo "The report: report/report.html"

test: $(BIN)/.installed
	$(ACTIVE) python -m pytest

lint: $(BIN)/.installed
	$(ACTIVE) ruff check . && $(ACTIVE) ruff format --check . && $(ACTIVE) mypy

lock: $(BIN)/.installed  # requirements.in -> requirements.txt
	$(ACTIVE) uv pip compile --universal --python-version 3.11 --no-emit-find-links --upgrade --quiet \
		--custom-compile-command "make lock" requirements.in -o requirements.txt

deps: $(BIN)/.installed  # the code dependencies in dvc.yaml, from the imports of each stage
	$(ACTIVE) python -m tools.closure --write

$(BIN)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make repro PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

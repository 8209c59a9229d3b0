# Everything here works on a machine with nothing but Python 3.10 or newer: what is missing is made in .venv first.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
NOX    := $(VENV)/bin/nox
COSMIC := $(VENV)/bin/cosmic-ray
MODULE ?= convnotes/geometry.py
SAMPLE ?= 40
HTML   := _build/html
ZIP    := _build/convnotes.zip
BIOME  := node_modules/.bin/biome
PORT   ?= 8000

.PHONY: help book translate test properties serve zip pdf exercises notebooks bench gpu matrix release audit mutation lint faults clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "convnotes needs Python 3.10 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (some minutes the first time) …"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(PY) -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e ".[test]"
	@touch $@

book: $(READY)  ## build the book
	@$(PY) book/build.py
	@echo "Built the book: open $(CURDIR)/$(HTML)/index.html (in Chinese zh/index.html), or run 'make serve'."

translate: $(READY)  ## bring the catalogues of the Chinese edition up to date, and list what to translate
	@$(PY) book/translate.py

test: $(READY)  ## run all tests, every notebook and the browser included
	@$(PY) -m pytest
	@echo "All tests passed: the package, every printed number of the book, and its pages in a browser."

properties: $(READY)  ## try the tests of random arguments on many more of them, and calls by the thousand (minutes)
	@HYPOTHESIS_PROFILE=long $(PY) -m pytest -q -m hypothesis tests
	@HYPOTHESIS_PROFILE=long $(PY) -m pytest -q tests/contract/test_growth.py

serve: book  ## build the book, serve it on 127.0.0.1 and open it
	@echo "Serving on http://127.0.0.1:$(PORT)/ (Ctrl-C stops)."
	@$(PY) -m webbrowser -t "http://127.0.0.1:$(PORT)/" >/dev/null 2>&1 || true
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory $(HTML)

zip: book  ## pack the built book into one file, to read it without a network
	@$(PY) -m zipfile -c $(ZIP).part $(HTML)/ && mv $(ZIP).part $(ZIP)
	@echo "Packed the book: unpack $(abspath $(ZIP)) anywhere and open html/index.html."

pdf: book  ## print the book into one PDF (needs Chromium)
	@$(PY) book/pdf.py _build/convnotes.pdf
	@echo "Printed the book: $(CURDIR)/_build/convnotes.pdf."

exercises: $(READY)  ## make a notebook of each chapter's exercises, to be solved
	@$(PY) book/exercises.py
	@echo "The exercises are in $(CURDIR)/_build/exercises: open them with '$(VENV)/bin/jupyter lab _build/exercises'."

notebooks: $(READY)  ## run every notebook again and store what it prints
	@$(PY) book/execute.py
	@echo "Stored the outputs in book/: look at them with 'git diff', then 'make test'."

bench: $(READY)  ## time the layers against what is used today
	@$(PY) -m convnotes.bench

faults: $(READY)  ## kill what writes at every point, and fill the disk there (some minutes)
	@FAULTS=all $(PY) -m pytest -n0 -q tests/test_faults.py

gpu:  ## test the Triton kernels and time them, on the CUDA device of PYTHON's torch (minutes)
	@$(PYTHON) -c 'import pytest, torch, triton' || \
	  { echo "$(PYTHON) needs torch with CUDA, triton and pytest. Try: make gpu PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -m pytest -q -p no:cacheprovider -o addopts=--import-mode=importlib tests/kernels/gpu/test_triton.py
	@$(PYTHON) -m convnotes.bench --device cuda --op adder deformable depthwise --backend auto --rounds 5

$(NOX): pyproject.toml constraints.txt
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --group matrix
	@touch $@

matrix: $(NOX)  ## test the package on the oldest and the newest Python, torch and numpy (gigabytes the first time)
	@$(NOX)

release: $(READY)  ## build the wheel and the source archive, and check both
	@$(PY) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --group release
	@rm -rf dist && $(PY) -m build --no-isolation
	@$(PY) -m twine check --strict dist/*

audit: $(READY)  ## look for known security faults in what is installed
	@mkdir -p _build && $(PYTHON) -m venv _build/audit
	@_build/audit/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip-audit || true
	@_build/audit/bin/pip-audit --path "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" > _build/audit.txt 2>&1; \
	if grep -q "^Found .* known vulnerabilit" _build/audit.txt; then cat _build/audit.txt; exit 1; \
	elif grep -q "could not be audited: numpy" _build/audit.txt; then echo "Not audited: the index that answers here knows of no faults of packages."; \
	elif grep -q "^No known vulnerabilities" _build/audit.txt; then echo "No known faults; what could not be looked up is in _build/audit.txt."; \
	else echo "Not audited: $$(tail -n 1 _build/audit.txt)"; fi

$(COSMIC): $(READY)
	@$(PY) -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --group mutation
	@touch $@

mutation: $(COSMIC)  ## break MODULE in SAMPLE ways (all: every one), one at a time, and see its tests fail (hours for all)
	@$(PY) tests/support/mutate.py $(MODULE) --sample $(SAMPLE)

lint: $(READY)  ## check the style of the code, and its types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy
	@if ! command -v npm >/dev/null; then echo "No npm here: JavaScript and CSS are not checked."; \
	elif ! $(MAKE) --silent --no-print-directory $(BIOME) 2>/dev/null; then echo "npm could not install biome: JavaScript and CSS are not checked."; \
	else $(BIOME) check --error-on-warnings; fi

$(BIOME): package-lock.json
	@npm ci --silent --no-audit --no-fund && touch $@

clean:  ## remove what was built (not .venv)
	@rm -rf _build node_modules dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@echo "Removed what was built; 'rm -r $(VENV)' removes the environment too."

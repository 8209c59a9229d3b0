# Everything here works on a machine with nothing but Python 3.10 or newer: what is missing is made in .venv first.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
HTML   := _build/html
BIOME  := node_modules/.bin/biome
PORT   ?= 8000

# What every stored output was computed with: one thread, and the same code on all processors, in torch and in its
# libraries, so that sums are taken in one order.
SAME := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
ifeq ($(shell uname -m),x86_64)
SAME += ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=AVX2
endif

.PHONY: help book test serve notebooks bench lint clean
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
	@$(VENV)/bin/jupyter-book build . -W --keep-going --quiet
	@echo "Built the book: open $(CURDIR)/$(HTML)/index.html, or run 'make serve'."

test: $(READY)  ## run all tests, every notebook and the browser included
	@env $(SAME) $(PY) -m pytest
	@echo "All tests passed: the package, every printed number of the book, and its pages in a browser."

serve: book  ## build the book, serve it on 127.0.0.1 and open it
	@echo "Serving on http://127.0.0.1:$(PORT)/ (Ctrl-C stops)."
	@$(PY) -m webbrowser -t "http://127.0.0.1:$(PORT)/" >/dev/null 2>&1 || true
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory $(HTML)

notebooks: $(READY)  ## run every notebook again and store what it prints
	@$(PY) book/execute.py
	@echo "Stored the outputs in book/: look at them with 'git diff', then 'make test'."

bench: $(READY)  ## time the layers against what is used today
	@$(PY) -m convnotes.bench

lint: $(READY)  ## check the style of the code
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@if ! command -v npm >/dev/null; then echo "No npm here: JavaScript and CSS are not checked."; \
	elif ! $(MAKE) --silent --no-print-directory $(BIOME) 2>/dev/null; then echo "npm could not install biome: JavaScript and CSS are not checked."; \
	else $(BIOME) check --error-on-warnings; fi

$(BIOME): package-lock.json
	@npm ci --silent --no-audit --no-fund && touch $@

clean:  ## remove what was built (not .venv)
	@rm -rf _build node_modules dist build .pytest_cache .ruff_cache .hypothesis
	@echo "Removed what was built; 'rm -r $(VENV)' removes the environment too."

# Every target makes what it needs in .venv first. `make` alone prints the list.

VENV   ?= .venv
PYTHON ?=
ARGS   ?=

BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Spares each `make lint` a look-up of newer versions.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help compare space data test test-slow lint format clean

help:  ## show this list
	@echo "Seven classic CNN families judged on real data, seq2seq with attention, and an app of language and image models."
	@echo
	@awk -F '  ## ' '/^[a-z-]+:.*  ## / { sub(/:.*/, "", $$1); printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  ARGS='...'   is passed on:  make compare ARGS='--models resnet18 --datasets mnist'"
	@echo "  PYTHON=...   names the Python (3.11 or newer) that a new .venv is made with"

compare: $(VENV)/.installed-core  ## train the seven families on the three data sets and print who wins
	$(BIN)/python -m benchmarks.compare $(ARGS)

space: $(VENV)/.installed-space  ## get the offline models (180 MB, once) and open the app
	$(BIN)/python -m space.demo_models
	$(BIN)/python -m space.app --open $(ARGS)

data: $(VENV)/.installed-core  ## prepare the three data sets and show what is there
	$(BIN)/python -m jax_models.data $(ARGS)

test: $(VENV)/.installed-test  ## run the tests (CPU, no internet, minutes)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-test  ## run the long tests, which `make test` leaves out
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/.installed-dev  ## check style, format and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev  ## repair what ruff can: style and format
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

clean:  ## remove .venv and caches; data and results stay
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf .pytest_cache .ruff_cache
	@for d in jax_models seq2seq benchmarks space tests; do find $$d -name __pycache__ -prune -exec rm -rf {} +; done

# --- the environment ----------------------------------------------------------------------------------------------
# A stamp per set of packages: pip runs again only when pyproject.toml or the environment's Python has changed.

define install
	@echo "Installing $(1) into $(VENV): about a minute on a fast line."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --editable '$(1)'
	@touch $(addprefix $(VENV)/.installed-,$(2))
endef

# The version that the tests were run with, unless a PyTorch is there: whoever wants another build installs it before.
define pytorch
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install torch==2.13.0
endef

$(VENV)/.installed-core: pyproject.toml $(BIN)/python
	$(call install,.[fast],core)

$(VENV)/.installed-space: pyproject.toml $(BIN)/python
	$(pytorch)
	$(call install,.[space],space)

$(VENV)/.installed-test: pyproject.toml $(BIN)/python
	$(pytorch)
	$(call install,.[test],core space test)

$(VENV)/.installed-dev: pyproject.toml $(BIN)/python
	$(pytorch)
	$(call install,.[dev],core space test dev)

# Takes the first Python that runs: a pyenv shim may be on PATH and still not run. PYTHON=... may be newer than 3.12.
$(BIN)/python:
	@version='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $(if $(PYTHON),99,12)))'; \
	chosen= lacking=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.12 python3.11); do \
	  "$$python" -c "$$version" >/dev/null 2>&1 || continue; \
	  if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then chosen=$$python; break; fi; \
	  lacking=$$python; \
	done; \
	if [ -n "$$chosen" ]; then \
	  echo "Making $(VENV) with $$("$$chosen" -V)."; \
	  exec "$$chosen" -m venv $$([ ! -f "$(VENV)/pyvenv.cfg" ] || echo --clear) "$(VENV)"; \
	elif [ -n "$$lacking" ]; then \
	  echo "error: $$lacking cannot make virtual environments; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; \
	else \
	  echo "error: $(if $(PYTHON),PYTHON=$(PYTHON) is no Python 3.11 or newer that runs,no Python 3.11 or 3.12 that runs was found); install one, or name it: make compare PYTHON=/path/to/python3.12" >&2; \
	fi; \
	exit 2

# The two commands of the README, and those of a developer. Needs Python 3.11+ and make.
PYTHON ?= python3
CORES  ?= $(shell nproc 2>/dev/null || echo 2)
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo
FAULTS := faults

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint format bench docs faults clean upgrade setup
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "drpflow needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "$(PYTHON) has no venv module; on Debian: apt install python3-venv"; exit 2; }

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing drpflow and its packages into $(VENV) (a minute or two) ..."
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[sim]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing drpflow, its packages and the test tools into $(VENV) (a minute or two) ..."
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev  ## virtual environment with everything for development

demo: $(VENV)/.demo  ## simulate a survey, calibrate it, score it against its truth
	@$(BIN)/drpflow simulate demo --output $(DEMO) --cores $(CORES)
	@$(BIN)/drpflow ingest $(DEMO)/raw --camera $(DEMO)/camera.yaml \
	  --calibrations $(DEMO)/calib --output $(DEMO)/sheets
	@$(BIN)/drpflow run --cores $(CORES)
	@$(BIN)/drpflow score $(DEMO)/truth

test: $(VENV)/.dev lint  ## style and type checks, then the whole suite
	@$(BIN)/python -m pytest -n $(CORES) --no-loadscope-reorder

lint: $(VENV)/.dev  ## ruff, snakefmt, types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/mypy

format: $(VENV)/.dev  ## rewrite the code in the house style
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format . ; $(BIN)/snakefmt Snakefile workflow

docs: $(VENV)/.dev  ## build the documentation, with the notebooks run, into build/docs
	@$(BIN)/sphinx-build -q -W --keep-going -c docs/site -d build/doctrees -D run_notebooks=1 . build/docs
	@echo "build/docs/index.html"

bench: $(VENV)/.dev  ## print speed and memory; benchmarks/README.md holds what was measured
	@for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

faults: $(VENV)/.dev  ## kill, fill up and damage a small survey, many times: docs/faults.md
	@$(BIN)/python benchmarks/fault_trials.py $(FAULTS)

upgrade: $(VENV)/bin/python  ## newest versions that pyproject.toml allows, into constraints.txt
	@$(BIN)/python -m pip install -qq --upgrade --upgrade-strategy eager -e '.[dev,piff]'
	@{ head -2 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sort -f; } \
	  > constraints.new && mv constraints.new constraints.txt

clean:  ## remove the demo, the trials and their products
	rm -rf $(DEMO) $(FAULTS) $(FAULTS).trial $(FAULTS).half.* $(FAULTS).wrong .snakemake

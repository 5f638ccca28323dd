# The two commands are `make up` and `make test`; both set up whatever they need.
STACK ?= dev
PYTHON ?= python3
PARTS ?=
REVIEW ?=
SEED ?= random
MOMENTS ?= 20
CLUSTERS ?= 2
# Of `make bench`: rounds, figures (mesh destroy preview scale-lab scale-mock; none: all), numbers of clusters.
RUNS ?= 5
ONLY ?=
LAB_SIZES ?= 2 4 8 12
SIZES ?= 50 100 250
# Files of tests, in the order of tests/conftest.py: much of a test on the lab is waiting. Each worker has its own lab.
TWO_AT_A_TIME := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
VENV := .venv
PY := $(VENV)/bin/python

# Where Python is told to keep nothing that it has compiled, each command, and each preview, would compile all anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help up review test test-fast faults check verify down env bench lint schema toolchain venv python

help: ## these lines
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

up: ## toolchain, lab, `pulumi up` of STACK (dev), checks
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain
	@$(PY) -m hack.make up $(STACK)

review: ## what would change inside the clusters of STACK, as Markdown (REVIEW: options, docs/review.md)
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain >&2
	@$(PY) -m hack.make review $(STACK) $(REVIEW)

check: $(VENV)/ready ## is the mesh of STACK up? Linkerd's own checks as a table
	@$(PY) -m hack.make check $(STACK)

verify: $(VENV)/ready ## do STACK's splits come true on your own clusters? asks from a pod, and counts
	@$(PY) -m hack.make verify $(STACK)

down: $(VENV)/ready ## destroy STACK, stop the lab, leave nothing
	@$(PY) -m hack.make down $(STACK)

env: $(VENV)/ready ## eval "$(make -s env)": pulumi, kubectl and linkerd on the lab
	@$(PY) -m hack.make env $(STACK)

test: ## everything that tests, lab included
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain PARTS=all
	@$(PY) -m pytest $(TWO_AT_A_TIME)

test-fast: $(VENV)/ready ## seconds: no cluster, no toolchain, no fuzzing
	@$(PY) -m pytest -m "not lab and not thorough" $(TWO_AT_A_TIME)

faults: ## what must be true after kills and other faults, at length (SEED, MOMENTS, CLUSTERS; docs/faults.md)
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain
	@$(PY) -m pytest $(TWO_AT_A_TIME) --seed=$(SEED) --moments=$(MOMENTS) --clusters=$(CLUSTERS) tests/fault_injection

# actionlint would use shellcheck and pyflakes where it finds them; without, it says the same on every machine.
lint: $(VENV)/ready ## ruff, strict types, and what judges the pipelines
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(PYTHON) -m hack.toolchain actionlint
	@"$$($(PYTHON) -c 'from hack import toolchain; print(toolchain.installed("actionlint"))')/bin/actionlint" \
		-shellcheck= -pyflakes= .github/workflows/*.yml
	@$(VENV)/bin/zizmor --offline --persona=auditor --strict-collection --no-progress --quiet .github
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci .gitlab-ci.yml

bench: ## figures into benchmarks/results.md (RUNS, ONLY, LAB_SIZES, SIZES: benchmarks/README.md)
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/bench toolchain
	@$(PY) -m benchmarks --runs $(RUNS) --only $(ONLY) --lab-sizes $(LAB_SIZES) --sizes $(SIZES)

schema: $(VENV)/ready ## write stack.schema.json anew, by which editors know stack files
	@$(PY) -m mesh.config

python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("python3: 3.11 or later is needed; set PYTHON")'

toolchain: python ## build what is missing (PARTS: names, or all)
	@$(PYTHON) -m hack.toolchain $(PARTS)

venv: $(VENV)/ready

$(VENV)/bench: requirements-bench.txt $(VENV)/ready
	@$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements-bench.txt
	@touch $@

$(VENV)/ready: requirements.txt requirements-dev.txt | python
	@echo "virtual environment: $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

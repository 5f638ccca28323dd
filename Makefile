# The main commands are `make up` and `make test`; both install all that they need.
STACK ?= dev
PYTHON ?= python3
PARTS ?=
REVIEW ?=
SEED ?= random
MOMENTS ?= 20
CLUSTERS ?= 2
# For `make bench`: rounds, figures (mesh destroy preview scale-lab scale-mock; empty: all), numbers of clusters.
RUNS ?= 5
ONLY ?=
LAB_SIZES ?= 2 4 8 12
SIZES ?= 50 100 250
# Two test files at a time, because tests on the lab mostly wait. Each worker has its own lab; tests/conftest.py sets the
# order of the files.
TWO_AT_A_TIME := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
VENV := .venv
PY := $(VENV)/bin/python

# Without Python's bytecode cache, each command and each preview would compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help up review test test-fast faults traffic check verify down env bench lint schema toolchain venv python

help: ## List all targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
	@echo
	@echo "STACK is the name of a Pulumi.<stack>.yaml: $(sort $(patsubst Pulumi.%.yaml,%,$(wildcard Pulumi.*.yaml))); default: dev."
	@echo "LAB_HOME is the lab's folder (default: .lab); LAB_CHARTS names folders with further charts for the lab."
	@echo "LAB_LINKERD, LAB_DATAPLANE name folders with Linkerd's programs for the lab (see docs/lab.md)."
	@echo "PYTHON is the path of Python 3.11 or later (default: python3)."

up: ## Build the toolchain, start the lab, run `pulumi up` for STACK, check the mesh
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain
	@$(PY) -m hack.make up $(STACK)

review: ## Print the changes that STACK would make in its clusters, as Markdown (REVIEW: options, see docs/review.md)
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain >&2
	@$(PY) -m hack.make review $(STACK) $(REVIEW)

check: $(VENV)/ready ## Check the mesh of STACK in the lab with Linkerd's own checks, and print a table
	@$(PY) -m hack.make check $(STACK)

verify: $(VENV)/ready ## Check the traffic splits of STACK on your own clusters, or in a lab with a data plane: count answers to requests
	@$(PY) -m hack.make verify $(STACK)

down: $(VENV)/ready ## Destroy STACK and delete its clusters; without other stacks, stop the lab and delete its data
	@$(PY) -m hack.make down $(STACK)

env: $(VENV)/ready ## Print variables for pulumi, kubectl and linkerd on the lab; use: eval "$(make -s env)"
	@$(PY) -m hack.make env $(STACK)

test: ## Run all tests, including those on the lab
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain PARTS=all
	@$(PY) -m pytest $(TWO_AT_A_TIME)

test-fast: $(VENV)/ready ## Run the unit tests without fuzzing, in seconds; needs no cluster and no toolchain
	@$(PY) -m pytest -m "not lab and not thorough" $(TWO_AT_A_TIME)

faults: ## Run the fault injection tests at length (SEED, MOMENTS, CLUSTERS: see docs/faults.md)
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain
	@$(PY) -m pytest $(TWO_AT_A_TIME) --seed=$(SEED) --moments=$(MOMENTS) --clusters=$(CLUSTERS) tests/fault_injection

traffic: ## Run each change under live requests, and write benchmarks/traffic.md (needs LAB_DATAPLANE, see docs/lab.md)
	@$(MAKE) --no-print-directory --jobs=2 venv toolchain
	@$(PYTHON) -m hack.toolchain kube-proxy kubelet
	@$(PY) -m pytest --traffic-results=benchmarks tests/traffic

# Without shellcheck and pyflakes, which actionlint uses if they are installed, its output is the same on every machine.
lint: $(VENV)/ready ## Run ruff, mypy in strict mode, and the checks of the CI pipelines (builds actionlint once)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(PYTHON) -m hack.toolchain actionlint
	@"$$($(PYTHON) -c 'from hack import toolchain; print(toolchain.installed("actionlint"))')/bin/actionlint" \
		-shellcheck= -pyflakes= .github/workflows/*.yml
	@$(VENV)/bin/zizmor --offline --persona=auditor --strict-collection --no-progress --quiet .github
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci .gitlab-ci.yml

bench: ## Measure, and write benchmarks/results.md (RUNS, ONLY, LAB_SIZES, SIZES: see benchmarks/README.md)
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/bench toolchain
	@$(PY) -m benchmarks --runs $(RUNS) --only $(ONLY) --lab-sizes $(LAB_SIZES) --sizes $(SIZES)

schema: $(VENV)/ready ## Generate stack.schema.json, which editors use for stack files, and docs/settings.md
	@$(PY) -m mesh.config

# Not listed by `make help`: the other targets run it.
python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("python3: version 3.11 or later is required; install it, or set PYTHON to its path")'

toolchain: python ## Build missing programs of the toolchain (PARTS: names of artifacts, or all)
	@$(PYTHON) -m hack.toolchain $(PARTS)

venv: $(VENV)/ready

$(VENV)/bench: requirements-bench.txt $(VENV)/ready
	@$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements-bench.txt
	@touch $@

$(VENV)/ready: requirements.txt requirements-dev.txt | python
	@echo "creating the virtual environment $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# The ways to use this repository. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# The public GraphPipe client needs flatbuffers 1.9, which ends with Python 3.11.
PEER_PYTHON ?= $(shell command -v python3.11 || echo $(PYTHON))
VENV ?= .venv
PEERS ?= .venvs
BIN := $(VENV)/bin
PIP_INSTALL := pip install --quiet --disable-pip-version-check --no-input
LOCKED := $(PIP_INSTALL) --require-hashes
COMPILE := $(BIN)/python -m compileall -q src
# Half more processes than cores: a third of the tests' time is waiting.
PARALLEL := -n $(shell echo $$((($$(nproc) * 3 + 1) / 2))) --dist loadfile --no-loadscope-reorder
# What is computation and rules; of it, `make check` leaves the slow modules out.
QUICK := tests/test_*.py $(addprefix tests/,events tensors images http graphpipe call function)
UV_COMPILE := $(PEERS)/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

# Programs that the tests run or whose clients they run, files that they read; servers to compare with in benchmarks.
CLIENTS := graphpipe tritonclient kserve perf-analyzer s3-server kafka openwhisk root-samples converters
SERVERS := triton mlserver fastapi
# Environments of `gpfn convert`; the tests run the first two, the others are gigabytes.
CONVERTERS := keras trees torch litert-torch

.PHONY: fuzz soak help install install-all peers bench-peers light run check test lint pytest images bench train docs site wheel lock clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | sort | while IFS=$$'\t' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

install: $(VENV)/.default ## Make .venv with the light default: no TensorFlow
	@echo 'next: source $(VENV)/bin/activate' >&2

install-all: $(VENV)/.all ## Add every extra and the tools that the tests need

peers: $(CLIENTS:%=$(PEERS)/.%) ## Make the environments of the clients that the tests run

bench-peers: $(SERVERS:%=$(PEERS)/.%) ## Make those of the servers that we measure ourselves against

light: ## Make a second environment like that of make install, for the README's examples
	@$(MAKE) --silent --no-print-directory VENV=$(PEERS)/light install

run: install ## See an event go in and a forecast come out, remote and in the process
	@$(COMPILE)
	@$(BIN)/gpfn demo

check: lint ## The quick part of test, in half a minute: style, types and what is pure computation
	$(BIN)/python -m pytest -q $(PARALLEL) -m "not slow and not timing" $(QUICK)

test: lint pytest ## Everything that CI runs but the images and the wheel
	$(BIN)/python benchmarks/run.py --quick

lint: install-all ## Style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pytest: install-all peers light ## All tests, with every example in README.md and docs/
	@$(COMPILE)
	$(BIN)/python -m pytest $(PARALLEL) -m "not timing" --ignore tests/images_engine --ignore tests/training
	$(BIN)/python -m pytest $(PARALLEL) -m "not timing" tests/training
	$(BIN)/python -m pytest -m timing --ignore tests/docs --ignore tests/images_engine

images: install-all ## Build the images on a running engine and test them in their sandboxes
	$(BIN)/python -m pytest tests/images_engine
	$(BIN)/python benchmarks/engine/images.py --quick

docs: install-all light $(PEERS)/.s3-server ## Run every example in README.md and docs/
	@$(COMPILE)
	$(BIN)/python -m pytest tests/docs

site: install-all ## Build the documentation as a site into build/site, and follow every link
	@$(COMPILE)
	$(BIN)/python website/build.py

wheel: install-all ## Build wheel and source into dist/, and try the wheel on every Python that is here
	.ci/wheel $(abspath $(BIN))/python

bench: install-all peers bench-peers ## Measure against peers and floors; rewrites docs/performance.md
	@$(COMPILE)
	$(BIN)/python benchmarks/run.py

fuzz: install-all ## Give every parser three minutes of hostile input
	$(BIN)/python fuzz/run.py --seconds 180 --jobs $(shell nproc)

soak: install-all ## Call three servers for ten minutes each, well and badly, and check every answer
	@$(COMPILE)
	$(BIN)/python benchmarks/soak.py

train: install-all ## Train the forecast network and export it to every format
	$(BIN)/gpfn train forecast

lock: $(PEERS)/uv/bin/uv $(PEERS)/.openwhisk ## Resolve the newest versions again into locks/
	$(UV_COMPILE) pyproject.toml --all-extras -o locks/all.lock
	$(UV_COMPILE) pyproject.toml -c locks/all.lock -o locks/default.lock
	printf 'hatchling\neditables\n' | $(UV_COMPILE) - -c locks/all.lock -o locks/build.lock
	printf 'cyclonedx-bom\n' | $(UV_COMPILE) - -c locks/all.lock -o locks/sbom.lock
	$(foreach name,graphpipe kserve,$(UV_COMPILE) locks/peer-$(name).in \
		--override locks/peer-$(name).overrides -o locks/peer-$(name).lock;)
	$(foreach name,tritonclient mlserver fastapi root-samples,$(UV_COMPILE) locks/peer-$(name).in \
		-o locks/peer-$(name).lock;)
	$(foreach name,triton perf-analyzer s3-server openwhisk,$(UV_COMPILE) --no-deps locks/peer-$(name).in \
		-o locks/peer-$(name).lock;)
	$(UV_COMPILE) --no-deps locks/root-samples.in -o locks/root-samples.lock
	$(foreach name,$(CONVERTERS),$(UV_COMPILE) locks/convert-$(name).in -o src/gpfn/convert/locks/$(name).lock;)
	.ci/openwhisk-lock $(PEERS)/openwhisk

clean: ## Remove caches and everything built; the environments stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/results
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './$(PEERS)/*' -prune -exec rm -rf {} +

# The stamps below make a second call of any target take seconds.
$(VENV)/.python:
	$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("gpfn needs Python 3.11 to 3.13, this is %d.%d; try make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.default: $(VENV)/.python pyproject.toml locks/build.lock locks/default.lock
	$(BIN)/python -m $(LOCKED) -r locks/build.lock -r locks/default.lock
	$(BIN)/python -m $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	$(COMPILE)
	touch $@

$(VENV)/.all: $(VENV)/.default locks/all.lock
	$(BIN)/python -m $(LOCKED) -r locks/all.lock
	touch $@

$(PEERS)/.%: locks/peer-%.lock
	$(PEER_PYTHON) -m venv $(PEERS)/$*
	$(PEERS)/$*/bin/python -m $(LOCKED) --no-deps --no-compile -r locks/peer-$*.lock
	touch $@

$(PEERS)/.perf-analyzer: locks/peer-perf-analyzer.lock .ci/perf-analyzer
	.ci/perf-analyzer $(PEERS)/perf-analyzer $(PEER_PYTHON)
	touch $@

$(PEERS)/.s3-server: locks/s3-server.module locks/peer-s3-server.lock .ci/s3-server
	.ci/s3-server $(PEERS)/s3-server $(PEER_PYTHON)
	touch $@

$(PEERS)/.openwhisk: locks/peer-openwhisk.lock locks/openwhisk/package-lock.json .ci/openwhisk
	.ci/openwhisk $(PEERS)/openwhisk $(PEER_PYTHON)
	touch $@

$(PEERS)/.root-samples: locks/root-samples.lock locks/peer-root-samples.lock .ci/root-samples
	.ci/root-samples $(PEERS)/root-samples $(PEER_PYTHON)
	touch $@

# The broker's jars are in the user's cache, where `gpfn bridge kafka --up` puts them too.
$(PEERS)/.kafka: src/gpfn/bridge/kafka/jars.sha256 | $(VENV)/.all
	$(BIN)/python -c 'from gpfn.bridge.kafka.jars import kafka_jars; kafka_jars(print)'
	mkdir -p $(PEERS)
	touch $@

# In the user's cache as well, where `gpfn convert` makes and finds them.
$(PEERS)/.converters: src/gpfn/convert/locks/keras.lock src/gpfn/convert/locks/trees.lock | $(VENV)/.all
	$(BIN)/gpfn convert --prepare keras,trees
	mkdir -p $(PEERS)
	touch $@

$(PEERS)/uv/bin/uv:
	$(PYTHON) -m venv $(PEERS)/uv
	$(PEERS)/uv/bin/python -m $(PIP_INSTALL) uv

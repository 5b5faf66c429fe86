# Everything that CI and people run. `make` alone lists it.
#
#   PYTHON         the Python that makes .venv: 3.11 or newer
#   KUBECONFIG     a real cluster: the tests that need one run, and `make demo` makes real pods
#   CLUSTER_UP     a command that starts a cluster and prints its kubeconfig as its last line; used where KUBECONFIG is not set
#   FAKE_NODES     a command that adds N fake nodes to the cluster, for tests and benchmarks with thousands of pods
#   TEST_WORKERS   how many tests run side by side; 0: one after the other, in one process
#   SEED           the seed of `make test-faults`; without, one is made up and printed
#   IMAGE_BUILDER  a command `NAME CONTEXT [--build-arg K=V]...` that builds an image and gives it to the cluster
#
# The web page needs Node.js 20.19 or newer, with npm, to be built and checked; without, everything else works.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

# The first of these that is Python 3.11 or newer.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
SOURCES := app podrun tests scripts benchmarks
BASE_IMAGE ?= python:3.13-slim
NODE_IMAGE ?= node:20-slim
# The page as the service serves it, npm's own mark of what it has installed, and what the page is made of: folders too, so
# that a file which is gone counts as a change. The types are made from the API's description, at each build and check.
PAGE := app/api/page_files/index.html
PAGE_PACKAGES := ui/node_modules/.package-lock.json
PAGE_SOURCES = $(shell find ui -name node_modules -prune -o -path ui/src/api/schema.d.ts -prune -o \
	\( -type f -o -path 'ui/src/*' -type d \) -print)
PYTEST_ARGS ?=
# More than there are cores: the longest tests wait most of their time.
TEST_WORKERS ?= 3
TEST_ARGS = $(PYTEST_ARGS) $(if $(JUNIT),--junit-xml=$(JUNIT))

export KUBECONFIG CLUSTER_UP FAKE_NODES IMAGE_BUILDER BASE_IMAGE NODE_IMAGE
ifeq ($(KUBECONFIG),)
unexport KUBECONFIG
endif

# What a recipe starts with that may use a cluster: KUBECONFIG from CLUSTER_UP where only that is set.
with_cluster = if [ -z "$${KUBECONFIG:-}" ] && [ -n "$${CLUSTER_UP:-}" ]; then \
	KUBECONFIG=$$($$CLUSTER_UP | tail -n 1); export KUBECONFIG; fi

# Whether there is a Node.js that can build the page.
has_node = { command -v npm && node -e 'const [major, minor] = process.versions.node.split(".").map(Number); \
	process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'; } >/dev/null 2>&1
# without_node WHAT: one line; a failure where nothing may be left out.
without_node = echo "there is no Node.js 20.19 or newer with npm here: $(1)" >&2; [ -z "$${PODRUN_TEST_REQUIRE_ALL:-}" ]

.PHONY: help setup page lock lint format test bench bench-quick bench-language bench-page screenshots demo test-deploy test-faults migration docs reference clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(STAMP) page ## Make .venv from the lock file, with podrun in it, and build the web page
	@:

# Commands that bring the sources in order do without it: they must work while it does not build.
page: ## Build the web page, where Node.js is
	@if $(has_node); then $(MAKE) $(PAGE); else $(call without_node,the page is not built); fi

$(PAGE_PACKAGES): ui/package.json ui/package-lock.json
	@echo "installing the page's packages"
	@cd ui && npm ci --no-audit --no-fund
	@touch $@

$(PAGE): $(PAGE_PACKAGES) docs/generated/openapi.json $(PAGE_SOURCES)
	@echo "building the page"
	@cd ui && npm run --silent build
	@touch $@

$(STAMP): requirements/dev.txt pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
		echo "podrun needs Python 3.11 or newer, and $(if $(PYTHON),$(PYTHON) is not,found none): install it," \
			"or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --clear $(VENV) || { \
			echo "$(PYTHON) can't make a virtual environment: Debian has that in the package python3-venv" >&2; exit 1; }; fi
	@echo "installing what the lock file says"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# Without --upgrade a package stays at its version as long as that fits: `make lock UPGRADE=--upgrade` renews all.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE)
lock: $(STAMP) ## Lock the requirements again, after a change in pyproject.toml
	$(LOCK) pyproject.toml --extra server --group dev -o requirements/dev.txt >/dev/null
	$(LOCK) pyproject.toml --extra server -o requirements/server.txt >/dev/null
	$(LOCK) --group build -o requirements/build.txt >/dev/null
	@! grep -nE '^(--|[^ #]+ @ )|https?://' requirements/*.txt

lint: $(STAMP) ## ruff, mypy, import-linter, the page's biome and tsc, and whether docs/generated is up to date
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/generate_docs.py --check
	@if $(has_node); then $(MAKE) $(PAGE_PACKAGES) && cd ui && npm run --silent lint; else $(call without_node,the page is not checked); fi

format: $(STAMP) ## Let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: setup ## All tests; those whose component is missing are skipped and say so
	@if $(has_node); then cd ui && npm test --silent; else $(call without_node,the page has not been tested); fi
	@$(with_cluster); \
	[ -n "$${KUBECONFIG:-}" ] || echo "make test: neither KUBECONFIG nor CLUSTER_UP is set: tests on a real Kubernetes are skipped"; \
	[ -n "$${FAKE_NODES:-}" ] || echo "make test: FAKE_NODES is not set: tests on fake nodes are skipped"; \
	$(BIN)/python -m pytest -n $(TEST_WORKERS) $(TEST_ARGS)

# with_fake_nodes: the benchmarks' pods go to those.
with_fake_nodes = if [ -n "$${KUBECONFIG:-}" ] && [ -n "$${FAKE_NODES:-}" ]; then $$FAKE_NODES 10 >/dev/null; fi
bench: setup ## All that podrun costs beside the limit, on the cluster too: an hour; PARTS="hand-over logs" measures those
	@$(with_cluster); $(with_fake_nodes); $(BIN)/python -m benchmarks.performance $(PARTS)

bench-quick: setup ## Five of the goals in five minutes; fails where one is far off
	@$(with_cluster); $(with_fake_nodes); $(BIN)/python -m benchmarks.quick

bench-language: setup ## What large workflows cost: validation, plan, expressions, and how long they hold the event loop
	@$(BIN)/python -m benchmarks.language

bench-page: setup ## What the web page costs in Chromium: opening large runs, scrolling long logs, JavaScript sent
	@$(BIN)/python -m benchmarks.page

screenshots: setup ## Take the pictures of the web page for README and docs, in Chromium
	@$(BIN)/python scripts/screenshots.py

demo: setup ## Run the example as a CI job would; KEEP=1 leaves the service up
	@$(with_cluster); $(BIN)/python scripts/demo.py $(if $(filter-out 0,$(KEEP)),--keep)

test-deploy: setup ## Build the image, deploy it to the cluster of KUBECONFIG and try it there
	@$(with_cluster); \
	for variable in KUBECONFIG IMAGE_BUILDER; do \
		[ -n "$${!variable:-}" ] || { echo "make test-deploy: $$variable is not set: skipped"; exit 0; }; done; \
	$(BIN)/python -m pytest -m deploy tests/deploy $(TEST_ARGS)

# What stops parts of the cluster comes after what runs side by side. Both are run, whatever the first came to.
test-faults: setup ## Break everything on purpose, on the cluster too: kills, cuts, outages; SEED=N repeats a run
	@$(with_cluster); \
	[ -n "$${KUBECONFIG:-}" ] || echo "make test-faults: neither KUBECONFIG nor CLUSTER_UP is set: faults of a real Kubernetes are skipped"; \
	seed=$(if $(SEED),$(SEED),$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')); \
	echo "make test-faults SEED=$$seed repeats what chance did"; \
	faults="$(BIN)/python -m pytest tests/faults --randomly-seed=$$seed"; failed=; \
	$$faults -n $(TEST_WORKERS) -m "faults and not exclusive" $(TEST_ARGS) || failed=1; \
	$$faults -n 0 -m "faults and exclusive" $(TEST_ARGS) || failed=1; \
	[ -z "$$failed" ]

migration: $(STAMP) ## A new Alembic migration from what the tables are now: make migration m="what it does"
	@[ -n "$(m)" ] || { echo 'say what it does: make migration m="add the table of ..."' >&2; exit 2; }
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	export ALEMBIC_URL=sqlite:///$$folder/now.db; \
	$(BIN)/alembic upgrade head; $(BIN)/alembic revision --autogenerate -m "$(m)"

docs: $(STAMP) ## Make docs/generated from the code
	@$(BIN)/python scripts/generate_docs.py

reference: docs ## The same as docs

clean: ## Remove what setup, tests and tools have made
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -rf ui/node_modules ui/src/api/schema.d.ts $(dir $(PAGE))
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What can be done with this checkout; `make` alone lists it. Needs Python 3.11 or newer and make.
# Everything made here lands in .venv/ and build/, both ignored by git.

PYTHON ?= python3
BIN := .venv/bin
ROOMS := router ledger tasks workers operations migrations
ARGS ?=

# No test may reach a provider, whatever the shell around it holds.
PROVIDER_VARIABLES := $(sort $(filter %_API_KEY %_API_KEYS %_API_TOKEN %_AUTH_TOKEN \
	OPENAI_% ANTHROPIC_% OPENROUTER_% AWS_% AZURE_% GOOGLE_%,$(.VARIABLES)))
WITHOUT_KEYS := env $(PROVIDER_VARIABLES:%=-u %)

# One lock for every Python and platform the project supports, by markers; the engines alone have one
# platform, and hundreds of packages that exist for no other. The CPU build's torch is found where
# this machine's pip is told to look, so its lock comes last.
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links $(ARGS)
ANYWHERE := --universal --python-version 3.11
ENGINE := --python-version 3.11 --python-platform x86_64-manylinux_2_28

# A person sees pip's own progress; a log gets a line for every 25 packages, and what went wrong.
LOCKED = $(shell grep -oE '^[a-z0-9._-]+.*==' requirements/dev.txt | tr -d ' ')
MEGABYTES := 1500
FETCH := $(BIN)/python -u -m pip install --disable-pip-version-check --require-hashes
COUNTED := n=0; while IFS= read -r line; do case "$$line" in \
	"status "*) exit "$${line\#status }" ;; \
	"Installing collected"*) echo "  installing" ;; \
	Collecting*|Processing*) n=$$((n + 1)); [ $$((n % 25)) -ne 0 ] || echo "  $$n of $(words $(LOCKED)) found" ;; \
	esac; done

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-live quick lint format check types engine lock bench reference docs clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.package types ## Make .venv: every dependency by hash, tierqueue itself editable

demo: setup ## Run the sample, end to end: LIVE=1 (real keys), TICKETS=<csv> COLUMN=<name>
	@TICKETS='$(TICKETS)' COLUMN='$(COLUMN)' LIVE='$(LIVE)' $(BIN)/python -m examples.demo $(ARGS)

up: setup ## The same processes without the sample, until Ctrl-C
	@LIVE='$(LIVE)' $(BIN)/python -m examples.demo --up $(ARGS)

test: setup ## Run the tests, without provider keys: ARGS="tests/router -x"
	@$(WITHOUT_KEYS) $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 $(ARGS)

test-live: setup ## Make a handful of real calls, with the provider keys that are set: less than a cent each
	@$(BIN)/python -m pytest tests/live/calls.py -v -p no:cacheprovider $(ARGS)

quick: setup ## Run the tests that start no process, in a minute or two
	@$(WITHOUT_KEYS) $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --hypothesis-profile quick -m "not processes and not long" $(ARGS)

lint: setup ## Format, ruff, mypy --strict, import contracts, Dockerfiles
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(ROOMS:%=-p tierqueue.%)
	$(BIN)/mypy tests bench examples sandbox tools
	$(BIN)/lint-imports --no-logo
	$(BIN)/hadolint docker/Dockerfile docker/Dockerfile.gpu

format: setup ## Rewrite the sources as lint wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test ## Is it good? Lint and tests

types: ## Link the packages under build/types, where type checkers find them by their import names
	@mkdir -p build/types/tierqueue && for room in $(ROOMS); do ln -sfn ../../../$$room build/types/tierqueue/$$room; done

engine: setup ## Install vLLM for this machine: the CUDA build where there is a GPU, else the CPU build
	@$(BIN)/python -m tools.install_engine $(ARGS); \
	status=$$?; echo $$status > build/engine.status; exit $$status

lock: setup ## Lock the dependencies again: ARGS=--upgrade moves to current releases
	$(LOCK) $(ANYWHERE) --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) $(ANYWHERE) -c requirements/dev.txt -o requirements/base.txt pyproject.toml
	$(LOCK) $(ANYWHERE) -c requirements/dev.txt --extra workers --extra flower -o requirements/workers.txt pyproject.toml
	$(LOCK) $(ANYWHERE) -c requirements/dev.txt --extra demo -o requirements/demo.txt pyproject.toml
	$(LOCK) $(ANYWHERE) -c requirements/dev.txt -o requirements/build.txt requirements/build.in
	$(LOCK) $(ENGINE) -c requirements/dev.txt --extra gpu -o requirements/gpu.txt pyproject.toml
	UV_FIND_LINKS="$$PIP_FIND_LINKS" $(LOCK) $(ENGINE) -c requirements/dev.txt --override requirements/cpu.in --extra cpu -o requirements/cpu.txt pyproject.toml
	$(LOCK) $(ANYWHERE) -c requirements/dev.txt -c requirements/gpu.txt --extra docs -o requirements/docs.txt pyproject.toml

reference: setup ## Write the pages of docs/reference again, from the code
	@$(BIN)/python -m tools.reference

docs: .venv/.docs reference ## Build the documents into build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -f tools/site/mkdocs.yml
	@echo build/site/index.html

bench: setup ## List the benches; make bench-NAME runs one: ARGS=--quick
	@for bench in $$(grep -l __main__ bench/*.py) bench/*/__main__.py; do \
	name=$${bench#bench/}; name=$${name%/__main__.py}; \
	printf '  make bench-%-12s %s\n' "$${name%.py}" "$$(sed -n '1s/^"""//p' $$bench | tr -d '"')"; done

bench-%: setup ## Run one bench; its last line is one JSON object
	@$(BIN)/python -m bench.$* $(ARGS)

clean: ## Remove everything made here, .venv included
	rm -rf .venv build dist *.egg-info .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.locked: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("tierqueue needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Fetching $(words $(LOCKED)) packages into .venv, once: about $(MEGABYTES) MB on disk, a minute or so ..."
	@$(PYTHON) -m venv .venv
	@if [ -t 1 ]; then $(FETCH) -r $<; \
	else { $(FETCH) --progress-bar off -r $<; echo "status $$?"; } | { $(COUNTED); }; fi
	@touch $@

# Beside an engine it moves nothing of the engine's lock either.
.venv/.docs: .venv/.package requirements/docs.txt
	@echo 'Fetching what builds the site ...'
	@$(FETCH) -qq -r requirements/docs.txt
	@touch $@

.venv/.package: .venv/.locked pyproject.toml
	@echo 'Installing tierqueue itself, editable ...'
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

# Two commands for a fresh machine with Python 3.11 or newer and git: `make repro` and `make test`.

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do \
            $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The family to work on: the checkout's own, or a further one, such as params/commands.yaml.
PARAMS ?= params.yaml
PORT ?= 5000
export DIMINUENDO_PARAMS := $(PARAMS)

.DEFAULT_GOAL := help
.PHONY: help demo repro flow serve test bench ui dag lint
.DELETE_ON_ERROR:

help:
	@echo "make demo    set up and open a page that hears you, with a small model that is there already"
	@echo "make repro   set up, run the whole pipeline, print the leaderboard (a second time: only what changed)"
	@echo "             another family: make repro PARAMS=params/commands.yaml; what would be run: ARGS=--plan"
	@echo "make flow    the same through Prefect"
	@echo "make serve   keep the schedules of retraining: Prefect on http://127.0.0.1:4200 and a worker"
	@echo "make test    set up and run the tests"
	@echo "make bench   the family beside other tools' output (those of the extra 'peers' that are installed)"
	@echo "make ui      show the runs in MLflow; on another port: make ui PORT=5050"
	@echo "make dag     the family as a tree, and the order of its stages"
	@echo "make lint    check style and the import layers"

# The stamp is younger than what it was made from, so that a second `make` installs nothing.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed, and none was found; install it, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing into $(VENV) (about 6.4 GB)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@# uv does not read pip's settings: hand on the index of a machine that has one of its own.
	@index="$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || true)"; \
	index="$${PIP_INDEX_URL:-$$index}"; \
	export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; \
	test -n "$$UV_DEFAULT_INDEX" || unset UV_DEFAULT_INDEX; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . || \
	{ echo "error: the installation failed; the reason stands above. Run make again when it is gone." >&2; exit 1; }
	@touch $@

demo: $(INSTALLED)
	@exec $(BIN)/diminuendo demo $(ARGS)

repro: $(INSTALLED)
	@$(BIN)/python -m flows.repro $(ARGS)

flow: $(INSTALLED)
	@$(BIN)/python -m flows.with_server flows.pipeline $(ARGS)

serve: $(INSTALLED)
	@exec $(BIN)/python -m flows.serve $(ARGS)

test: $(INSTALLED)
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 $(ARGS)

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks.peers $(ARGS)

ui: $(INSTALLED)
	@exec $(BIN)/python -m diminuendo.tracking.ui --port $(PORT) $(ARGS)

dag: $(INSTALLED)
	@$(BIN)/python -m flows.dag

lint: $(INSTALLED)
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/lint-imports --no-cache

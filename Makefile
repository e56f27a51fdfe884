# make demo      serve the app on 127.0.0.1:7860 with the shipped weights
# make test      run the tests of every change
# make test-all  run every test, the slow ones too
# make lint      check format, style, types and imports
# make space     build a Hugging Face Space in build/space; HARDWARE=cpu|gpu|zero, UPLOAD=owner/name
PYTHON ?= python3.11
BIN := .venv/bin
TORCH := 2.13.0
CPU_WHEELS := https://download.pytorch.org/whl/cpu
WORKERS ?= 2

.PHONY: demo test test-all lint space setup setup-dev clean

demo: setup
	$(BIN)/python app.py

# Files that share a model, a browser or a simulation run on one worker (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadgroup --no-loadscope-reorder

test: setup-dev
	$(PYTEST) -m "not slow"

test-all: setup-dev
	$(PYTEST)

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

HARDWARE ?= cpu
space: setup
	$(BIN)/python -m deploy.space build/space --hardware $(HARDWARE) $(if $(UPLOAD),--upload $(UPLOAD))

setup: .venv/ready
setup-dev: .venv/ready-dev

# What pip says goes to a log that is shown only when pip fails: its warnings about the machine's
# own configuration look like errors of this project.
LOG := .venv/install.log
PIP := $(BIN)/pip --disable-pip-version-check --no-input install
define install
@echo "Installing $(1) ..."
@$(PIP) -r $(1) >>$(LOG) 2>&1 || { cat $(LOG) >&2; exit 1; }
endef

# Without an NVIDIA GPU the CPU build of PyTorch is taken where one can be reached: first from the
# package index pip is configured with, then from PyTorch's own; otherwise the default build.
.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	@if command -v nvidia-smi >/dev/null 2>&1; then \
	  echo "NVIDIA GPU found: installing the default PyTorch build ..."; \
	else \
	  echo "No NVIDIA GPU found: installing the CPU build of PyTorch ..."; \
	  $(PIP) "torch==$(TORCH)+cpu" >$(LOG) 2>&1 \
	  || $(PIP) --retries 1 --timeout 15 "torch==$(TORCH)+cpu" --extra-index-url $(CPU_WHEELS) >>$(LOG) 2>&1 \
	  || echo "No CPU build of PyTorch can be reached; installing the default build (several GB)"; \
	fi
	$(call install,requirements.txt)
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(call install,requirements-dev.txt)
	@touch $@

clean:
	rm -rf .venv

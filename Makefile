# make demo   serve the app on 127.0.0.1:7860 with the shipped weights
# make test   pass the whole test suite
# make space  build a Hugging Face Space in build/space; HARDWARE=cpu|gpu|zero, UPLOAD=owner/name
PYTHON ?= python3.11
BIN := .venv/bin
TORCH := 2.13.0
CPU_WHEELS := https://download.pytorch.org/whl/cpu

.PHONY: demo test lint space setup setup-dev clean

demo: setup
	$(BIN)/python app.py

test: setup-dev
	$(BIN)/python -m pytest

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

# Without an NVIDIA GPU the CPU build of PyTorch is taken where one can be reached: first from the
# package index pip is configured with, then from PyTorch's own; otherwise the default build.
.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	@if command -v nvidia-smi >/dev/null 2>&1; then \
	  echo "NVIDIA GPU found: installing the default PyTorch build"; \
	else \
	  $(BIN)/pip install -q "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(BIN)/pip install -q --retries 1 --timeout 15 "torch==$(TORCH)+cpu" --extra-index-url $(CPU_WHEELS) 2>/dev/null \
	  || echo "No CPU build of PyTorch can be reached; installing the default build (several GB)"; \
	fi
	$(BIN)/pip install -q -r requirements.txt
	touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(BIN)/pip install -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv

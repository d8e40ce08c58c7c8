# Everything runs in a virtual environment that make sets up: .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test quick lint docs bench clean

demo: $(VENV)/demo  ## train a Keras and a PyTorch network under one policy, on real MNIST
	$(BIN)/python docs/examples/one_policy_two_frameworks.py

test: $(VENV)/dev  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup

quick: $(VENV)/dev  ## the suite without its long tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

lint: $(VENV)/dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev  ## run every example of the README and the docs
	$(BIN)/python -m pytest tests/docs

bench: $(VENV)/dev $(VENV)-peers/ready  ## measure, side by side with the peers, and write docs/benchmarks.md
	$(BIN)/python -m tests.benchmarks --peers $(VENV)-peers/bin/python

$(VENV)-peers/ready: tests/benchmarks/peers-requirements.txt  # TFMOT wants Keras 2, so it cannot share ours
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --requirement $<
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/%: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable ".[$*]"
	@touch $@

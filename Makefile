.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:
.PHONY: help demo test lint bench picture wheel clean window

PY := .venv/bin/python

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: window .venv/.ready ## open napari with a sample and press Recover (without a display: save demo.png)
	@scripts/demo.sh $(PY)

# Two processes: one for all that opens a window, one for the rest, then both for what is left of it.
test: window .venv/.ready ## run the tests in a real viewer, on a display that nobody sees
	@echo "==> Running the tests"
	@OMP_NUM_THREADS=1 scripts/virtual_display.sh $(PY) -m pytest -n 2 $(ARGS)

lint: window .venv/.ready ## ruff, mypy and napari's check of the manifest
	@echo "==> Checking style, types and the manifest"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m npe2 validate --imports napari-sbd

bench: .venv/.ready-bench ## speed, memory and accuracy, beside SPORCO in the same run
	@$(PY) -m benchmarks $(ARGS)

picture: window .venv/.ready ## make the README's picture again
	@scripts/virtual_display.sh $(PY) scripts/readme_picture.py

wheel: window .venv/.ready ## build the wheel and check it in an environment of its own
	@scripts/check_wheel.sh $(PY)

clean: ## remove what was built and the environment
	rm -rf .venv build dist demo.png .pytest_cache .mypy_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

window:
	@scripts/system_packages.sh window

.venv/.ready: pyproject.toml
	@scripts/environment.sh dev
	@touch $@

.venv/.ready-bench: pyproject.toml .venv/.ready
	@scripts/environment.sh bench
	@touch $@

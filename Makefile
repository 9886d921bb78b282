# make lab        open the lessons in JupyterLab
# make test       check everything: style, types, tests, notebooks, browser
# make notebooks  run the notebooks in place, the way they are to be committed
# make test-cpus  compare the notebooks as other processors compute; before committing one
# make bench      print the benchmarks
# make address    let the README's badge follow the address of the repository in pyproject.toml
#
# PYTHON       Python 3.11 or newer to set up with
# TORCH_INDEX  where pip finds torch besides its usual index, such as PyTorch's index of CPU builds
PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
FIRST := notebooks/00_start_here.ipynb
REPOSITORY = $(shell sed -n 's|^Repository = "https://github.com/\([^"]*\)".*|\1|p' pyproject.toml)
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
NBVAL := --nbval --nbval-cell-timeout=300

LAB := --LabApp.default_url=/lab/tree/$(FIRST)
LAB += --ServerApp.open_browser=$(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),True,False)
LAB += $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test notebooks test-cpus bench address

lab: .venv/lab
	$(BIN)/jupyter lab $(LAB) $(LAB_OPTIONS)

test: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest $(NBVAL) $(NOTEBOOKS)

notebooks: .venv/test
	$(BIN)/python tests/run_notebooks.py $(NOTEBOOKS)

test-cpus: .venv/test
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest $(NBVAL) $(NOTEBOOKS)
	ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest $(NBVAL) $(NOTEBOOKS)
	MKL_CBWR=COMPATIBLE $(BIN)/python -m pytest $(NBVAL) $(NOTEBOOKS)

bench: .venv/test
	$(BIN)/python tests/benchmarks/training.py
	$(BIN)/python tests/benchmarks/explorer.py

address:
	sed -i.old 's|mybinder.org/v2/gh/[^/]*/[^/]*/|mybinder.org/v2/gh/$(REPOSITORY)/|' README.md
	rm README.md.old

.venv/lab: requirements.txt pyproject.toml binder/overrides.json .venv/bin/pip
	@echo "Installing the packages of requirements.txt into .venv; the first time takes minutes."
	$(PIP) --requirement requirements.txt --editable .
	@mkdir -p .venv/share/jupyter/lab/settings
	@cp binder/overrides.json .venv/share/jupyter/lab/settings  # nothing pops up, nothing is sent
	@touch $@

.venv/test: .venv/lab
	$(PIP) --editable ".[test]"
	@touch $@

.venv/bin/pip:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or" \
		"newer, or name one: make lab PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "This is" \
		"$$($(PYTHON) --version); nnopt_lab needs Python 3.11 or newer. Name one:" \
		"make lab PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python's module venv is missing or broken." \
		"On Debian or Ubuntu install it by: apt install python3-venv"; exit 1; }

# `make demo` and `make test` need nothing but Python 3.11 or newer: each sets up what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint types default mini docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vireid needs Python 3.11 or newer; found $$($(PYTHON) --version). Set one: make PYTHON=python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev,synth,search,milvus,onnx,openvino,figures,docs]'
	@touch $@

demo: install
	$(BIN)/vireid demo

test: install lint types
	$(BIN)/pytest --numprocesses auto --dist loadfile

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

# Renders the people the default model trains on, trains it in two stages and puts it into the package: an hour on two
# cores. Interrupted, it goes on where it stopped; for another model remove runs/default-start and runs/default first, and
# data/synthvi-default if an older version rendered it.
default: runs/default/.trained
	$(BIN)/vireid evaluate runs/default --data mini
	$(BIN)/python tools/ship_default.py runs/default src/vireid/assets/default
	$(BIN)/vireid calibrate default --data mini --output src/vireid/assets/default/calibration.json
	rm src/vireid/assets/default/calibration.svg src/vireid/assets/default/calibration.png

runs/default/.trained: runs/default-start/.trained

runs/%/.trained: install
	$(BIN)/vireid synth data/synthvi-default --preset mini --identities 1000 --seed 1 --masks
	test -e $@ || if test -e runs/$*/checkpoint.pt; then $(BIN)/vireid train --resume runs/$*; \
	  else $(BIN)/vireid train configs/$(subst -,_,$*).yaml --output runs/$*; fi
	@touch $@

# These pages as a site that needs no network, build/site/index.html; fails where a link leads nowhere.
docs: install
	$(BIN)/python tools/make_site.py

# Renders SynthVI-mini anew and packs it into the package.
mini: install
	$(BIN)/vireid synth build/mini --preset mini
	$(BIN)/python tools/pack_mini.py build/mini src/vireid/assets/synthvi-mini.tar.gz

clean:
	rm -rf $(VENV) build dist

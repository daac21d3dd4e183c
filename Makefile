# make demo   sets everything up and rehearses examples/production.yaml
# make test   sets everything up and passes every test
# make vm-test boots a small Debian with the files of each configuration system (some minutes for each)
.PHONY: demo test vm-test lint format bench bench-quick clean tools dev-tools

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

demo: tools $(VENV)/.installed
	$(BIN)/bascule rehearse examples/production.yaml

test: dev-tools $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests

vm-test: dev-tools $(VENV)/.dev
	@scripts/need qemu-system-x86_64 debootstrap cpio mke2fs
	BASCULE_VM=1 $(BIN)/pytest tests/persist/test_reboot.py

lint: dev-tools $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tools:
	@scripts/need ip bridge nft dnsmasq venv

dev-tools:
	@scripts/need ip bridge nft dnsmasq ethtool tcpdump dot venv

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

bench: dev-tools $(VENV)/.dev
	$(BIN)/python -m benchmarks

bench-quick: dev-tools $(VENV)/.dev
	$(BIN)/python -m benchmarks --quick

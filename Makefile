# kmemu: every target does its own set-up. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard emulator/native/*.c emulator/native/*.h) emulator/native/build.py
GUEST := $(shell find firmware -name '*.[chS]' -o -name '*.ld' -o -name Makefile)

.DEFAULT_GOAL := help
.PHONY: help run test check lint bench firmware clean distclean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready  ## boot the built-in kernel and show what it did
	@$(BIN)/kmemu boot

test: $(VENV)/ready tools-test  ## run the tests (needs qemu-system-i386 for the comparisons with QEMU)
	$(BIN)/pytest

check: $(VENV)/ready lint tools-test  ## what CI checks: linters, types, import contracts, all tests
	$(BIN)/pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/ready  ## measure against QEMU and print the table of ratios
	$(BIN)/python benchmarks/run.py

firmware: tools-build  ## build the guest kernels into emulator/_firmware
	@$(MAKE) --no-print-directory -C firmware

clean:  ## remove what was built, keep the virtual environment
	@$(MAKE) --no-print-directory -C firmware clean
	rm -rf build *.egg-info emulator/_firmware emulator/native/*.so $(VENV)/ready

distclean: clean  ## remove the virtual environment, too
	rm -rf $(VENV)

# -- set-up ----------------------------------------------------------------------------------------

# The package is installed in editable mode; a change of the C core or of the guest kernels builds it again.
$(VENV)/ready: $(VENV)/tools $(NATIVE) $(GUEST) setup.py
	@$(MAKE) --no-print-directory -C firmware
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/tools: pyproject.toml | tools-build
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'setuptools>=77' wheel
	@$(BIN)/python -m pip install --quiet --group dev --editable .
	@touch $@

.PHONY: tools-build tools-test
tools-build:
	@for tool in $(or $(I386_CC),gcc) cc make $(PYTHON); do \
	    command -v $$tool >/dev/null || { echo "kmemu: $$tool is missing; on Debian: apt install gcc make python3-venv python3-dev" >&2; exit 1; }; \
	done
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kmemu: $(PYTHON) is older than 3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "kmemu: $(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || { echo "kmemu: the C headers of $(PYTHON) are missing; on Debian: apt install python3-dev" >&2; exit 1; }

tools-test:
	@command -v qemu-system-i386 >/dev/null || { echo "kmemu: qemu-system-i386 is missing, the tests compare with it; on Debian: apt install qemu-system-x86" >&2; exit 1; }

# kmemu: every target does its own set-up. `make help` lists them.

PYTHON ?= python3
VENV := .venv
DEBIAN := on Debian: apt install gcc make python3-venv python3-dev
BIN := $(VENV)/bin
NATIVE := $(wildcard emulator/native/machine.c emulator/native/*.h emulator/native/*/*.[ch]) emulator/native/build.py
GUEST := $(shell find firmware -name '*.[chS]' -o -name '*.ld' -o -name Makefile)

.DEFAULT_GOAL := help
.PHONY: help run test sanitize check fuzz bench mutants instructions memory-programs matrix compare-qemu firmware clean distclean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready  ## boot the built-in kernel and show what it did
	@$(BIN)/kmemu boot

test: $(VENV)/ready $(VENV)/dev peers  ## run the tests (they need QEMU, Chromium, tmux, gdb, g++, clang, lld, rustc)
	$(BIN)/pytest -n auto --dist worksteal

check: $(VENV)/ready $(VENV)/dev peers  ## all that CI checks: format, linters, types, import contracts, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto --dist worksteal

fuzz: $(VENV)/ready $(VENV)/dev peers  ## run random kernels, traces and guests: FUZZ="--guests 1000 --seed 7" (about three quarters of an hour)
	$(BIN)/python -m tests.fuzz.harness $(FUZZ)

instructions: $(VENV)/ready $(VENV)/dev peers  ## run random instructions in QEMU and here: INSTRUCTIONS="--count 100000 --seed 7"
	$(BIN)/python -m tests.oracle.instructions $(INSTRUCTIONS)

memory-programs: $(VENV)/ready $(VENV)/dev peers  ## run random programs of memory accesses in QEMU and here: PROGRAMS="--count 1000 --seed 7"
	$(BIN)/python -m tests.oracle.memory_programs $(PROGRAMS)

matrix: $(VENV)/ready $(VENV)/dev peers  ## compare what is recorded with what a kernel logs, compiled in 1,440 ways: MATRIX="--seed 7 --jobs 1" (about ten minutes)
	$(BIN)/python -m tests.matrix $(MATRIX)

compare-qemu: $(VENV)/ready $(VENV)/dev  ## find where a kernel runs other than in QEMU: KERNEL=kernel.elf [FUNCTIONS=name,name | EVERY=100]
	@test -n "$(KERNEL)" || { echo "usage: make compare-qemu KERNEL=kernel.elf [FUNCTIONS=name,name | EVERY=n] [OPTIONS=...]" >&2; exit 2; }
	@$(BIN)/python -m tests.oracle.compare $(KERNEL) $(if $(EVERY),--every $(EVERY)) $(if $(FUNCTIONS),--functions $(FUNCTIONS)) $(OPTIONS)

# AddressSanitizer has to be loaded first, and to leave SIGSEGV to the core; what Python allocates it sees if it is the C library's.
# Its shadow lies where a window below 2 GiB would: accesses go through a far window, and checked ones the ordinary
# way: the test that asks for the other window is left out.
SANITIZERS := address,undefined
SANITIZED := $(patsubst %,tests/unit/machine/core/test_%.py,checked_accesses fast_memory_between_runs forks host_faults hostile_guests \
    kasan snapshots uninitialised_uses) tests/property/test_checked_programs.py tests/property/test_blocks.py \
    --deselect=tests/unit/machine/core/test_checked_accesses.py::test_machines_take_turns_at_the_one_place_where_checks_are_fast
sanitize: $(VENV)/ready $(VENV)/dev  ## run the core's tests under AddressSanitizer and UBSan
	@rm -f build/sanitizer.*
	CFLAGS='-fsanitize=$(SANITIZERS) -fno-sanitize-recover=all -fno-omit-frame-pointer -g' LDFLAGS=-fsanitize=$(SANITIZERS) \
	    $(BIN)/python setup.py --quiet build_ext --inplace --force
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/tests/sanitized \
	    ASAN_OPTIONS=handle_segv=0:allow_user_segv_handler=1:detect_leaks=0:log_path=$(CURDIR)/build/sanitizer \
	    UBSAN_OPTIONS=print_stacktrace=1:log_path=$(CURDIR)/build/sanitizer \
	    $(BIN)/python -m pytest -n auto $(SANITIZED); status=$$?; \
	    cat build/sanitizer.* 2>/dev/null; \
	    $(BIN)/python setup.py --quiet build_ext --inplace --force; exit $$status

bench: $(VENV)/ready $(VENV)/dev peers  ## measure against QEMU, gdb and others, print the table of ratios
	$(BIN)/python benchmarks/run.py

# Takes hours, and goes on where it was stopped; other options: make mutants MUTANTS='-j 2 --again litecore/heap.c'
mutants: $(VENV)/ready $(VENV)/dev  ## change C kernels, models and checks in small ways, and list what no test notices
	$(BIN)/python -m tests.mutation.firmware $(MUTANTS)
	$(BIN)/python -m tests.mutation.python $(MUTANTS)

firmware: tools  ## build the guest kernels into emulator/_firmware
	@$(MAKE) --no-print-directory -C firmware

clean:  ## remove what was built, keep the virtual environment
	@$(MAKE) --no-print-directory -C firmware clean
	rm -rf build *.egg-info emulator/_firmware emulator/native/*.so $(VENV)/ready

distclean: clean  ## remove the virtual environment, too
	rm -rf $(VENV)

# -- set-up ----------------------------------------------------------------------------------------

# The package is installed in editable mode; a change of the C core or of the guest kernels builds it again. Python's modules are compiled as pip
# does it for others: where nothing may write bytecode at run time, each start would do so (50 ms).
$(VENV)/ready: $(VENV)/installed $(NATIVE) $(GUEST) setup.py
	@$(MAKE) --no-print-directory -C firmware
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@$(BIN)/python -m compileall -q -j 0 emulator kernel_model
	@touch $@

$(VENV)/installed: pyproject.toml | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "kmemu: installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'setuptools>=77' 'cffi>=1.17'
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/installed
	@echo "kmemu: installing the test tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

.PHONY: tools peers
tools:
	@for tool in $(or $(I386_CC),gcc) cc $(PYTHON); do \
	    command -v "$$tool" >/dev/null || { echo "kmemu: $$tool is missing; $(DEBIAN)" >&2; exit 1; }; \
	done
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "kmemu: $(PYTHON) is older than 3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "kmemu: $(PYTHON) cannot make virtual environments; $(DEBIAN)" >&2; exit 1; }
	@test -e "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || \
	    { echo "kmemu: the C headers of $(PYTHON) are missing; $(DEBIAN)" >&2; exit 1; }

peers:
	@for tool in qemu-system-i386:qemu-system-x86 chromium:chromium chromedriver:chromium-driver tmux:tmux gdb:gdb g++:g++ rustc:rustc clang:clang ld.lld:lld; do \
	    command -v "$${tool%%:*}" >/dev/null || \
	    { echo "kmemu: $${tool%%:*} is missing; on Debian: apt install $${tool##*:}" >&2; exit 1; }; \
	done

"""What commands import: each module takes a tenth of a millisecond or more of each start, which is to be quicker than QEMU's."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import pytest

# Ours, by package. What only some runs need is imported where they need it; a device sleeps until its kernel touches it.
OURS = {
    "emulator": "errors wording x86",
    "emulator.boot_protocol": "acpi_tables bios_data boot_state hardware modules mp_tables multiboot1_info pc_memory rom",
    "emulator.cli": "machine_options main option_values status",
    "emulator.cli.commands": "boot",
    "emulator.cli.terminal": "console output signals",
    "emulator.devices": "addresses board debug_console debug_exit device uart",  # those that the demo talks to
    "emulator.guest": "",
    "emulator.guest.memory_map": "litecore_reader memory_map reader regions",
    "emulator.hle": "kernels",
    "emulator.loader": "builtin containers files frame image layout multiboot1 segments",
    "emulator.loader.elf": "headers symbols",
    "emulator.machine": "address_map allocations consoles entry execution layer_state linear_memory machine memory unanswered",
    "emulator.machine.board": "data_port device_memory interrupts ports windows wiring",
    "emulator.machine.core": "call_recorder core_types cpu handle stacks",
    "emulator.machine.faults": "diagnosis",
    "emulator.native": "_core",
    "emulator.report": "run_record",
    "emulator.report.text": "ending frames lacks memory_map run style",
    "emulator.run": "ending to_end",
    "kernel_model": "abi blocks cpu frames structs",
    "kernel_model.litecore": "abi bitmap boot heap heap_layout memmap spinlock symbols",
}
# Of the standard library, besides what those and the start of Python import. No pathlib, no dataclasses, no json.
STANDARD = """
    argparse bisect collections contextlib copyreg enum errno functools gc gettext importlib itertools keyword locale
    operator re reprlib signal struct types typing warnings
"""
OTHERS = {"_cffi_backend"}

# What a check that finds nothing does without: imports are most of what it takes besides the guest's run.
WITH_FINDINGS = {
    "emulator.check": "hex_dumps later_mistakes stale_translations",
    "emulator.check.accesses": "bad_accesses code_places halting shadow_dumps",
    "emulator.check.structures": "corruption",
    "emulator.guest": "disassembler",
    "emulator.loader.dwarf": "c_types inlined line_header source_lines",  # the lines of backtraces, variables
    "emulator.machine.code": "instructions unusual_steps",
    "emulator.replay": "bisect changes instructions",
}
WITH_OPTIONS = {
    "emulator.inject": "campaign policy",
    "emulator.report": "ci documents html",
    "emulator.verdict": "baseline baseline_file comparison suppressions tolerances",
}
OF_OTHER_KERNELS = {
    "emulator.loader": "kasan",
    "emulator.loader.dwarf": "subprograms",
    "emulator.loader.functions": "entry_code entry_state prologue",
    "emulator.profile": "discovery suppressions tasks",
}
SLOW = (
    "capstone",
    "elftools",
    "hashlib",
    "json",
    "numpy.typing",
    "pathlib",
    "pyarrow",
    "shutil",
    "subprocess",
    "tempfile",
)


@cache
def imported(*arguments: str) -> frozenset[str]:
    """The modules that a command imports, beyond those that each start of Python does."""
    program = """
import sys
before = set(sys.modules)
from emulator.cli.main import main
assert main(sys.argv[1:]) in (0, 1)
print(*set(sys.modules) - before, file=sys.stderr)
"""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return frozenset(done.stderr.split())


def named(by_package: dict[str, str]) -> set[str]:
    return {f"{package}.{name}" for package, names in by_package.items() for name in names.split()}


def test_a_boot_imports_no_more_of_ours_than_it_needs() -> None:
    expected = named(OURS) | OURS.keys()
    ours = {
        name for name in imported("boot", "firmware:demo") if name.startswith(("emulator", "kernel_model"))
    }
    ours.discard("emulator.native._core.lib")
    assert (sorted(ours - expected), sorted(expected - ours)) == ([], []), "unexpected, and missing"


def test_a_boot_imports_little_else() -> None:
    everything = imported("boot", "firmware:demo")
    names = {name.split(".")[0] for name in everything} - {"emulator", "kernel_model"}
    assert {name for name in names if not name.startswith("_")} <= set(STANDARD.split())
    assert names - sys.stdlib_module_names <= OTHERS


@pytest.mark.parametrize("options", [(), ("--sanitize",)])
def test_a_check_without_findings_does_not_import_what_only_some_runs_need(options: tuple[str, ...]) -> None:
    needless = {*SLOW, *named(WITH_FINDINGS), *named(WITH_OPTIONS), *named(OF_OTHER_KERNELS)}
    assert [name for name in sorted(needless) if find_spec(name) is None] == [], "there is no such module"
    assert sorted(needless & imported("check", "firmware:exhaust", *options)) == []


@pytest.mark.parametrize("kernel", ["leak", "double_free", "demo", "btron_demo"])
def test_findings_without_instructions_need_neither_disassembler_nor_masked_arrays(kernel: str) -> None:
    assert not {"capstone", "numpy.ma"} & imported("check", f"firmware:{kernel}")

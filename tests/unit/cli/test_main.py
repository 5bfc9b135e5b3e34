from __future__ import annotations

import platform
import re
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from emulator.cli.commands import boot
from emulator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Done

NAMES = "demo, fragment, exhaust, leak, double_free, use_after_free, overflow, fragile, stress, paging_demo, btron_demo, btron_pools_wait, btron_fragment, btron_stress, vm_demo, vm_share, vm_stack_growth, vm_fault, vm_churn"


def test_no_command_shows_help(kmemu: Callable[..., Done]) -> None:
    done = kmemu()
    assert (done.status, done.err) == (2, "")
    assert done.out.startswith("usage: kmemu [-h] [--version] COMMAND ...\n")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["boot", "--help"], ["inspect", "-h"], ["export", "-h"], ["diff", "-h"], ["check", "-h"]],
)
def test_help_fits_the_terminal_and_is_no_error(kmemu: Callable[..., Done], arguments: list[str]) -> None:
    done = kmemu(*arguments)
    assert (done.status, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80


def test_help_names_every_command_on_a_line(kmemu: Callable[..., Done]) -> None:
    lines = kmemu("--help").out.splitlines()
    start = lines.index("commands:") + 2
    names = [line.split()[0] for line in lines[start : lines.index("", start)]]
    assert names == [
        "boot",
        "inspect",
        "init",
        "check",
        "trace",
        "step",
        "gdb",
        "dap",
        "report",
        "export",
        "diff",
        "doctor",
    ]


def test_version(kmemu: Callable[..., Done]) -> None:
    done = kmemu("--version")
    assert done.status == 0
    first, python, library, *packages = done.out.splitlines()
    assert first == f"kmemu {version('kmemu')}"
    assert python == f"CPython {platform.python_version()}"
    assert re.fullmatch(r"libunicorn 2\.1\.\d+", library)
    assert f"numpy {version('numpy')}" in packages
    assert not any(line.endswith("none") for line in packages)


def test_version_where_no_libunicorn_can_be_used(
    kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise HostError("cannot use libunicorn: too old")

    monkeypatch.setattr("emulator.machine.core.doctor.load_unicorn", refuse)
    done = kmemu("--version")
    assert done.status == 0
    assert "libunicorn none: cannot use libunicorn: too old" in done.out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["foo"],
            "argument COMMAND: invalid choice: 'foo' (choose from 'boot', 'inspect', 'init', 'check', 'trace', 'step', 'gdb', 'dap', 'report', 'export', 'diff', 'doctor') (kmemu --help shows how)",
        ),
        (["--bogus"], "unrecognized arguments: --bogus (kmemu --help shows how)"),
        (
            ["--bogus", "inspect"],
            "the following arguments are required: KERNEL (kmemu inspect --help shows how)",
        ),
        (
            ["check", "--sanitize=uninit"],
            "--sanitize=uninit: there is --sanitize, and --sanitize=uninitialised (kmemu check --help shows how)",
        ),
        (["boot", "--screen=3"], "--screen=3: --screen takes no value (kmemu boot --help shows how)"),
        (["boot", "--bogus"], "unrecognized arguments: --bogus (kmemu boot --help shows how)"),
        (["boot", "--time", "3"], "unrecognized arguments: --time (kmemu boot --help shows how)"),
        (["boot", "a", "b"], "unrecognized arguments: b (kmemu boot --help shows how)"),
        (["boot", "--ram"], "argument --ram: expected one argument (kmemu boot --help shows how)"),
        (
            ["boot", "--ram", "x"],
            "argument --ram: 'x' is no size such as 64M, 1G or 0x4000000 (kmemu boot --help shows how)",
        ),
        (
            ["boot", "--layer", "pages=model"],
            "argument --layer: no layer 'pages'; there are: memmap, heap, paging, vspace, pmem, kmem, pools, regions (kmemu boot --help shows how)",
        ),
        (
            ["boot", "--mmu", "slow"],
            "argument --memory/--mmu: invalid choice: 'slow' (choose from 'fast', 'ordinary', 'reference') (kmemu boot --help shows how)",
        ),
        (
            ["boot", "--until", ""],
            "argument --until: '' is no text that appears (kmemu boot --help shows how)",
        ),
        (["boot", "--json", "--serial", "-"], "--json and --serial - cannot both have standard output"),
        (
            ["boot", "--mmu", "reference", "--layer", "heap=lockstep"],
            "lockstep needs kmemu's MMU, not the reference",
        ),
        (
            ["boot", "firmware:dmeo"],
            f"no built-in kernel 'dmeo'; there are: {NAMES}",
        ),
        (["export"], "the following arguments are required: TRACE.kmt, --to (kmemu export --help shows how)"),
        (["inspect"], "the following arguments are required: KERNEL (kmemu inspect --help shows how)"),
    ],
)
def test_a_wrong_command_line(kmemu: Callable[..., Done], arguments: list[str], message: str) -> None:
    done = kmemu(*arguments)
    assert done == (2, "", f"kmemu: {message}\n")


def test_control_characters_in_errors_are_escaped(kmemu: Callable[..., Done]) -> None:
    done = kmemu("inspect", "\x1b]0;x\x07\n.elf")
    assert done == (3, "", "kmemu: \\x1b]0;x\\x07\\n.elf: cannot be read: No such file or directory\n")


def test_ctrl_c_while_loading(kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(boot, "new_machine", interrupted)
    assert kmemu("boot") == (130, "", "kmemu: interrupted\n")

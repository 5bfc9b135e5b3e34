"""Kernels whose page tables make no sense: every command ends as documented and says how, and the trace has all calls up to there."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from emulator.cli.status import Status
from tests.helpers.guest import FUNCTION, linked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

ON = "movl %cr0, %eax\n orl $0x80000000, %eax\n movl %eax, %cr0\n"
RELOAD = "movl %cr3, %eax\n movl %eax, %cr3\n"
LARGE_PAGES = "movl %cr4, %eax\n orl $0x10, %eax\n movl %eax, %cr4\n"
THREE_LEVELS = "movl %cr4, %eax\n orl $0x20, %eax\n movl %eax, %cr4\n"
IDENTITY = (
    """
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $12, %eax
        orl     $7, %eax
        movl    %eax, identity(, %ecx, 4)
        incl    %ecx
        cmpl    $1024, %ecx
        jne     1b
        movl    $identity + 7, directory
        movl    $directory, %eax
        movl    %eax, %cr3
"""
    + ON
)
HIGH = IDENTITY + "movl $table + 7, directory + 0x800\n"  # `table` is that of 0x80000000


def directory_at(address: str) -> str:
    return f"movl ${address}, %eax\n movl %eax, %cr3\n{ON}"


def filled(target: str, first: int, value: str) -> str:
    """Return the code that gives all entries from the given one on a value."""
    return (
        f"movl ${target} + {4 * first}, %edi\n movl ${1024 - first}, %ecx\n movl ${value}, %eax\n rep stosl\n"
    )


# What the kernel does between its first two calls and its last three, and how the run ends.
DEATHS = {
    "CR3 where nothing is": directory_at("0x40000000"),
    "CR3 at the last page": directory_at("0xfffff000"),
    "CR3 in the local APIC": directory_at("0xfee00000"),
    "CR3 in ROM": directory_at("0xf0000"),
    "CR3 on the screen": directory_at("0xb8000"),
    "CR3 in the frame buffer": directory_at("0xfd000000"),
    "CR3 behind RAM": directory_at("0x500000"),
    "CR3 at code": directory_at("kmalloc"),
    "CR3 changes to nowhere": IDENTITY + "movl $0x40000000, %eax\n movl %eax, %cr3\n",
    "a directory that was cleared": IDENTITY + filled("directory", 0, "0") + RELOAD,
    "a directory that was freed and poisoned": IDENTITY + filled("directory", 0, "0x6b6b6b6b") + RELOAD,
    "a directory of ones": IDENTITY + filled("directory", 0, "-1") + RELOAD,
    "a directory that is all its tables": IDENTITY + filled("directory", 0, "directory + 7") + RELOAD,
    "tables where nothing is": IDENTITY + filled("directory", 1, "0x40000007") + "movl 0x80000000, %eax\n",
    "tables in the local APIC": IDENTITY + filled("directory", 1, "0xfee00007") + "movl 0x80000000, %eax\n",
    "tables in ROM": IDENTITY + filled("directory", 1, "0xf0007") + "movl 0x80000000, %eax\n",
    "code in the local APIC": HIGH + "movl $0xfee00007, table\n movl $0x80000020, %eax\n call *%eax\n",
    "code where nothing is": HIGH + "movl $0x40000007, table\n movl $0x80000020, %eax\n call *%eax\n",
    "a large page behind RAM": LARGE_PAGES
    + "movl $0x83, directory\n movl $0x40000083, directory + 0x800\n"
    + directory_at("directory")
    + "movl 0x803ffffe, %eax\n",
    "a large page above 4 GiB": LARGE_PAGES
    + "movl $0x83, directory\n movl $0x2083, directory + 0x800\n"
    + directory_at("directory")
    + "movl %eax, 0x80000000\n",
    "a large page with a reserved bit": LARGE_PAGES
    + "movl $0x200083, directory\n"
    + directory_at("directory"),
    "three levels of nothing": THREE_LEVELS + directory_at("directory"),
    "three levels above 4 GiB": THREE_LEVELS
    + "movl $table + 1, directory\n movl $0x83, table\n movl $0x83, table + 8\n movl $0xff, table + 12\n"
    + directory_at("directory")
    + "movl %eax, 0x200000\n",
}
LIVES = {
    "a directory that is all its tables but the first": IDENTITY
    + filled("directory", 1, "directory + 7")
    + RELOAD
    + "movl 0xffffffe0, %eax\n movl 0x40000000, %ecx\n",
    "pages where nothing is": HIGH + filled("table", 0, "0x40000007") + "movl 0x80000000, %eax\n",
    "pages in the local APIC": HIGH + filled("table", 0, "0xfee00007") + "movl 0x80000020, %eax\n",
    "pages in ROM": HIGH + filled("table", 0, "0xf0007") + "movl %eax, 0x80000020\n",
    "a heap where nothing is": HIGH + "movl $0x40000007, table\n movl $0x80000000, next\n",
    "a heap in the local APIC": HIGH + "movl $0xfee00007, table\n movl $0x80000000, next\n",
    "a heap at the end of all addresses": IDENTITY
    + "movl $table + 7, directory + 0xffc\n movl $heap + 7, table + 0xffc\n movl $0xffffffc0, next\n",
}
KERNEL = (
    FUNCTION
    + """
        pushl   $16
        call    kmalloc
        pushl   $24
        call    kmalloc
        {}
        pushl   $32
        call    kmalloc
        pushl   %eax
        call    kfree
        pushl   $40
        call    kmalloc
        exit    0
        function kmalloc
        movl    4(%esp), %ecx
        movl    next, %eax
        addl    %ecx, next
        movl    $1, (%eax)
        ret
        ends    kmalloc
        function kfree
        movl    4(%esp), %eax
        movl    $0, (%eax)
        ret
        ends    kfree
        .data
next:   .long   heap
        .bss
        .balign 4096
directory: .skip 4096
identity: .skip 4096
table:  .skip   4096
heap:   .skip   8192
        .text
"""
)
PROFILE = '[heap]\nalloc = "kmalloc(size @ esp+4)"\nfree = "kfree(ptr @ esp+4)"\n'


@cache
def kernel_with(damage: str) -> bytes:
    return linked(KERNEL.format(damage))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Write a kernel, return the words that name it, its profile and its budgets."""

    def write(damage: str) -> tuple[str, ...]:
        kernel, profile = tmp_path / "kernel.elf", tmp_path / "profile.toml"
        kernel.write_bytes(kernel_with(damage))
        profile.write_text(PROFILE)
        return str(kernel), "--timeout", "20", "--profile", str(profile)

    return write


NEVER_CALLED = "never called: kfree"
NOTHING_THERE = {
    "a large page behind RAM": r"does not have memory at 0x403ffffe: read 1 time, first at _start\+.*",
    "pages where nothing is": r"does not have memory at 0x40000000: read 1 time, first at _start\+.*",
    "a heap where nothing is": r"does not have memory at 0x40000000: written 3 times, first at kmalloc\+.*",
}
"""What `trace` says of accesses that nothing answers."""

_TRIPLE = r"triple fault: #PF page fault, {}, error code 0x0, \(no handler in the IDT\) at _start\+.*"
_FETCH = _TRIPLE.format("fetch from 0x001000[0-9a-f]{2}")
ENDS = {
    "a directory that is all its tables": r"triple fault: #GP general protection \(no handler in the IDT\) at _start\+.*",
    "tables where nothing is": _TRIPLE.format("read of 0x80000000"),
    "tables in the local APIC": _TRIPLE.format("read of 0x80000000"),
    "tables in ROM": _TRIPLE.format("read of 0x80000000"),
    "code in the local APIC": "fetch from unmapped physical memory 0xfee00020 at EIP 0x80000020",
    "code where nothing is": "fetch from unmapped physical memory 0x40000020 at EIP 0x80000020",
    "a large page behind RAM": _TRIPLE.format("read of 0x80400000"),
    "a large page above 4 GiB": r"write to unmapped physical memory 0x100000000 at _start\+.*",
    "a large page with a reserved bit": _FETCH.replace("0x0,", "0x9,"),
    "three levels above 4 GiB": r"write to unmapped physical memory 0xff00000000 at _start\+.*",
}
"""How the others end than those that cannot fetch the next instruction."""


def check_lines(done: Done, *expected: str) -> None:
    lines = done.err.splitlines()
    assert len(lines) == len(expected), done.err
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(f"kmemu: {pattern}", line), f"{line}\n{pattern}"


def end_of(name: str) -> tuple[str, ...]:
    """Return the line that says how a kernel ends; none for one that lives."""
    return (ENDS.get(name, _FETCH),) if name in DEATHS else ()


@pytest.mark.parametrize("name", [*DEATHS, *LIVES])
def test_no_call_before_is_lost(
    name: str, kmemu: Callable[..., Done], write: Callable[[str], tuple[str, ...]]
) -> None:
    done = kmemu("trace", *write((DEATHS | LIVES)[name]), "--json")
    check_lines(
        done,
        *([NEVER_CALLED] if name in DEATHS else []),
        *([NOTHING_THERE[name]] if name in NOTHING_THERE else []),
        *end_of(name),
    )
    arguments = [json.loads(line)["arguments"] for line in done.out.splitlines()]
    assert arguments[:2] == [{"size": 16}, {"size": 24}]
    assert len(arguments) == (2 if name in DEATHS else 5)
    assert done.status == (Status.NOT_RUN if name in DEATHS else Status.GOOD)


@pytest.mark.parametrize("name", [*DEATHS, *LIVES])
def test_commands_end_as_documented(
    name: str, kmemu: Callable[..., Done], write: Callable[[str], tuple[str, ...]]
) -> None:
    kernel, *budget, _, _ = words = write((DEATHS | LIVES)[name])
    for command in (
        ["boot", kernel, *budget],
        ["boot", kernel, *budget, "--json"],
        ["check", *words, "--json"],
    ):
        done = kmemu(*command)
        check_lines(done, *(end_of(name) if command[0] == "boot" else ()))
        assert done.status in (Status.GOOD, Status.FINDINGS, Status.NOT_RUN)
        assert (done.status == Status.GOOD) == (name in LIVES) or command[0] == "check"
        if "--json" in command:
            json.loads(done.out)

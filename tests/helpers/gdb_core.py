"""What gdb says of the variables of a stopped machine, which it gets as a core file: the CPU's registers, and memory."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from emulator.machine.core.core_types import Registers
    from emulator.machine.machine import Machine

_ELF = struct.Struct("<16sHHIIIIIHHHHHH")
_SEGMENT = struct.Struct("<8I")
_REGISTERS_AT, _STATUS_SIZE = 72, 144
_LOAD, _NOTE, _CORE, _I386, _PRSTATUS = 1, 4, 4, 3, 1
_SETTINGS = [
    *(
        "set print pretty off",
        "set print repeats unlimited",
        "set print elements 200",
        "set print symbol off",
    ),
    *(
        "set print entry-values no",
        "set print max-depth unlimited",
        "set width 0",
        "set charset ASCII",
        "set confirm off",
    ),
]


class GdbLevel(NamedTuple):
    """What gdb says of a level: variables by their names, as it writes them."""

    arguments: dict[str, str]
    variables: dict[str, str]


def write_core(machine: Machine, path: Path) -> None:
    """Write a machine's registers and memory, at physical addresses, as a core file."""
    start, end = 0, machine.ram.end
    note = _note(machine.registers())
    head = _ELF.size + 2 * _SEGMENT.size
    ident = b"\x7fELF\1\1\1".ljust(16, b"\0")
    header = _ELF.pack(ident, _CORE, _I386, 1, 0, _ELF.size, 0, 0, _ELF.size, _SEGMENT.size, 2, 0, 0, 0)
    notes = _SEGMENT.pack(_NOTE, head, 0, 0, len(note), 0, 0, 4)
    memory = _SEGMENT.pack(_LOAD, head + len(note), start, start, end - start, end - start, 7, 4)
    path.write_bytes(header + notes + memory + note + machine.memory.read(start, end - start))


def _note(registers: Registers) -> bytes:
    names = [
        "ebx",
        "ecx",
        "edx",
        "esi",
        "edi",
        "ebp",
        "eax",
        "ds",
        "es",
        "fs",
        "gs",
        "eax",
        "eip",
        "cs",
        "eflags",
        "esp",
        "ss",
    ]
    status = bytearray(_STATUS_SIZE)
    struct.pack_into(f"<{len(names)}I", status, _REGISTERS_AT, *(getattr(registers, name) for name in names))
    return struct.pack("<III", 5, len(status), _PRSTATUS) + b"CORE\0\0\0\0" + bytes(status)


def gdb_levels(kernel: Path, cores: Iterable[tuple[Path, int]]) -> list[list[GdbLevel]]:
    """Return what gdb says of core files: of each the innermost levels of its backtrace.

    Args:
        kernel: The kernel's file.
        cores: The files, each with how many levels are wanted.
    """
    commands = list(_SETTINGS)
    for core, count in cores:
        commands += [f"core-file {core}", "echo @@@@@@\\n"]
        for number in range(count):
            commands += [f"frame {number}", "echo @@@@@\\n", "info args", "echo @@@@\\n", "info locals"]
    words = ["gdb", "-nx", "-batch", *(word for each in commands for word in ("-ex", each)), str(kernel)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    parts = done.stdout.split("@@@@@@\n")[1:]
    assert parts, done.stderr
    return [[_level(text) for text in part.split("@@@@@\n")[1:]] for part in parts]


def _level(text: str) -> GdbLevel:
    return GdbLevel(*map(_variables, text.split("@@@@\n", 1)))


def _variables(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name.isidentifier():
            found.setdefault(name, value)  # inner blocks come first
    return found

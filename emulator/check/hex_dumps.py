"""Hex dumps of memory around an address, and those of findings about blocks.

Such a finding comes out of the trace, after the run. For memory as it was then, the kernel runs once more, to the event of
each of these findings in turn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from emulator.profile.functions import Role
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun
    from kernel_model.memory import Memory

MOST_HEX_DUMPS: Final = 16
"""Of different findings; whoever fixes these runs the check again."""

_LINE: Final = 16
_LINES_AROUND: Final = 2


def hex_dump(memory: Memory, memory_size: int, address: int, linear: int | None = None) -> tuple[str, ...]:
    """Return the bytes around a word, sixteen a line; the line with the word begins with ``>``, a line below points at it.

    Args:
        memory: Physical memory.
        memory_size: Its bytes.
        address: Physical address of the word.
        linear: What the kernel calls this address; the lines begin with such addresses. None: the same.
    """
    shift = 0 if linear is None else linear - address

    def read(start: int) -> bytes:
        start -= shift
        return memory.read(start, min(_LINE, memory_size - start)) if 0 <= start < memory_size else b""

    return _lines(read, address + shift)


def _lines(read: Callable[[int], bytes], address: int) -> tuple[str, ...]:
    """Return the lines around a word at a linear address.

    Args:
        read: Returns the bytes of the line that begins at an address, at most 16; none where no memory is.
        address: Of the word.
    """
    middle = address - address % _LINE
    lines = []
    for start in range(middle - _LINES_AROUND * _LINE, middle + (_LINES_AROUND + 1) * _LINE, _LINE):
        data = read(start)
        if not data:
            continue
        mark = ">" if start == middle else " "
        lines.append(f"{mark}0x{start:08x}: {data.hex(' ')}")
        if start == middle:
            before = len(f">0x{start:08x}: ") + 3 * (address % _LINE)
            lines.append(" " * before + "^" * (3 * min(WORD_SIZE, _LINE - address % _LINE) - 1))
    return tuple(lines)


def with_hex_dumps(findings: Sequence[Finding], rerun: Rerun) -> list[Finding]:
    """Return findings, those about a block with a hex dump of memory around it.

    Args:
        findings: In order of events; those at the end of the run last.
        rerun: How to get there once more.
    """
    wanted = {finding.id: finding for finding in reversed(findings) if _wants_hex_dump(finding)}
    chosen = sorted(wanted.values(), key=_event)[:MOST_HEX_DUMPS]
    if not chosen:
        return list(findings)
    replay = rerun.replay()
    machine = replay.machine
    dumped = {}
    for finding in chosen:
        if not replay.go_to(_event(finding)):
            break
        dumped[id(finding)] = replace(finding, hex_dump=_hex_dump(machine, _address(machine, finding, rerun)))
    return [dumped.get(id(finding), finding) for finding in findings]


def _wants_hex_dump(finding: Finding) -> bool:
    return finding.call_site is not None and finding.block is not None and not finding.hex_dump


def _event(finding: Finding) -> int:
    return finding.call_site.event if finding.call_site else 0


def _address(machine: Machine, finding: Finding, rerun: Rerun) -> int:
    """Return what the finding is about: the pointer that the function at whose entry the machine stands was given, or the block."""
    for function in rerun.profile.functions:
        if finding.call_site and function.name == finding.call_site.function and function.role is Role.FREE:
            position = function.parameters.index("ptr") if "ptr" in function.parameters else None
            if position is not None:
                registers = machine.registers()
                stack = registers.on_stack(registers.esp + 4 * (1 + position))
                return int.from_bytes(machine.read_linear(stack, 4), "little")
    return finding.block.address if finding.block else 0


def _hex_dump(machine: Machine, address: int) -> tuple[str, ...]:
    """Return memory around a linear address, as it is mapped now: a page may lie anywhere. Nothing where nothing is mapped."""
    if not machine.read_linear(address, 1):
        return ()
    return _lines(lambda start: machine.read_linear(start, _LINE) if 0 <= start <= WORD_MAX else b"", address)

"""Changes of a machine from outside, and where in RAM the bytes lie that they, or anybody, mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.machine.machine import Machine

_WRITABLE: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")


def memory_change(machine: Machine, address: int, data: bytes, *, physical: bool) -> Callable[[], None]:
    """Return what writes some bytes to where they lie now.

    Args:
        machine: Whose memory it is.
        address: Of the first of them, linear or *physical*.
        data: The bytes.
        physical: Whether *address* is.

    Raises:
        ValueError: A page is not mapped, or there is no RAM.
    """
    spans = spans_of_ram(machine, address, len(data), physical=physical)

    def change() -> None:
        machine.observers.drop_calls()  # a call in lockstep is not the model's any more
        done = 0
        for span in spans:
            machine.memory.write(span.start, data[done : done + len(span)])
            machine.cpu.code_written(span.start, len(span))
            done += len(span)

    return change


def register_change(machine: Machine, name: str, value: int) -> Callable[[], None]:
    """Return what sets a general register, EIP or EFLAGS.

    Raises:
        ValueError: There is no such register, or it cannot be set; or *value* has more than 32 bits.
    """
    if name not in _WRITABLE:
        raise ValueError(f"{name!r} is no register that can be set: {', '.join(_WRITABLE)}")
    if not 0 <= value <= WORD_MAX:
        raise ValueError(f"{value:#x} does not fit into a register of 32 bits")
    cpu = machine.cpu
    return lambda: cpu.set_registers(cpu.registers()._replace(**{name: value}))


def spans_of_ram(machine: Machine, address: int, size: int, *, physical: bool) -> list[range]:
    """Return where bytes lie in RAM: physical addresses, page by page.

    Args:
        machine: As it translates addresses now.
        address: Of the first of them, linear or *physical*.
        size: How many.
        physical: Whether *address* is.

    Raises:
        ValueError: A page is not mapped, or there is no RAM.
    """
    whole = len(machine.memory)
    if size > whole:
        raise ValueError(f"there is no RAM for {size} bytes")
    spans = [range(address, address + size)] if physical else _spans(machine, address, size)
    if any(each.stop > whole for each in spans):
        raise ValueError(f"there is no RAM at 0x{address:08x}")
    return spans


def _spans(machine: Machine, address: int, size: int) -> list[range]:
    spans: list[range] = []
    while size:
        physical = machine.translate(address)
        if physical is None:
            raise ValueError(f"0x{address:08x} is not mapped")
        length = min(size, PAGE_SIZE - address % PAGE_SIZE)
        spans.append(range(physical, physical + length))
        address, size = (address + length) & WORD_MAX, size - length
    return spans
